import asyncio
import time

import httpx
import pytest
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bento.http.admission import FILES, TICKET, Admission, Door, Places
from bento.http.worker_pool import WorkerPool

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def admission(app: ASGIApp, limit: int, timeout: float) -> Admission:
    return Admission(app, paths=frozenset({"/predict"}), places=Places(limit), timeout=timeout)


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
    async with client(admission(Worker(0.05), limit=3, timeout=5)) as http:
        answers = await asyncio.gather(*(http.post("/predict") for _ in range(3)))
    assert [answer.text for answer in answers] == ["done"] * 3


async def test_requests_beyond_the_limit_are_told_at_once_to_try_again() -> None:
    async with client(admission(Worker(0.3), limit=1, timeout=5)) as http:
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


async def test_the_place_is_free_before_the_client_has_the_answer() -> None:
    places = Places(1)
    free: list[bool] = []

    async def receive() -> Message:
        await asyncio.sleep(10)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        free.append(not places.full)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("done")(scope, receive, send)

    scope = {"type": "http", "path": "/predict", "method": "POST"}
    await Admission(app, paths=frozenset({"/predict"}), places=places, timeout=5)(scope, receive, send)
    assert free == [False, True]  # the head of the answer, then its end
    assert places.taken == 0


async def test_a_passed_deadline_is_answered_at_once_but_keeps_its_place_until_the_thread_ends() -> None:
    worker = Worker(0.5)
    async with client(admission(worker, limit=1, timeout=0.1)) as http:
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


async def test_work_that_nobody_waits_for_is_not_begun() -> None:
    done: list[str] = []

    def slow(name: str) -> str:
        time.sleep(0.3)
        done.append(name)
        return name

    threads: WorkerPool[str, str, str] = WorkerPool(1, slow, list)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await threads.run(Headers(scope=scope)["x-name"], scope[TICKET])
        await PlainTextResponse("done")(scope, receive, send)

    async with client(admission(app, limit=3, timeout=0.45)) as http:
        answers = await asyncio.gather(*(http.post("/predict", headers={"x-name": n}) for n in "ab"))
        assert [answer.status_code for answer in answers] == [200, 504]
        # A client that goes away: its turn comes, and nothing is done.
        first = asyncio.create_task(http.post("/predict", headers={"x-name": "c"}))
        await asyncio.sleep(0.05)
        await leave(admission(app, limit=3, timeout=5), b"d")
        await first
        await asyncio.sleep(0.4)
    assert done == ["a", "b", "c"]


async def leave(app: ASGIApp, name: bytes) -> None:
    """Ask, and go away before the answer."""

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError("nobody is there")

    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [(b"x-name", name)]}
    await app(scope, receive, send)


async def test_a_batch_takes_a_place_for_each_image() -> None:
    places = Places(3)
    app = Admission(Worker(0.2), paths=frozenset({"/predict"}), places=places, timeout=5)

    async def batch(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, FILES: [b"", b""]}, receive, send)

    async with client(batch) as http:
        answers = await asyncio.gather(http.post("/predict"), http.post("/predict"))
    assert sorted(answer.status_code for answer in answers) == [200, 503]
    await asyncio.sleep(0)
    assert places.taken == 0


def test_the_door_is_shut_for_uploads_alone_and_while_no_place_is_free_only() -> None:
    places = Places(1)
    door = Door(frozenset({"/predict"}), places)
    places.take(1)
    assert not door.admits({"method": "POST", "path": "/predict"})
    assert door.admits({"method": "GET", "path": "/predict"})
    assert door.admits({"method": "POST", "path": "/health"})
    assert places.expected == 0


async def test_uploads_that_have_just_begun_count_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bento.http.admission.EXPECTED_SECONDS", 0.2)
    upload = {"method": "POST", "path": "/predict"}
    places = Places(2)
    door = Door(frozenset({"/predict"}), places)
    assert [door.admits({**upload}) for _ in range(3)] == [True, True, False]
    await asyncio.sleep(0.3)  # neither has taken a place: they are slow, and keep nobody out
    assert door.admits({**upload})
    app = Admission(Worker(0), paths=frozenset({"/predict"}), places=places, timeout=5)

    async def with_expectation(scope: Scope, receive: Receive, send: Send) -> None:
        assert door.admits(scope)
        await app(scope, receive, send)

    async with client(with_expectation) as http:
        assert (await http.post("/predict")).text == "done"  # it is expected no more: it is here
    await asyncio.sleep(0.3)
    assert (places.taken, places.expected) == (0, 0)


async def test_a_crash_reaches_the_middleware_outside() -> None:
    async def crash(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("crash")

    async with client(admission(crash, limit=1, timeout=1)) as http:
        with pytest.raises(RuntimeError, match="crash"):
            await http.post("/predict")
