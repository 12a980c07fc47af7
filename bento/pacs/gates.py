"""Gates: what can't be reached is left alone for a while, and everything waits that needs it."""

import logging
import time

from bento.pacs import log
from bento.pacs.judge import UnavailableError
from bento.pacs.metrics import FAILURES

LONGEST_CLOSED = 30.0
"""Seconds, at most, between two tries."""


class Gate:
    """Holds everybody back from what can't be reached, for longer each time."""

    def __init__(self, name: str) -> None:
        self.name, self.reason = name, ""
        self._failures, self._closed_until = 0, 0.0

    def is_open(self) -> bool:
        """Whether it may be tried."""
        return time.monotonic() >= self._closed_until

    def failed(self, error: UnavailableError) -> None:
        """Close it for a while."""
        if not self.is_open():
            return
        self._failures += 1
        wait = min(LONGEST_CLOSED, max(error.retry_after, 0.5 * 2.0 ** min(self._failures, 20)))
        self._closed_until = time.monotonic() + wait
        self.reason = error.reason
        FAILURES.labels(self.name).inc()
        log.event(
            "out of reach", level=logging.WARNING, destination=self.name, reason=error.reason, wait_s=round(wait, 1)
        )

    def worked(self) -> None:
        """Open it."""
        if self._failures:
            log.event("in reach again", destination=self.name)
        self._failures, self._closed_until, self.reason = 0, 0.0, ""
