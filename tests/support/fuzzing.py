"""Requests that nobody would make on purpose, and what every answer must hold to."""

import socket
from dataclasses import dataclass

import httpx
from hypothesis import strategies as st

from bento.http.problems import KINDS, MEDIA_TYPE, TYPE_PREFIX
from bento.http.schemas import BatchResponse, Problem
from bento.inference.answer import PredictResponse
from tests.support import pictures

CORPUS = [*pictures.GOOD.values(), *(data for data, _ in pictures.BAD.values() if len(data) < 20_000)]
BOUNDARY = b"frontier"
ALLOWED_5XX = {503}


@dataclass(frozen=True)
class Upload:
    """A request to a prediction route."""

    path: str
    content_type: bytes
    body: bytes

    def raw(self) -> bytes:
        """As it goes over the wire."""
        head = f"POST {self.path} HTTP/1.1\r\nHost: fuzz\r\nContent-Length: {len(self.body)}\r\n"
        return head.encode() + b"Content-Type: " + self.content_type + b"\r\n\r\n" + self.body


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """``data`` with bytes changed, cut out, doubled, or cut off."""
    result = bytearray(data)
    for _ in range(draw(st.integers(0, 4))):
        if not result:
            break
        start = draw(st.integers(0, len(result) - 1))
        end = min(len(result), start + draw(st.integers(1, 64)))
        match draw(st.sampled_from(["flip", "replace", "cut", "double", "truncate"])):
            case "flip":
                result[start] ^= 1 << draw(st.integers(0, 7))
            case "replace":
                result[start:end] = draw(st.binary(min_size=1, max_size=8))
            case "cut":
                del result[start:end]
            case "double":
                result[start:start] = result[start:end]
            case _:
                del result[start:]
    return bytes(result)


images = st.sampled_from(CORPUS).flatmap(mutated) | st.binary(max_size=200)
_words = st.sampled_from([b"file", b"files", b"FILE", b"", b"image", b'fi"le', "ü".encode(), b"file\x00"])
_types = st.sampled_from(
    [
        b"image/png",
        b"image/jpeg",
        b"image/*",
        b"text/plain",
        b"application/octet-stream",
        b"application/dicom",
        b"",
        b"\xff/\xff",
    ]
)


_mostly = st.sampled_from([True] * 9 + [False])


@st.composite
def parts(draw: st.DrawFn, field: bytes) -> bytes:
    """One part of a form, mostly in the right field."""
    name = field if draw(_mostly) else draw(_words)
    disposition = b'Content-Disposition: form-data; name="' + name + b'"'
    if draw(_mostly):
        disposition += b'; filename="' + draw(st.sampled_from([b"a.png", b"", b"../../etc/passwd", b"\xff"])) + b'"'
    head = disposition + b"\r\nContent-Type: " + (b"image/png" if draw(_mostly) else draw(_types))
    return b"--" + BOUNDARY + b"\r\n" + head + b"\r\n\r\n" + draw(images) + b"\r\n"


@st.composite
def uploads(draw: st.DrawFn) -> Upload:
    """A whole request; in about half of them the form itself is intact."""
    path, field = draw(st.sampled_from([("/predict", b"file"), ("/predict/batch", b"files")]))
    count = 1 if path == "/predict" and draw(_mostly) else draw(st.integers(0, 4))
    body = b"".join(draw(parts(field)) for _ in range(count)) + b"--" + BOUNDARY + b"--\r\n"
    content_type = b"multipart/form-data; boundary=" + BOUNDARY
    if draw(st.booleans()):
        body = draw(mutated(body))
        content_type = draw(st.just(content_type) | mutated(content_type).map(_sendable))
    return Upload(path, content_type, body)


def _sendable(value: bytes) -> bytes:
    return bytes(byte for byte in value if byte >= 32 and byte != 127).strip()


@st.composite
def wire(draw: st.DrawFn) -> bytes:
    """A request damaged on the wire, headers too."""
    return draw(mutated(draw(uploads()).raw()))


def send(client: httpx.Client, upload: Upload) -> httpx.Response:
    """Send it as a well-formed HTTP request."""
    headers = {b"content-type": upload.content_type}
    return client.post(upload.path, content=upload.body, headers=headers)


def send_wire(url: httpx.URL, data: bytes) -> bytes:
    """Send bytes on a connection of their own, and no more; all that comes back."""
    assert url.port is not None
    received = b""
    with socket.create_connection((url.host, url.port), timeout=10) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                received += chunk
        except ConnectionError:
            pass
    return received


def check(response: httpx.Response, path: str) -> None:
    """Hold an answer of a prediction route to what the service documents.

    Raises:
        AssertionError: it is none of that.
    """
    assert response.status_code < 500 or response.status_code in ALLOWED_5XX, response.text
    assert response.headers["x-request-id"]
    if response.status_code == 200:
        assert response.headers["content-type"] == "application/json"
        model = PredictResponse if path == "/predict" else BatchResponse
        model.model_validate_json(response.content)
        return
    assert response.headers["content-type"] == MEDIA_TYPE
    problem = Problem.model_validate_json(response.content)
    kind = KINDS[problem.type.removeprefix(TYPE_PREFIX)]
    assert response.status_code == problem.status == kind.status
    assert problem.request_id == response.headers["x-request-id"]


def check_wire(answer: bytes) -> None:
    """As :func:`check`, for raw bytes: nothing (a request cut off), or an answer that is no server error."""
    if answer:
        status = int(answer.split(b" ", 2)[1])
        assert status < 500 or status in ALLOWED_5XX, answer
        assert status < 400 or MEDIA_TYPE.encode() in answer, answer
