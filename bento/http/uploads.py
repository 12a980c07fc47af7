"""The guard in front of uploads: a streaming check of the multipart body, before BentoML sees any of it.

BentoML's own parsing takes bodies of any size, answers 500 to malformed ones, and fetches a text part as a URL.
"""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers, QueryParams
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bento.http.admission import EXPECTATION, IMAGES, RETRY_AFTER, Expectation, UploadMemory
from bento.http.problems import ProblemError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_MEDIA_TYPES = ("", "application/octet-stream", "application/dicom")
"""Of a part, beside ``image/*``."""
FRAMING = 64 * 1024
"""Bytes of a body that boundaries and part headers may take beside the file."""
LINGER_SECONDS = 5.0
LINGER_BYTES = 64 * 1024 * 1024

_files: ContextVar[list[bytearray]] = ContextVar("files")
_explain: ContextVar[bool] = ContextVar("explain", default=False)


@dataclass(frozen=True)
class Form:
    """What a path takes."""

    field: str
    max_files: int
    max_bytes: int
    """Of one file."""
    max_total: int
    """Of all files of a request."""
    explains: bool = False
    """It knows the query parameter ``explain``."""


class UploadGuard:
    """Middleware: lets a ``POST`` to one of ``forms`` through only with file parts of its field, within limits.

    The files are kept for :func:`received`. What goes on is a small JSON object that numbers them: the parser
    behind sees nothing that this one did not understand, spools nothing, and no file name of the client's.
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
            _explain.set(_wants_explanation(scope, form))
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
            _files.set(upload.files)
            await self.app(*_rewritten(scope, upload, receive), send)
        finally:
            self._forget(upload)

    def _forget(self, upload: "Upload") -> None:
        # A timer keeps its context, and with it the list, until it would have fired, even when it is cancelled.
        upload.files.clear()
        self.memory.forget(upload)

    async def _read(self, upload: "Upload", body: "_Body") -> None:
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


def received(number: str) -> bytearray:
    """The bytes of the current request's file of that number, as the request that went on names it."""
    return _files.get()[int(number)]


def explanation_wanted() -> bool:
    """The current request asks for heat maps."""
    return _explain.get()


def _wants_explanation(scope: Scope, form: Form) -> bool:
    given = QueryParams(scope.get("query_string", b"")).getlist("explain")
    if not given:
        return False
    if not form.explains:
        raise ProblemError("wrong-parameter", f"{scope['path']} does not take the parameter explain")
    if len(given) > 1 or given[0] not in ("true", "false"):
        raise ProblemError("wrong-parameter", "explain is neither true nor false")
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


class Upload:
    """One multipart body, checked as it arrives.

    Args:
        headers: of the request.
        form: what is allowed.

    Raises:
        ProblemError: not multipart/form-data, no boundary, or too long by its own word.
    """

    def __init__(self, headers: Headers, form: Form) -> None:
        self.files: list[bytearray] = []
        self.form = form
        self._received = 0
        self._complete = False
        self._name = bytearray()
        self._value = bytearray()
        self._headers: dict[str, str] = {}
        media_type, options = parse_options_header(headers.get("content-type", ""))
        if media_type != b"multipart/form-data":
            raise ProblemError("unsupported-media-type", "the body is not multipart/form-data")
        if not options.get(b"boundary"):
            raise ProblemError("malformed-request", "the content type names no boundary")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > form.max_total + FRAMING:
            raise self._too_large("the files together are", form.max_total)
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_end": self._on_end,
        }
        try:
            self._parser = MultipartParser(options[b"boundary"], callbacks)
        except FormParserError as error:
            raise ProblemError("malformed-request", "the boundary is too long") from error

    def feed(self, chunk: bytes) -> None:
        """Check a piece of the body.

        Raises:
            ProblemError: the body so far breaks a rule.
        """
        self._received += len(chunk)
        if self._received > self.form.max_total + FRAMING:
            raise self._too_large("the files together are", self.form.max_total)
        if not chunk:
            return
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise ProblemError("malformed-request", "the body is not well-formed multipart") from error

    def finish(self) -> None:
        """Check that the body is whole.

        Raises:
            ProblemError: it is cut off, or has no file.
        """
        if not self._complete:
            raise ProblemError("malformed-request", "the multipart body is empty or cut off")
        if not self.files:
            raise self._wrong_field("the body has no part")

    def _on_part_begin(self) -> None:
        if len(self.files) == self.form.max_files:
            raise self._wrong_field("the body has more parts than that")
        self.files.append(bytearray())
        self._headers.clear()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._name.clear()
        self._value.clear()

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition"))
        if options.get(b"name") != self.form.field.encode():
            raise self._wrong_field("the part has another name")
        if b"filename" not in options:
            raise self._wrong_field("the part is text, not a file")
        media_type = parse_options_header(self._headers.get("content-type"))[0].decode("latin-1")
        # Many clients don't know what they send; the bytes will tell.
        if media_type not in _MEDIA_TYPES and not media_type.startswith("image/"):
            raise ProblemError("unsupported-media-type", "the part's content type is not that of an image")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        file = self.files[-1]
        if len(file) + end - start > self.form.max_bytes:
            raise self._too_large("the file is", self.form.max_bytes)
        file += data[start:end]

    def _on_end(self) -> None:
        self._complete = True

    def _too_large(self, what: str, limit: int) -> ProblemError:
        return ProblemError("file-too-large", f"{what} larger than {limit:,} bytes")

    def _wrong_field(self, what: str) -> ProblemError:
        count = "exactly one file" if self.form.max_files == 1 else f"1 to {self.form.max_files} files"
        return ProblemError("wrong-field", f"{what}; send {count}, in the field {self.form.field!r}")


def _rewritten(scope: Scope, upload: Upload, receive: Receive) -> tuple[Scope, Receive]:
    """The request anew, as JSON that only numbers the checked files."""
    numbers = [str(number) for number in range(len(upload.files))]
    value = numbers[0] if upload.form.max_files == 1 else numbers
    body = json.dumps({upload.form.field: value}).encode()
    dropped = (b"content-type", b"content-length", b"transfer-encoding")
    headers = [(name, value) for name, value in scope["headers"] if name not in dropped]
    headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return {**scope, "headers": headers, IMAGES: len(upload.files)}, replay


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
