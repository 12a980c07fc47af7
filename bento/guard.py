"""The guard in front of uploads: a streaming check of the multipart body, before BentoML sees any of it.

BentoML's own parsing takes bodies of any size, answers 500 to malformed ones, and fetches a text part as a URL.
"""

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bento.problems import ProblemError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FRAMING = 64 * 1024
"""Bytes of a body that boundaries and part headers may take beside the file."""
LINGER_SECONDS = 5.0
LINGER_BYTES = 64 * 1024 * 1024


class UploadGuard:
    """Middleware: lets a ``POST`` to ``path`` through only with one file part, named ``field``, within limits.

    What goes on is a body written anew with that one part: the parser behind sees nothing that this one did
    not understand, and no file name of the client's. The whole upload is held in memory meanwhile.
    """

    def __init__(self, app: ASGIApp, path: str, field: str, max_bytes: int, timeout: float) -> None:
        self.app = app
        self.path = path
        self.field = field
        self.max_bytes = max_bytes
        self.timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != self.path or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        body = _Body(receive)
        try:
            upload = await self._read(Headers(scope=scope), body)
        except ProblemError as error:
            await _refuse(error, scope, body, send)
        except ClientDisconnect:
            return
        else:
            await self.app(*_rewritten(scope, upload, receive), send)

    async def _read(self, headers: Headers, body: "_Body") -> "Upload":
        upload = Upload(headers.get("content-type", ""), self.field, self.max_bytes)
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self.max_bytes + FRAMING:
            raise upload.too_large()
        try:
            async with asyncio.timeout(self.timeout):
                while not body.ended:
                    upload.feed(await body.read())
        except TimeoutError as error:
            detail = f"the upload was not complete after {self.timeout:g} seconds"
            raise ProblemError("upload-timeout", detail) from error
        upload.finish()
        return upload


class _Body:
    """The request's body, as it arrives."""

    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self.ended = False

    async def read(self) -> bytes:
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self.ended = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk


class Upload:
    """One multipart body, checked as it arrives.

    Args:
        content_type: of the request.
        field: the one field name that is allowed.
        max_bytes: largest file.

    Raises:
        ProblemError: not multipart/form-data, or no boundary.
    """

    def __init__(self, content_type: str, field: str, max_bytes: int) -> None:
        self.data = bytearray()
        self.field = field
        self._max_bytes = max_bytes
        self._received = 0
        self._parts = 0
        self._complete = False
        self._name = bytearray()
        self._value = bytearray()
        self._headers: dict[str, str] = {}
        media_type, options = parse_options_header(content_type)
        if media_type != b"multipart/form-data":
            raise ProblemError("unsupported-media-type", "the body is not multipart/form-data")
        if not options.get(b"boundary"):
            raise ProblemError("malformed-request", "the content type names no boundary")
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
        if self._received > self._max_bytes + FRAMING:
            raise self.too_large()
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
        if not self._parts:
            raise self._wrong_field("the body has no part")
        if not self.data:
            raise ProblemError("empty-file", "the file is empty")

    def too_large(self) -> ProblemError:
        """The answer to more bytes than allowed."""
        return ProblemError("file-too-large", f"the file is larger than {self._max_bytes:,} bytes")

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > 1:
            raise self._wrong_field("the body has more than one part")

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
        if options.get(b"name") != self.field.encode():
            raise self._wrong_field("the part has another name")
        if b"filename" not in options:
            raise self._wrong_field("the part is text, not a file")
        media_type = parse_options_header(self._headers.get("content-type"))[0].decode("latin-1")
        # Many clients don't know what they send; the bytes will tell.
        if media_type not in ("", "application/octet-stream") and not media_type.startswith("image/"):
            raise ProblemError("unsupported-media-type", "the part's content type is not that of an image")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if len(self.data) + end - start > self._max_bytes:
            raise self.too_large()
        self.data += data[start:end]

    def _on_end(self) -> None:
        self._complete = True

    def _wrong_field(self, what: str) -> ProblemError:
        return ProblemError("wrong-field", f"{what}; send exactly one file, in the field {self.field!r}")


def _rewritten(scope: Scope, upload: Upload, receive: Receive) -> tuple[Scope, Receive]:
    """The request anew, with a body that holds the checked file and nothing else."""
    # Random, so that no file can hold it and pass for further parts.
    boundary = secrets.token_hex(16)
    disposition = f'Content-Disposition: form-data; name="{upload.field}"; filename="image"'
    body = b"".join(
        (f"--{boundary}\r\n{disposition}\r\n\r\n".encode(), upload.data, f"\r\n--{boundary}--\r\n".encode())
    )
    headers = MutableHeaders(raw=list(scope["headers"]))
    headers["content-type"] = f"multipart/form-data; boundary={boundary}"
    headers["content-length"] = str(len(body))
    del headers["transfer-encoding"]
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return {**scope, "headers": headers.raw}, replay


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
