"""One line of JSON and one measurement a request; nothing of an image, no file name."""

import asyncio
import json
import logging
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any, TextIO

from opentelemetry.instrumentation.utils import suppress_http_instrumentation
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bento.http.metrics import REQUESTS
from bento.http.problems import CLIENT_GONE, request_id

logger = logging.getLogger(__name__)
WRITE_SECONDS = 0.1
PIPE_BYTES = 4096
"""What a pipe takes in one piece (``PIPE_BUF``): lines of several workers are not torn."""


class Observation:
    """Middleware: measures and logs each request but the probes'.

    Args:
        routes: paths that are told apart in the metrics; any client can make up more.
        quiet: paths that are not logged.
    """

    def __init__(self, app: ASGIApp, routes: frozenset[str], quiet: frozenset[str]) -> None:
        self.app = app
        self.routes = routes
        self.quiet = quiet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self.quiet:
            await self.app(scope, receive, send)
            return
        begin = time.perf_counter()
        status = CLIENT_GONE

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, observed)
        except Exception:
            status = 500
            raise
        finally:
            seconds = time.perf_counter() - begin
            path = scope["path"]
            REQUESTS.labels(path if path in self.routes else "other", str(status)).observe(seconds)
            details = {
                "method": scope["method"],
                "path": path[:200],
                "status": status,
                "ms": round(1000 * seconds, 1),
            }
            logger.info("request", extra={"details": details})


class Untraced:
    """Application: no OpenTelemetry span is made for what is inside."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress_http_instrumentation():
            await self.app(scope, receive, send)


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id.get():
            line["request_id"] = request_id.get()
        line |= getattr(record, "details", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class Buffered:
    """A stream whose lines the event loop writes ten times a second, and every other caller at once.

    Each write gives up Python's lock, and the loop would wait to get it back from a thread that decodes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: deque[str] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def write(self, line: str) -> None:
        """Keep a whole line."""
        self._lines.append(line)

    def flush(self) -> None:
        """Have what is kept written, soon or now."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write()
            return
        if self._timer is None:
            self._timer = loop.call_later(WRITE_SECONDS, self._write)

    def _write(self) -> None:
        self._timer = None
        size = 0
        while self._lines:
            line = self._lines.popleft()
            size += len(line)
            if size > PIPE_BYTES:
                self._stream.flush()
                size = len(line)
            self._stream.write(line)
        self._stream.flush()


def log_as_json() -> None:
    """Have every handler that BentoML has set up in this process write JSON; this package speaks from INFO on."""
    for name in ("", "bentoml", "uvicorn.error"):
        for handler in logging.getLogger(name).handlers:
            handler.setFormatter(JsonFormatter())
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler.stream, Buffered):
                handler.setStream(Buffered(handler.stream))
    logging.getLogger(__package__).setLevel(logging.INFO)
