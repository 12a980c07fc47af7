"""The HTTP connection: uvicorn's, with limits on a request's headers that it does not have by itself."""

import asyncio
import json
import logging
import os
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

import uvicorn
import uvicorn.config
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from bento.http.admission import FULL, RETRY_AFTER, Door
from bento.http.problems import MEDIA_TYPE, REQUEST_ID_HEADER, new_request_id, problem_content

logger = logging.getLogger(__name__)
MAX_HEADER_BYTES = 64 * 1024


class BoundedProtocol(HttpToolsProtocol):
    """Headers must be complete within ``header_timeout`` seconds and ``MAX_HEADER_BYTES``, and pass the ``door``.

    Bytes that are no HTTP are answered with a problem document, as everything else that is refused.
    """

    # Private: uvicorn's methods and attributes that are used here (`_start_asgi_task`, `_unset_keepalive_if_required`,
    # `cycle`, `pipeline`, `send_400_response`, `timeout_keep_alive_task`) are not promised by it.

    header_timeout = 10.0
    wrap: Callable[[ASGIApp], ASGIApp]
    door: Door

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app = type(self).wrap(cast(ASGIApp, self.app))
        self._header_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        before, within_body = self.cycle, self._in_body
        super().data_received(data)
        if self.cycle is not before:
            self._forget_timer()
        elif not within_body and (before is None or before.response_complete):
            if self._timer is None:
                self._await_headers()
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                self._refuse("headers-too-large", f"the headers are larger than {MAX_HEADER_BYTES:,} bytes")
        if self._in_body and self._timer is None and self.cycle.response_complete:
            # The rest of an upload that was refused; cutting it off could lose the client the answer.
            self._timer = self.loop.call_later(self.header_timeout, self.transport.close)

    def on_headers_complete(self) -> None:
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()
        if self.cycle is not None and self.cycle.response_complete:
            self._forget_timer()
            if not self.cycle.keep_alive:
                self.transport.close()
                return
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        # Where several requests have come at once, the last ones' refusals must not overtake the first ones' answers.
        if not self._in_body or self.pipeline or self.door.admits(cast(dict[str, Any], cycle.scope)):
            super()._start_asgi_task(cycle, app)
            return
        cycle.response_started = cycle.response_complete = True
        self.server_state.total_requests += 1
        self._answer("overloaded", FULL, f"retry-after: {RETRY_AFTER}", keep_alive=cycle.keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_timer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn for bytes that are no HTTP."""
        self._refuse("malformed-request", "not a request in HTTP/1.1")

    def _await_headers(self) -> None:
        self._header_bytes = 0
        self._timer = self.loop.call_later(self.header_timeout, self._too_slow)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        detail = f"the headers were not complete after {self.header_timeout:g} seconds"
        self._refuse("upload-timeout", detail)

    def _refuse(self, slug: str, detail: str) -> None:
        self._forget_timer()
        if not self.transport.is_closing():
            self._answer(slug, detail, keep_alive=False)
            self.transport.close()

    def _answer(self, slug: str, detail: str, *headers: str, keep_alive: bool) -> None:
        request_id = new_request_id()
        content = problem_content(slug, detail, request_id)
        body = json.dumps(content).encode()
        status = HTTPStatus(content["status"])
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"content-type: {MEDIA_TYPE}",
            f"content-length: {len(body)}",
            f"{REQUEST_ID_HEADER}: {request_id}",
            *headers,
        ]
        if not keep_alive:
            lines.append("connection: close")
        self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


class _Selection:
    """Gives uvicorn the protocol, and remembers that it asked; it asks once, before its application starts."""

    def __init__(self) -> None:
        self.taken = False

    @property
    def protocol(self) -> type[BoundedProtocol]:
        self.taken = True
        return BoundedProtocol


selection = _Selection()


def install(header_timeout: float, door: Door, wrap: Callable[[ASGIApp], ASGIApp]) -> None:
    """Make uvicorn use the bounded protocol.

    Args:
        header_timeout: in seconds.
        door: refuses requests before anything is made of them.
        wrap: puts an application before everything that BentoML has.
    """
    BoundedProtocol.header_timeout = header_timeout
    BoundedProtocol.door = door
    BoundedProtocol.wrap = staticmethod(wrap)
    # Private: BentoML makes uvicorn's configuration by itself and names no protocol; uvicorn then takes this entry.
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:selection.protocol"


def check_in_force() -> None:
    """End this process, which is about to serve, where uvicorn has not taken the bounded protocol."""
    if not selection.taken:
        logger.critical(
            "The limits on a request's headers are not in force, as uvicorn %s does not use this service's HTTP "
            "protocol. Install the versions of bentoml and uvicorn that the project asks for.",
            uvicorn.__version__,
        )
        os._exit(1)  # an exception would be logged as BentoML's and uvicorn's tracebacks
