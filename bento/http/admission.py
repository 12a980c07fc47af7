"""Bounded work: how many images of a worker may wait or be classified at the same time, and for how long."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bento.http.problems import ProblemError

RETRY_AFTER = "1"
FULL = "the service is at its limit"
EXPECTED_SECONDS = 0.01
EXPECTATION = "chest_xray.expectation"
"""Key of the ASGI scope: the request's :class:`Expectation`."""
FILES = "chest_xray.files"
"""Key of the ASGI scope: the bytes of each file of the request, as the upload guard has read them."""
TICKET = "chest_xray.ticket"
"""Key of the ASGI scope: the request's :class:`Ticket`."""


class Places:
    """Counts the images that wait or run, up to a limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self.expected = 0
        """Uploads that have just begun and are about to take places."""

    @property
    def full(self) -> bool:
        """No place is left, or will be in a moment."""
        return self.taken + self.expected >= self.limit

    def take(self, count: int) -> bool:
        """Take ``count`` places, or none if there are not so many."""
        if self.taken + count > self.limit:
            return False
        self.taken += count
        return True

    def give_back(self, count: int) -> None:
        """Return places."""
        self.taken -= count


class Expectation:
    """A place that an upload will soon want; an upload that does not arrive at once is not expected any more."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._places.expected += 1
        self._timer = asyncio.get_running_loop().call_later(EXPECTED_SECONDS, self.end)
        self._ended = False

    def end(self) -> None:
        """Expect it no longer; only the first call counts."""
        if not self._ended:
            self._ended = True
            self._timer.cancel()
            self._places.expected -= 1


class Ticket:
    """Tells the threads that work for a request whether it still wants an answer."""

    def __init__(self) -> None:
        self.abandoned = False
        """Nobody waits for the answer any more: the deadline has passed, or the client went away."""


class Admission:
    """Middleware: requests to ``paths`` take ``places``, one for each image, for at most ``timeout`` seconds.

    It stands behind the upload guard, so that only complete uploads hold a place, and slow clients none. A
    request whose deadline passes is answered at once, but keeps its places until its threads have really ended:
    threads can't be stopped, and a place given away early would let them pile up.
    """

    def __init__(self, app: ASGIApp, paths: frozenset[str], places: Places, timeout: float) -> None:
        self.app = app
        self.paths = paths
        self.places = places
        self.timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in self.paths or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        count = len(scope[FILES]) if FILES in scope else 1
        if EXPECTATION in scope:
            scope[EXPECTATION].end()
        if not self.places.take(count):
            problem = ProblemError("overloaded", FULL, {"Retry-After": RETRY_AFTER})
            await problem.response()(scope, receive, send)
            return
        ticket = scope[TICKET] = Ticket()
        answer = _Answer(send, _Held(self.places, count))
        task = asyncio.ensure_future(self.app(scope, receive, answer.send))
        task.add_done_callback(answer.held.give_back)
        task.add_done_callback(_look_at)
        gone = asyncio.ensure_future(_wait_until_gone(receive))
        try:
            await asyncio.wait({task, gone}, timeout=self.timeout, return_when=asyncio.FIRST_COMPLETED)
            if task.done() or answer.begun:
                await task
                return
            if not gone.done():
                problem = ProblemError("deadline-exceeded", f"no answer within {self.timeout:g} seconds")
                answer.closed = True
                await problem.response()(scope, receive, send)
        finally:
            gone.cancel()
            ticket.abandoned = answer.closed = True


def _look_at(task: asyncio.Task[None]) -> None:
    """Retrieve the outcome, lest asyncio complain of one that came after the deadline."""
    if not task.cancelled():
        task.exception()


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Held:
    """Places that one request holds; only the first of several returns counts."""

    def __init__(self, places: Places, count: int) -> None:
        self._places, self._count = places, count

    def give_back(self, _: object = None) -> None:
        self._places.give_back(self._count)
        self._count = 0


class _Answer:
    """A ``send`` that can be closed once another answer was given."""

    def __init__(self, send: Send, held: _Held) -> None:
        self._send = send
        self.held = held
        self.begun = False
        self.closed = False

    async def send(self, message: Message) -> None:
        if not self.closed:
            self.begun = True
            if message["type"] == "http.response.body" and not message.get("more_body"):
                # Before the client has the answer: its next request must not find the place of this one taken.
                self.held.give_back()
            await self._send(message)


class Door:
    """Refuses uploads by their headers alone while no place is free.

    A refusal must cost next to nothing, or refusing takes the time that the accepted requests need.
    """

    def __init__(self, paths: frozenset[str], places: Places) -> None:
        self.paths = paths
        self.places = places

    def admits(self, scope: MutableMapping[str, Any]) -> bool:
        """Whether the request of this ASGI scope may come in, as far as is known by its headers."""
        if scope["path"] not in self.paths or scope["method"] != "POST":
            return True
        if self.places.full:
            return False
        # Without it, all that arrives until the first of them takes its place would go the long way to a refusal.
        scope[EXPECTATION] = Expectation(self.places)
        return True
