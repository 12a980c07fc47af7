import asyncio
from collections.abc import AsyncIterator, Iterable

import httpx
import pytest
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from bento.http.admission import FILES
from bento.http.multipart import FRAMING, Form
from bento.http.problems import MEDIA_TYPE
from bento.http.upload_memory import UploadMemory
from bento.http.uploads import EXPLAIN, UploadGuard

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
    """Stands where BentoML stands: says what the guard has left in the request's scope."""
    files = [file.decode("latin-1") for file in scope.get(FILES, [])]
    assert scope.get(EXPLAIN, False) is False
    await JSONResponse(files)(scope, receive, send)


FORMS = {"/predict": Form("file", 1, LIMIT, LIMIT), "/batch": Form("files", 3, LIMIT, 2 * LIMIT)}


def guard(timeout: float = 5, memory: int = 1_000_000) -> UploadGuard:
    return UploadGuard(echo, forms=FORMS, memory=UploadMemory(memory), timeout=timeout)


async def post(
    body: bytes | AsyncIterator[bytes],
    content_type: str | None = MULTIPART,
    path: str = "/predict",
    app: UploadGuard | None = None,
) -> httpx.Response:
    transport = httpx.ASGITransport(app or guard())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        headers = {"content-type": content_type} if content_type else {}
        return await client.post(path, content=body, headers=headers)


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
    "an empty file, which the image intake refuses": (part(b"") + END, ""),
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
    assert response.json() == [data]


async def test_other_routes_and_methods_are_left_alone() -> None:
    transport = httpx.ASGITransport(guard())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/predict")).json() == []
        assert (await client.get("/health")).json() == []


async def test_a_slow_upload_is_ended_by_its_deadline() -> None:
    response = await post(pieces([part(), END], pause=0.2), app=guard(timeout=0.3))
    assert response.status_code == 408
    assert response.json()["type"] == "/problems/upload-timeout"


async def test_several_files_go_on_in_their_order() -> None:
    body = part(b"one", name="files") + part(b"two", name="files") + END
    response = await post(body, path="/batch")
    assert response.json() == ["one", "two"]


@pytest.mark.parametrize(
    ("body", "slug"),
    [
        (part(name="files") * 4 + END, "wrong-field"),
        (part(name="files") + part() + END, "wrong-field"),
        (part(b"x" * (LIMIT + 1), name="files") + END, "file-too-large"),
        (part(b"x" * LIMIT, name="files") * 3 + part(b"x" * FRAMING, name="files"), "file-too-large"),
    ],
    ids=["too many files", "another field among them", "one too large", "too large together"],
)
async def test_a_batch_has_its_limits(body: bytes, slug: str) -> None:
    response = await post(body, path="/batch")
    assert response.json()["type"] == f"/problems/{slug}"


async def test_where_memory_is_short_the_oldest_upload_gives_way() -> None:
    app = guard(memory=1500)
    stalled = asyncio.create_task(post(pieces([part(b"x" * 900), END], pause=0.4), app=app))
    await asyncio.sleep(0.5)
    begin = asyncio.get_running_loop().time()
    answers = await asyncio.gather(*(post(part(b"y" * 900) + END, app=app) for _ in range(3)), stalled)
    assert [answer.status_code for answer in answers] == [200, 200, 200, 503]
    assert answers[-1].json()["type"] == "/problems/overloaded"
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert asyncio.get_running_loop().time() - begin < 2
    assert (await post(part(b"z" * 900) + END, app=app)).status_code == 200


async def test_an_upload_that_is_the_only_one_is_refused_where_there_is_no_memory() -> None:
    response = await post(part(b"x" * 900) + END, app=guard(memory=500))
    assert response.status_code == 503


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
