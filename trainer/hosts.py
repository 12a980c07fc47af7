"""Whether a host answers, without waiting for it longer than a user would."""

import time
from threading import Thread

import httpx

SECONDS = 3.0
"""That a host has for its answer."""


class Question:
    """A GET request in the background. Looking up a name may take any time, so nothing waits for its thread."""

    def __init__(self, url: str) -> None:
        self._url, self._status = url, 0
        self._thread = Thread(target=self._ask, daemon=True)
        self._until = time.monotonic() + SECONDS
        self._thread.start()

    def _ask(self) -> None:
        try:
            with httpx.stream("GET", self._url, timeout=SECONDS, follow_redirects=True) as response:
                self._status = response.status_code
        except Exception:  # whatever a proxy, a name server or a certificate can be: not reachable
            self._status = 0

    def status(self) -> int:
        """The HTTP status of the answer; 0 where there is none in time."""
        self._thread.join(max(0.0, self._until - time.monotonic()))
        return self._status
