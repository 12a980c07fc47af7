from urllib.parse import urljoin

import httpx
import pytest
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import Receive, Scope, Send

from bento.http.redirects import RelativeRedirects

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize(
    ("path", "target", "location"),
    [
        pytest.param("/docs/", "http://inside:3000/docs", "../docs", id="a slash too many"),
        pytest.param("/page", "http://inside:3000/page/", "page/", id="a slash missing"),
        pytest.param("/a/b/", "http://inside:3000/a/b?x=1&y=/", "../../a/b?x=1&y=/", id="deeper, with a query"),
        pytest.param("/docs/", "/docs", "../docs", id="a path alone"),
    ],
)
async def test_the_target_is_relative_to_the_requests_path(path: str, target: str, location: str) -> None:
    async def redirect(scope: Scope, receive: Receive, send: Send) -> None:
        await RedirectResponse(target)(scope, receive, send)

    transport = httpx.ASGITransport(RelativeRedirects(redirect))
    async with httpx.AsyncClient(transport=transport, base_url="http://inside:3000") as client:
        answer = await client.get(httpx.URL("http://inside:3000").copy_with(raw_path=path.encode()))
    assert answer.headers["location"] == location
    assert urljoin(f"https://outside/xray{path}", location).startswith("https://outside/xray/")


async def test_other_answers_are_left_alone() -> None:
    transport = httpx.ASGITransport(RelativeRedirects(PlainTextResponse("fine")))
    async with httpx.AsyncClient(transport=transport, base_url="http://inside:3000") as client:
        answer = await client.get("/docs")
    assert (answer.text, "location" in answer.headers) == ("fine", False)
