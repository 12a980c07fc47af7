"""Bounded memory: how many bytes of uploads a worker holds at the same time."""

import asyncio

from bento.http.admission import RETRY_AFTER
from bento.http.problems import ProblemError


class UploadMemory:
    """The bytes of uploads that are held, unfinished ones and those that wait for their answer.

    Where they would be too many, the oldest unfinished upload gives way: a client that sends at an ordinary speed
    is never the oldest for long, and clients that stall only drive out one another.
    """

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._held: dict[object, int] = {}
        self._unfinished: dict[object, asyncio.Timeout] = {}

    def begin(self, upload: object, deadline: asyncio.Timeout) -> None:
        """An upload begins; moving its deadline to now ends it."""
        self._held[upload] = 0
        self._unfinished[upload] = deadline

    def add(self, upload: object, count: int) -> None:
        """``count`` bytes of it have arrived.

        Raises:
            ProblemError: there is no room, and nothing unfinished that could make it.
        """
        if upload not in self._held:
            return  # it is giving way already
        self._held[upload] += count
        self._left -= count
        while self._left < 0:
            victim = next(iter(self._unfinished))
            deadline = self._unfinished.pop(victim)
            self._left += self._held.pop(victim)
            if victim is upload:
                raise ProblemError("overloaded", "no memory is left for uploads", {"Retry-After": RETRY_AFTER})
            deadline.reschedule(0)

    def finish(self, upload: object) -> None:
        """It is complete, and held until it is forgotten."""
        self._unfinished.pop(upload, None)

    def gave_way(self, upload: object) -> bool:
        """It was ended for others."""
        return upload not in self._held

    def forget(self, upload: object) -> None:
        """Nothing of it is held any more."""
        self._unfinished.pop(upload, None)
        self._left += self._held.pop(upload, 0)
