"""The log: one line of JSON for each event, with an image's id and nothing of its patient.

An id is a hash of the image's UID. What a library writes is dropped, and of an exception only its type and place are
told: both may quote a header.
"""

import hashlib
import logging
import sys
import threading
import traceback
import warnings
from types import TracebackType
from typing import Any

from pynetdicom import _config
from pythonjsonlogger.json import JsonFormatter

_logger = logging.getLogger("bento.pacs")
FIELDS = ("time", "level", "message", "image", "origin", "address", "destination", "reason", "tries", "ms", "wait_s")
"""Of a line, where there is something to say; no other field is written."""


def image_id(sop_uid: str) -> str:
    """What an image is called in the log, in ``status`` and in the spool: 16 hexadecimal digits."""
    return hashlib.sha256(sop_uid.encode()).hexdigest()[:16]


def event(message: str, *, level: int = logging.INFO, **fields: str | int | float) -> None:
    """Write a line.

    Args:
        message: what has happened, in constant words.
        level: of :mod:`logging`.
        fields: some of :data:`FIELDS`.
    """
    _logger.log(level, message, extra=fields)


def place_of(error: BaseException) -> str:
    """An exception's type and where it was raised, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


class _Formatter(JsonFormatter):
    def __init__(self) -> None:
        super().__init__("{levelname}{message}", style="{", timestamp="time", rename_fields={"levelname": "level"})

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        return {name: log_data[name] for name in FIELDS if log_data.get(name) not in (None, "")}


def log_as_json() -> None:
    """Write this process's log, and nobody else's, to the standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    _logger.addHandler(handler)
    _logger.setLevel(logging.INFO)
    _logger.propagate = False
    warnings.simplefilter("ignore")
    logging.raiseExceptions = False
    _config.LOG_HANDLER_LEVEL = "none"  # pynetdicom would write a text for each message first
    root = logging.getLogger()
    root.handlers = [logging.NullHandler()]
    for name in ("pynetdicom", "highdicom", "dicomweb_client", "urllib3", "pydicom", "bentoml"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)

    def told(kind: type[BaseException], error: BaseException | None, place: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            event("unexpected error", level=logging.ERROR, reason=place_of(error) if error else kind.__name__)

    sys.excepthook = told
    threading.excepthook = lambda raised: told(raised.exc_type, raised.exc_value, raised.exc_traceback)
