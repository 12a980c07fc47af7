"""UIDs of what is made for an image: always the same for the same image and model, so that a repeat adds nothing."""

import uuid

from pydicom.uid import UID

_NAMESPACE = uuid.UUID("6e0a3f0e-2f0b-5c55-9a38-5b0a3c7f1d44")


def derived_uid(kind: str, *parts: str) -> UID:
    """A UID below 2.25 (PS3.5 B.2) that is a function of its arguments.

    Args:
        kind: what it names, e.g. ``report``.
        parts: the image's SOP Instance UID, the model's name and version.
    """
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, '|'.join((kind, *parts))).int}")
