import asyncio
import time

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from bento.limits import Admission, check_deadline
from bento.problems import ProblemError

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def client(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


class Worker:
    """An application whose work is done in a thread, as the service's is."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.running += 1
        try:
            await asyncio.to_thread(time.sleep, self.seconds)
        finally:
            self.running -= 1
        await PlainTextResponse("done")(scope, receive, send)


async def test_requests_within_the_limit_are_answered() -> None:
    async with client(Admission(Worker(0.05), path="/predict", limit=3, timeout=5)) as http:
        answers = await asyncio.gather(*(http.post("/predict") for _ in range(3)))
    assert [answer.text for answer in answers] == ["done"] * 3


async def test_requests_beyond_the_limit_are_told_at_once_to_try_again() -> None:
    async with client(Admission(Worker(0.3), path="/predict", limit=1, timeout=5)) as http:
        first = asyncio.create_task(http.post("/predict"))
        await asyncio.sleep(0.05)
        begin = time.monotonic()
        second = await http.post("/predict")
        assert time.monotonic() - begin < 0.2
        assert second.status_code == 503
        assert second.json()["type"] == "/problems/overloaded"
        assert int(second.headers["retry-after"]) >= 1
        assert (await http.get("/health")).text == "done"
        assert (await first).text == "done"
        assert (await http.post("/predict")).text == "done"


async def test_a_passed_deadline_is_answered_at_once_but_keeps_its_place_until_the_thread_ends() -> None:
    worker = Worker(0.5)
    async with client(Admission(worker, path="/predict", limit=1, timeout=0.1)) as http:
        begin = time.monotonic()
        late = await http.post("/predict")
        assert time.monotonic() - begin < 0.4
        assert late.status_code == 504
        assert late.json()["type"] == "/problems/deadline-exceeded"
        assert worker.running == 1
        assert (await http.post("/predict")).status_code == 503
        await asyncio.sleep(0.6)
        assert worker.running == 0
        assert (await http.post("/predict")).status_code == 504


async def test_work_whose_deadline_has_passed_is_not_begun() -> None:
    outcomes: list[str] = []

    async def queued(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.2)
        try:
            check_deadline()
            outcomes.append("worked")
        except ProblemError as error:
            outcomes.append(error.slug)

    async with client(Admission(queued, path="/predict", limit=1, timeout=0.1)) as http:
        assert (await http.post("/predict")).status_code == 504
        await asyncio.sleep(0.2)
    assert outcomes == ["deadline-exceeded"]


async def test_a_crash_reaches_the_middleware_outside() -> None:
    async def crash(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("crash")

    async with client(Admission(crash, path="/predict", limit=1, timeout=1)) as http:
        with pytest.raises(RuntimeError, match="crash"):
            await http.post("/predict")
