"""The guard in front of uploads: it reads and checks multipart bodies, and leaves their files in the request's scope.

BentoML's own parsing takes bodies of any size, answers 500 to malformed ones, and fetches a text part as a URL.
"""

import asyncio
import contextlib
from collections.abc import Mapping

from starlette.datastructures import Headers, QueryParams
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bento.http.admission import EXPECTATION, FILES, RETRY_AFTER, Expectation
from bento.http.multipart import Form, Upload
from bento.http.problems import ProblemError
from bento.http.upload_memory import UploadMemory

EXPLAIN = "chest_xray.explain"
"""Key of the ASGI scope: whether the request asks for heat maps."""
AGAIN = "chest_xray.again"
"""Key of the ASGI scope: whether its client says that it has asked about this image before."""
LINGER_SECONDS = 5.0
LINGER_BYTES = 64 * 1024 * 1024


class UploadGuard:
    """Middleware: lets a ``POST`` to one of ``forms`` through only with file parts of its field, within limits.

    The body is read to its end here. The application finds the files' bytes under ``FILES`` in the scope, without
    the names that the client gave them, and ``EXPLAIN`` and ``AGAIN`` beside them.

    Args:
        app: gets complete uploads only.
        forms: what each path takes.
        memory: counts the bytes that all unfinished and unanswered uploads hold.
        timeout: seconds a client may take to send its body.
    """

    def __init__(self, app: ASGIApp, forms: Mapping[str, Form], memory: UploadMemory, timeout: float) -> None:
        self.app = app
        self.forms = forms
        self.memory = memory
        self.timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        form = self.forms.get(scope["path"]) if scope["type"] == "http" else None
        if form is None or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        body = _Body(scope, receive)
        try:
            scope[EXPLAIN], scope[AGAIN] = (_is_true(scope, form, name) for name in ("explain", "again"))
            upload = Upload(Headers(scope=scope), form)
        except ProblemError as error:
            await _refuse(error, scope, body, send)
            return
        try:
            await self._read(upload, body)
        except ProblemError as error:
            self._forget(upload)
            await _refuse(error, scope, body, send)
        except ClientDisconnect:
            return
        else:
            scope[FILES] = upload.files
            await self.app(scope, receive, send)
        finally:
            self._forget(upload)

    def _forget(self, upload: Upload) -> None:
        # Whoever still holds the scope, as a connection does until its next request, holds no image with it.
        upload.files.clear()
        self.memory.forget(upload)

    async def _read(self, upload: Upload, body: "_Body") -> None:
        try:
            async with asyncio.timeout(self.timeout) as deadline:
                self.memory.begin(upload, deadline)
                while not body.ended:
                    chunk = await body.read()
                    self.memory.add(upload, len(chunk))
                    upload.feed(chunk)
                self.memory.finish(upload)
        except TimeoutError as error:
            if self.memory.gave_way(upload):
                detail = "no memory is left for uploads, and this one has taken longest"
                raise ProblemError("overloaded", detail, {"Retry-After": RETRY_AFTER}) from error
            detail = f"the upload was not complete after {self.timeout:g} seconds"
            raise ProblemError("upload-timeout", detail) from error
        upload.finish()


def _is_true(scope: Scope, form: Form, name: str) -> bool:
    given = QueryParams(scope.get("query_string", b"")).getlist(name)
    if not given:
        return False
    if not form.explains:
        raise ProblemError("wrong-parameter", f"{scope['path']} does not take the parameter {name}")
    if len(given) > 1 or given[0] not in ("true", "false"):
        raise ProblemError("wrong-parameter", f"{name} is neither true nor false")
    return given[0] == "true"


class _Body:
    """The request's body, as it arrives."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.receive = receive
        self.expectation: Expectation | None = scope.get(EXPECTATION)
        self.ended = False

    async def read(self) -> bytes:
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self.ended = not message.get("more_body", False)
        if not self.ended and self.expectation is not None:
            self.expectation.end()  # it is not here at once: who knows when
        chunk: bytes = message.get("body", b"")
        return chunk


async def _refuse(problem: ProblemError, scope: Scope, body: _Body, send: Send) -> None:
    """Answer, then go on reading for a while: a client still sending would lose the answer to a reset."""
    response = problem.response()
    if not body.ended:
        response.headers["connection"] = "close"

    async def keep_open(message: Message) -> None:
        await send({**message, "more_body": True} if message["type"] == "http.response.body" else message)

    await response(scope, body.receive, keep_open)
    left = LINGER_BYTES
    with contextlib.suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(LINGER_SECONDS):
            while left > 0 and not body.ended:
                left -= len(await body.read())
    await send({"type": "http.response.body", "body": b"", "more_body": False})
