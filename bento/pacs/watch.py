"""The watcher: asks a DICOMweb server for new series (QIDO-RS) and fetches their images (WADO-RS).

Nothing in DICOMweb says what has arrived since. So the watcher asks for all series of CR and DX whose study date is no
older than some days before its last look-up, and looks into those that it has not seen with so many images. The date of
its last look-up, its cursor, and what it has seen are in the ledger.
"""

import re
import time
from datetime import date
from typing import Any

import requests
from dicomweb_client import DICOMwebClient

from bento.pacs import log
from bento.pacs.intake import Intake, Outcome
from bento.pacs.judge import CONNECT_SECONDS, UnavailableError, out_of_reach
from bento.pacs.ledger import Entry, Ledger, wait_before

MODALITIES = ("CR", "DX")
PAGE = 200
"""Series of one answer."""
FETCH_SECONDS = 60.0
MOST_TRIES = 8
"""After which an image that the server won't give is set aside."""
_ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_SERIES, _STUDY, _COUNT, _INSTANCE = "0020000E", "0020000D", "00201209", "00080018"


class Watcher:
    """Looks for new images.

    Args:
        url: of the DICOMweb server.
        session: with credentials and certificates.
        ledger, intake: where images go.
        days: see ``watch_days`` of the settings.
        largest: most bytes of an image.
    """

    def __init__(
        self, url: str, session: requests.Session, ledger: Ledger, intake: Intake, *, days: int, largest: float
    ) -> None:
        self._url, self._session = url.rstrip("/"), session
        self._ledger, self._intake = ledger, intake
        self._days, self._largest = days, largest
        self._client = DICOMwebClient(self._url, session=session, timeout=FETCH_SECONDS)
        self._client.set_http_retry_params(retry=False)

    def look(self) -> None:
        """Ask once, and write down what is new.

        Raises:
            UnavailableError: the server gives no answer, or none that makes sense.
        """
        today = date.today()
        try:
            for modality in MODALITIES:
                for series, study, count in self._series(modality, self._since(today)):
                    self._look_into(series, study, count)
        except requests.RequestException as error:
            raise UnavailableError(f"QIDO-RS fails: the server {out_of_reach(error)}") from None
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise UnavailableError(f"QIDO-RS fails ({type(error).__name__})") from None
        with self._ledger.transaction() as db:
            db.execute("INSERT OR REPLACE INTO cursors(url, date) VALUES(?, ?)", (self._url, today.isoformat()))

    def _since(self, today: date) -> str:
        rows = self._ledger.rows("SELECT date FROM cursors WHERE url = ?", (self._url,))
        last = min(today, date.fromisoformat(rows[0][0])) if rows else today
        earliest = last.toordinal() - self._days
        return f"{(date.fromordinal(earliest) if earliest > 0 else date(1900, 1, 1)):%Y%m%d}-"

    def _series(self, modality: str, since: str) -> list[tuple[str, str, int]]:
        """All series of a modality and a range of study dates that are new, or have more images than before."""
        found: list[tuple[str, str, int]] = []
        seen: dict[str, int] = dict(
            self._ledger.rows("SELECT series_uid, instances FROM series WHERE url = ?", (self._url,))
        )
        for offset in range(0, 1_000_000, PAGE):
            page: list[dict[str, Any]] = self._client.search_for_series(
                search_filters={"Modality": modality, "StudyDate": since},
                fields=["NumberOfSeriesRelatedInstances"],
                limit=PAGE,
                offset=offset,
            )
            for one in page:
                count = int(one.get(_COUNT, {}).get("Value", [0])[0])
                series = str(one[_SERIES]["Value"][0])
                if count == 0 or seen.get(series) != count:
                    found.append((series, str(one[_STUDY]["Value"][0]), count))
            if len(page) < PAGE:
                break
        return found

    def _look_into(self, series: str, study: str, count: int) -> None:
        for one in self._client.search_for_instances(study, series):
            uid = str(one[_INSTANCE]["Value"][0])
            if not self._intake.is_known(uid):
                entry = Entry(log.image_id(uid), uid, series, study, "watch", 0, time.time())
                self._ledger.add(entry, "found")
        if count:
            with self._ledger.transaction() as db:
                db.execute("INSERT OR REPLACE INTO series VALUES(?, ?, ?)", (self._url, series, count))

    def fetch(self, entry: Entry) -> None:
        """Fetch one image that was found, and take it in.

        Raises:
            UnavailableError: the server can't be reached, or the spool is full.
        """
        url = f"{self._url}/studies/{entry.study_uid}/series/{entry.series_uid}/instances/{entry.sop_uid}"
        try:
            data = self._download(url)
        except requests.RequestException as error:
            raise UnavailableError(f"WADO-RS fails: the server {out_of_reach(error)}") from None
        except _GoneError as error:
            if entry.tries + 1 >= MOST_TRIES:
                self._ledger.finish(entry.id, "set aside", str(error))
            else:
                self._ledger.postpone(entry.id, str(error), wait_before(entry.tries + 1))
            return
        if self._intake.take(data, entry.sop_uid, entry.origin) is Outcome.FULL:
            raise UnavailableError("the spool is full")

    def _download(self, url: str) -> bytes:
        timeout = (CONNECT_SECONDS, FETCH_SECONDS)
        with self._session.get(url, headers={"Accept": _ACCEPT}, timeout=timeout, stream=True) as response:
            if response.status_code in (401, 403) or response.status_code >= 500:
                raise UnavailableError(f"WADO-RS answers {response.status_code}")
            if not response.ok:
                raise _GoneError(f"WADO-RS answers {response.status_code}")
            body, deadline = bytearray(), time.monotonic() + FETCH_SECONDS
            for chunk in response.iter_content(1_000_000):
                body += chunk
                if len(body) > self._largest:
                    raise _GoneError("larger than max_file_mb")
                if time.monotonic() > deadline:
                    raise UnavailableError("WADO-RS takes too long")
            boundary = re.search(r'boundary="?([^";,]+)', response.headers.get("Content-Type", ""))
        start, end = body.find(b"\r\n\r\n"), body.rfind(b"\r\n--" + (boundary[1] if boundary else "").encode())
        if boundary is None or start < 0 or end < start:
            raise _GoneError("WADO-RS gives no multipart answer")
        return bytes(body[start + 4 : end])


class _GoneError(Exception):
    """This image is not given, now or later; the text says why."""
