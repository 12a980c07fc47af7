import asyncio
from collections.abc import AsyncIterator, Iterable

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from bento.guard import FRAMING, UploadGuard
from bento.problems import MEDIA_TYPE

pytestmark = pytest.mark.anyio
LIMIT = 1000
MULTIPART = "multipart/form-data; boundary=B"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def part(
    data: bytes = b"x", *, name: str = "file", filename: str | None = "a.png", kind: str | None = "image/png"
) -> bytes:
    """One part of a body whose boundary is B."""
    head = f'--B\r\nContent-Disposition: form-data; name="{name}"'
    head += f'; filename="{filename}"' if filename is not None else ""
    head += f"\r\nContent-Type: {kind}" if kind else ""
    return head.encode() + b"\r\n\r\n" + data + b"\r\n"


END = b"--B--\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands where BentoML stands: says what its own parser finds in the body."""
    request = Request(scope, receive)
    found = []
    if request.method == "POST":
        async with request.form() as form:
            for name, value in form.multi_items():
                assert not isinstance(value, str)
                found.append(
                    [name, value.filename, value.content_type, (await value.read()).decode("latin-1")]
                )
    await JSONResponse(found)(scope, receive, send)


def guard(timeout: float = 5) -> UploadGuard:
    return UploadGuard(echo, path="/predict", field="file", max_bytes=LIMIT, timeout=timeout)


async def post(
    body: bytes | AsyncIterator[bytes], content_type: str | None = MULTIPART, timeout: float = 5
) -> httpx.Response:
    transport = httpx.ASGITransport(guard(timeout))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        headers = {"content-type": content_type} if content_type else {}
        return await client.post("/predict", content=body, headers=headers)


async def pieces(chunks: Iterable[bytes], pause: float = 0) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(pause)
        yield chunk


REFUSED: dict[str, tuple[bytes, str | None, int, str]] = {
    "no content type": (part() + END, None, 415, "unsupported-media-type"),
    "JSON, even with a URL in it": (
        b'{"file": "http://a/"}',
        "application/json",
        415,
        "unsupported-media-type",
    ),
    "a URL-encoded form": (
        b"file=http%3A%2F%2Fa%2F",
        "application/x-www-form-urlencoded",
        415,
        "unsupported-media-type",
    ),
    "a pickle": (b"\x80\x04.", "application/vnd.bentoml+pickle", 415, "unsupported-media-type"),
    "a bare image": (b"\x89PNG", "image/png", 415, "unsupported-media-type"),
    "another kind of multipart": (part() + END, "multipart/mixed; boundary=B", 415, "unsupported-media-type"),
    "no boundary": (part() + END, "multipart/form-data", 400, "malformed-request"),
    "an endless boundary": (
        part() + END,
        "multipart/form-data; boundary=" + "B" * 999,
        400,
        "malformed-request",
    ),
    "another boundary": (part() + END, "multipart/form-data; boundary=C", 400, "malformed-request"),
    "no body": (b"", MULTIPART, 400, "malformed-request"),
    "garbage": (b"garbage", MULTIPART, 400, "malformed-request"),
    "a body that ends within the headers": (part()[:30], MULTIPART, 400, "malformed-request"),
    "a body that ends within the file": (part()[:-2], MULTIPART, 400, "malformed-request"),
    "a body without its last boundary": (part(), MULTIPART, 400, "malformed-request"),
    "a header that never ends": (b"--B\r\n" + b"a" * 9000, MULTIPART, 400, "malformed-request"),
    "a header with a forbidden character": (
        b"--B\r\n\x00: x\r\n\r\n" + END,
        MULTIPART,
        400,
        "malformed-request",
    ),
    "no part": (END, MULTIPART, 422, "wrong-field"),
    "a text part": (part(b"http://a/", filename=None, kind=None) + END, MULTIPART, 422, "wrong-field"),
    "a part without a name": (b"--B\r\n\r\nx\r\n" + END, MULTIPART, 422, "wrong-field"),
    "another name": (part(name="image") + END, MULTIPART, 422, "wrong-field"),
    "the name in capitals": (part(name="FILE") + END, MULTIPART, 422, "wrong-field"),
    "two files": (part() + part() + END, MULTIPART, 422, "wrong-field"),
    "a text part after the file": (part() + part(filename=None) + END, MULTIPART, 422, "wrong-field"),
    "a text part before the file": (part(filename=None) + part() + END, MULTIPART, 422, "wrong-field"),
    "a part that says it is text": (part(kind="text/plain") + END, MULTIPART, 415, "unsupported-media-type"),
    "an empty file": (part(b"") + END, MULTIPART, 400, "empty-file"),
    "one byte too many": (part(b"x" * (LIMIT + 1)) + END, MULTIPART, 413, "file-too-large"),
    "far too many bytes": (part(b"x" * (LIMIT + FRAMING)) + END, MULTIPART, 413, "file-too-large"),
}


@pytest.mark.parametrize("in_chunks", [False, True], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("name", REFUSED)
async def test_every_bad_body_is_refused_however_it_arrives(name: str, in_chunks: bool) -> None:
    body, content_type, status, slug = REFUSED[name]
    step = 1 if len(body) < 20_000 else 4096
    chunks = pieces(body[i : i + step] for i in range(0, len(body), step))
    response = await post(chunks if in_chunks else body, content_type)
    assert response.status_code == status
    assert response.headers["content-type"] == MEDIA_TYPE
    assert response.json()["type"] == f"/problems/{slug}"


PASSED: dict[str, tuple[bytes, str]] = {
    "a file": (part(b"data") + END, "data"),
    "a file of the largest size": (part(b"x" * LIMIT) + END, "x" * LIMIT),
    "a file of an unknown type": (part(b"data", kind="application/octet-stream") + END, "data"),
    "a file that doesn't say what it is": (part(b"data", kind=None) + END, "data"),
    "a file that holds a boundary of its own": (part(b"a\r\n--C\r\nb") + END, "a\r\n--C\r\nb"),
    "a file with an odd name": (part(b"data", filename="../../etc/passwd") + END, "data"),
    "a preamble of line breaks": (b"\r\n\r\n" + part(b"data") + END, "data"),
    "an epilogue": (part(b"data") + END + b"bye", "data"),
}


@pytest.mark.parametrize("in_chunks", [False, True], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("name", PASSED)
async def test_one_file_goes_on_alone_and_without_its_name(name: str, in_chunks: bool) -> None:
    body, data = PASSED[name]
    chunks = pieces(body[i : i + 1] for i in range(len(body)))
    response = await post(chunks if in_chunks else body)
    assert response.status_code == 200
    assert response.json() == [["file", "image", None, data]]


async def test_other_routes_and_methods_are_left_alone() -> None:
    transport = httpx.ASGITransport(guard())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/predict")).json() == []
        assert (await client.get("/health")).json() == []


async def test_a_slow_upload_is_ended_by_its_deadline() -> None:
    response = await post(pieces([part(), END], pause=0.2), timeout=0.3)
    assert response.status_code == 408
    assert response.json()["type"] == "/problems/upload-timeout"


async def test_a_too_long_announced_body_is_refused_unread() -> None:
    sent: list[Message] = []
    asked = 0

    async def receive() -> Message:
        nonlocal asked
        asked += not sent
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-type", MULTIPART.encode()), (b"content-length", b"99999999")]
    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": headers}
    await guard()(scope, receive, send)
    assert sent[0]["status"] == 413
    assert (b"connection", b"close") in sent[0]["headers"]
    assert asked == 0
    assert not sent[-1].get("more_body", False)


async def test_a_client_that_goes_away_is_not_answered() -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "headers": [(b"content-type", MULTIPART.encode())],
    }
    await guard()(scope, receive, send)
    assert sent == []
