"""The log: one line of JSON and one measurement per request; nothing of an image, no file name."""

import logging
import time
from typing import Any

from opentelemetry.instrumentation.utils import suppress_http_instrumentation
from pythonjsonlogger.json import JsonFormatter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bento.http.metrics import REQUESTS
from bento.http.problems import CLIENT_GONE, request_id

logger = logging.getLogger(__name__)
FIELDS = ("time", "level", "logger", "message", "request_id", "method", "path", "status", "ms", "exception")
"""Of a line, where there is something to say."""


class AccessLog:
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
            ms = round(1000 * seconds, 1)
            logger.info("request", extra={"method": scope["method"], "path": path[:200], "status": status, "ms": ms})


class Untraced:
    """Middleware: no OpenTelemetry span is made for a request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress_http_instrumentation():
            await self.app(scope, receive, send)


class RequestJsonFormatter(JsonFormatter):
    """A log record as one line of JSON, with the id of the request that it belongs to."""

    def __init__(self) -> None:
        names = {"levelname": "level", "name": "logger", "exc_info": "exception"}
        super().__init__("{levelname}{name}{message}", style="{", timestamp="time", rename_fields=names)

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Add the request's id, and leave out what BentoML and uvicorn attach to records for terminals."""
        values = log_data | {"request_id": request_id.get() or None}
        return {name: values[name] for name in FIELDS if values.get(name) is not None}


def log_as_json() -> None:
    """Have every handler that BentoML has set up in this process write JSON; the service logs from INFO on."""
    # Private: the names of the loggers that BentoML gives handlers of its own.
    for name in ("", "bentoml", "uvicorn.error"):
        for handler in logging.getLogger(name).handlers:
            handler.setFormatter(RequestJsonFormatter())
    logging.getLogger("bento").setLevel(logging.INFO)
