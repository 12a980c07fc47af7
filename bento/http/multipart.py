"""A multipart/form-data body (RFC 7578), checked as it arrives: only files of the form's field, within its limits."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers

from bento.http.problems import ProblemError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_MEDIA_TYPES = ("", "application/octet-stream", "application/dicom")
"""Content types of a part that are taken, beside ``image/*``."""
_EXTENDED_NAME = re.compile(r";\s*filename\*[\d*]*\s*=", re.IGNORECASE)
"""A file's name as RFC 8187 (``filename*=``) or RFC 2231 (in pieces: ``filename*0=``) has it; parsers pass it over."""
FRAMING = 64 * 1024
"""Bytes of a body that boundaries and part headers may take beside the file."""


@dataclass(frozen=True)
class Form:
    """The files that a path takes."""

    field: str
    max_files: int
    max_bytes: int
    """Most bytes of one file."""
    max_total: int
    """Most bytes of all files of a request together."""
    explains: bool = False
    """Whether it knows the query parameter ``explain``."""


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
        if b"filename" not in options and not _EXTENDED_NAME.search(self._headers["content-disposition"]):
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
