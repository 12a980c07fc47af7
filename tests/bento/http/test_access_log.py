import json
import logging

import httpx
import pytest
from prometheus_client import REGISTRY
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from bento.http.access_log import AccessLog, RequestJsonFormatter
from bento.http.problems import CLIENT_GONE, ProblemDocuments

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/crash":
        raise RuntimeError("crash")
    if scope["path"] != "/silent":
        await PlainTextResponse("done")(scope, receive, send)


def observed() -> AccessLog:
    return AccessLog(application, routes=frozenset({"/known"}), quiet=frozenset({"/probe"}))


def count(route: str, status: int) -> float:
    labels = {"route": route, "status": str(status)}
    return REGISTRY.get_sample_value("chest_xray_request_seconds_count", labels) or 0


async def get(path: str) -> httpx.Response:
    app = ProblemDocuments(observed())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.get(path)


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [("/known", "/known", 200), ("/made-up", "other", 200), ("/crash", "other", 500)],
)
async def test_every_request_is_measured_and_logged(
    caplog: pytest.LogCaptureFixture, path: str, route: str, status: int
) -> None:
    before = count(route, status)
    caplog.handler.setFormatter(RequestJsonFormatter())
    with caplog.at_level(logging.INFO, logger="bento.http.access_log"):
        response = await get(path)
    assert response.status_code == status
    assert count(route, status) == before + 1
    lines = [json.loads(line) for line in caplog.text.splitlines()]
    line = next(line for line in lines if line["message"] == "request")
    assert (line["method"], line["path"], line["status"]) == ("GET", path, status)
    assert line["request_id"] == response.headers["x-request-id"]
    assert line["level"] == "INFO"


async def test_a_client_that_left_is_counted_as_such() -> None:
    async def nothing() -> Message:
        raise AssertionError

    async def nobody(message: Message) -> None:
        raise AssertionError

    before = count("other", CLIENT_GONE)
    await observed()({"type": "http", "method": "GET", "path": "/silent", "headers": []}, nothing, nobody)
    assert count("other", CLIENT_GONE) == before + 1


async def test_probes_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="bento.http.access_log"):
        assert (await get("/probe")).text == "done"
    assert not caplog.records


def test_a_multi_line_message_stays_one_line() -> None:
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, "a\nb %s", ("ü",), None)
    text = RequestJsonFormatter().format(record)
    assert "\n" not in text
    assert json.loads(text)["message"] == "a\nb ü"
