"""The one door for images, whichever way they come: known ones, unfit ones and those to be judged are told apart."""

import threading
import time
from collections.abc import Callable
from enum import Enum

from pydicom.uid import UID

from bento.imaging.errors import ImageError
from bento.pacs import log
from bento.pacs.ledger import Entry, Ledger
from bento.pacs.metrics import INTAKE
from bento.pacs.source import read_source, why_not
from bento.pacs.spool import Spool


class Outcome(Enum):
    """What became of an image at the door."""

    TAKEN = "taken"
    KNOWN = "known"
    PASSED_OVER = "passed over"
    DAMAGED = "damaged"
    FULL = "spool full"


class Intake:
    """Takes images in.

    Args:
        ledger, spool: where they go.
        model: gives the model that judges now; empty: not known.
        taken: called with each one that is to be judged.
    """

    def __init__(self, ledger: Ledger, spool: Spool, model: Callable[[], str], taken: Callable[[], None]) -> None:
        self._ledger, self._spool, self._model, self._taken = ledger, spool, model, taken
        self._locks = [threading.Lock() for _ in range(16)]

    def has_room(self) -> bool:
        """Whether the spool takes more."""
        return self._spool.has_room()

    def is_known(self, sop_uid: str) -> bool:
        """Whether an image needs nothing more."""
        return self._ledger.is_known(log.image_id(sop_uid), self._model())

    def take(self, data: bytes, sop_uid: str, origin: str) -> Outcome:
        """Take one in; when this returns TAKEN, it won't be lost.

        Args:
            data: a DICOM file.
            sop_uid: its SOP Instance UID, as the sender names it.
            origin: who sent it: an AE title on the list, or ``watch``.
        """
        image = log.image_id(sop_uid)
        with self._locks[int(image[0], 16)]:
            outcome, reason = self._take(data, sop_uid, image, origin)
        INTAKE.labels(outcome.value).inc()
        if outcome is not Outcome.KNOWN:
            log.event("image " + outcome.value, image=image, origin=origin, reason=reason)
        if outcome is Outcome.TAKEN:
            self._taken()
        return outcome

    def _take(self, data: bytes, sop_uid: str, image: str, origin: str) -> tuple[Outcome, str]:
        if self._ledger.is_known(image, self._model()):
            return Outcome.KNOWN, ""
        entry = Entry(image, sop_uid if UID(sop_uid).is_valid else "", "", "", origin, 0, time.time())
        try:
            header = read_source(data)
            if str(header.SOPInstanceUID) != sop_uid:
                raise ImageError("the file has another UID than its sender says")
            reason = why_not(header)
        except ImageError as error:
            self._ledger.add(entry, "set aside", reason=str(error), model=self._model())
            return Outcome.DAMAGED, str(error)
        entry = Entry(image, sop_uid, str(header.SeriesInstanceUID), str(header.StudyInstanceUID), origin, 0,
                      entry.received)  # fmt: skip
        if reason:
            self._ledger.add(entry, "passed over", reason=reason, model=self._model())
            return Outcome.PASSED_OVER, reason
        if not self._spool.has_room(len(data)):
            return Outcome.FULL, ""
        self._spool.put(image, data)
        self._ledger.add(entry, "received", size=len(data), model=self._model())
        return Outcome.TAKEN, ""
