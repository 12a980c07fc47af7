from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from bento.http.problems import KINDS, MEDIA_TYPE, ProblemDocuments, ProblemError, problems_answered, request_id

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def ask(
    endpoint: Callable[[Request], Awaitable[Response]],
    method: str = "GET",
    url: str = "/",
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    app = Starlette(routes=[Route("/", endpoint, methods=["GET"])], middleware=[Middleware(ProblemDocuments)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.request(method, url, headers=headers)


async def fine(request: Request) -> Response:
    return PlainTextResponse(request_id.get())


async def crash(request: Request) -> Response:
    raise RuntimeError("the password is 1234")


async def bentoml_error(request: Request) -> Response:
    return JSONResponse([{"error": "internals"}], 400)


async def unauthorized(request: Request) -> Response:
    raise HTTPException(401, headers={"WWW-Authenticate": "Bearer", "X-Internal": "secret"})


async def teapot(request: Request) -> Response:
    raise HTTPException(418)


async def problem(request: Request) -> Response:
    return ProblemError("empty-file", "the file is empty", {"Retry-After": "3"}).response()


async def streamed_error(request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    return StreamingResponse(parts(), 503)


@pytest.mark.parametrize(
    ("endpoint", "options", "status", "slug"),
    [
        pytest.param(crash, {}, 500, "internal-error", id="an exception"),
        pytest.param(bentoml_error, {}, 400, "request-error", id="BentoML's own JSON list"),
        pytest.param(fine, {"url": "/nowhere"}, 404, "not-found", id="an unknown route"),
        pytest.param(fine, {"method": "PUT"}, 405, "method-not-allowed", id="a wrong method"),
        pytest.param(teapot, {}, 418, "request-error", id="a status without a kind of its own"),
        pytest.param(streamed_error, {}, 503, "overloaded", id="a streamed error"),
        pytest.param(problem, {}, 400, "empty-file", id="a problem document already"),
    ],
)
async def test_every_error_becomes_a_problem_document(
    endpoint: Callable[[Request], Awaitable[Response]], options: dict[str, str], status: int, slug: str
) -> None:
    response = await ask(endpoint, options.get("method", "GET"), options.get("url", "/"))
    body = response.json()
    assert response.status_code == body["status"] == status
    assert response.headers["content-type"] == MEDIA_TYPE
    assert body["type"] == f"/problems/{slug}"
    assert body["request_id"] == response.headers["x-request-id"] != ""
    assert set(body) == {"type", "title", "status", "detail", "request_id"}
    assert "1234" not in response.text
    assert "internals" not in response.text


async def test_headers_that_tell_a_client_what_to_do_are_kept_and_others_are_not() -> None:
    response = await ask(unauthorized)
    assert response.headers["www-authenticate"] == "Bearer"
    assert "x-internal" not in response.headers
    assert (await ask(problem)).headers["retry-after"] == "3"


async def test_a_fine_answer_is_left_alone_but_for_the_request_id() -> None:
    response = await ask(fine)
    assert response.text == response.headers["x-request-id"]


@pytest.mark.parametrize(("given", "kept"), [("abc-123", True), ("a b", False), ("x" * 200, False), ("", False)])
async def test_a_sane_request_id_of_the_client_is_taken_over(given: str, kept: bool) -> None:
    response = await ask(fine, headers={"x-request-id": given})
    assert (response.text == given) is kept
    assert response.text


async def test_a_crash_is_logged_with_its_request_id(caplog: pytest.LogCaptureFixture) -> None:
    response = await ask(crash)
    assert response.headers["x-request-id"] in caplog.text


async def test_an_answered_function_returns_the_problem_as_a_response() -> None:
    @problems_answered
    async def refuse() -> int:
        raise ProblemError("not-an-image", "no")

    assert isinstance(await refuse(), JSONResponse)


@pytest.mark.parametrize("slug", KINDS)
def test_every_kind_is_an_error_that_says_what_to_do(slug: str) -> None:
    assert 400 <= KINDS[slug].status < 600
    assert KINDS[slug].advice.endswith((".", "…"))
