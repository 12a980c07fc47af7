"""Bounded work: how many predictions may wait or run, and for how long."""

import asyncio
import math
import time
from contextvars import ContextVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bento.problems import ProblemError

_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)


def check_deadline() -> None:
    """Call before work starts, so that what nobody waits for any more is never done.

    Raises:
        ProblemError: the request's deadline has passed.
    """
    if time.monotonic() > _deadline.get():
        raise ProblemError("deadline-exceeded", "the deadline passed before the work began")


class Admission:
    """Middleware: at most ``limit`` requests to ``path`` at a time, each for at most ``timeout`` seconds.

    It stands behind the upload guard, so that only complete uploads hold a place, and slow clients none. A
    request whose deadline passes is answered at once, but keeps its place until its thread has really ended:
    threads can't be stopped, and a place given away early would let them pile up.
    """

    def __init__(self, app: ASGIApp, path: str, limit: int, timeout: float) -> None:
        self.app = app
        self.path = path
        self.limit = limit
        self.timeout = timeout
        self._running: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != self.path or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        if len(self._running) >= self.limit:
            problem = ProblemError("overloaded", "the service is at its limit", {"Retry-After": "1"})
            await problem.response()(scope, receive, send)
            return
        _deadline.set(time.monotonic() + self.timeout)
        answer = _Answer(send)
        task = asyncio.ensure_future(self._run(scope, receive, answer.send))
        self._running.add(task)
        task.add_done_callback(self._forget)
        try:
            await asyncio.wait({task}, timeout=self.timeout)
        except asyncio.CancelledError:
            answer.closed = True
            raise
        if task.done() or answer.begun:
            await task
            return
        answer.closed = True
        problem = ProblemError("deadline-exceeded", f"no answer within {self.timeout:g} seconds")
        await problem.response()(scope, receive, send)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, lest asyncio complain of one that came after the deadline


class _Answer:
    """A ``send`` that can be closed once another answer was given."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False
        self.closed = False

    async def send(self, message: Message) -> None:
        if not self.closed:
            self.begun = True
            await self._send(message)
