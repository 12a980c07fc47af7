import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from bento.http.admission import Door, Places
from bento.http.uvicorn_protocol import BoundedProtocol
from tests.support.server import free_port

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


HEADER_SECONDS = 0.5
UPLOAD = b"POST /predict HTTP/1.1\r\nHost: a\r\n"
HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE = 400_000
"""Bytes of a body: more than arrive with the headers, and more than headers may have."""


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body, and says its length."""
    count, more = 0, True
    while more:
        message = await receive()
        count, more = count + len(message.get("body", b"")), message.get("more_body", False)
    await PlainTextResponse(f"{scope['path']} {count}")(scope, receive, send)


@contextlib.asynccontextmanager
async def connected(places: Places) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a real server with this protocol."""

    class Protocol(BoundedProtocol):
        header_timeout = HEADER_SECONDS
        door = Door(frozenset({"/predict"}), places)
        wrap = staticmethod(lambda app: app)

    port = free_port()
    config = uvicorn.Config(hello, port=port, http=Protocol, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    # Not `serve`, which takes the process's signals.
    running = asyncio.create_task(server._serve())
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        yield reader, writer
        writer.close()
    finally:
        server.should_exit = True
        await running


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the next answer."""
    async with asyncio.timeout(5):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return int(status.split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


async def test_an_upload_is_refused_at_the_door_and_the_connection_stays() -> None:
    places = Places(1)
    places.take(1)
    async with connected(places) as (reader, writer):
        writer.write(UPLOAD + b"Content-Length: 3\r\n\r\nabc")
        status, headers, body = await answer(reader)
        assert (status, headers["content-type"], headers["retry-after"]) == (
            503,
            "application/problem+json",
            "1",
        )
        problem = json.loads(body)
        assert (problem["type"], problem["request_id"]) == ("/problems/overloaded", headers["x-request-id"])
        await asyncio.sleep(2 * HEADER_SECONDS)
        writer.write(HEALTH)
        assert (await answer(reader))[2] == b"/health 0"
        places.give_back(1)
        writer.write(UPLOAD + b"Content-Length: 3\r\n\r\nabc")
        assert (await answer(reader))[2] == b"/predict 3"


async def test_the_rest_of_a_refused_upload_is_passed_over() -> None:
    places = Places(1)
    places.take(1)
    async with connected(places) as (reader, writer):
        writer.write(UPLOAD + f"Content-Length: {LARGE}\r\n\r\n".encode())
        assert (await answer(reader))[0] == 503
        writer.write(bytes(LARGE // 2))
        await asyncio.sleep(0.05)
        writer.write(bytes(LARGE // 2) + HEALTH)
        assert (await answer(reader))[2] == b"/health 0"


async def test_a_refused_upload_that_does_not_end_is_cut_off_without_a_second_answer() -> None:
    places = Places(1)
    places.take(1)
    async with connected(places) as (reader, writer):
        writer.write(UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        assert (await answer(reader))[0] == 503
        async with asyncio.timeout(5):
            assert await reader.read() == b""


async def test_who_closes_after_the_answer_gets_it_though_the_body_comes_late() -> None:
    places = Places(1)
    places.take(1)
    async with connected(places) as (reader, writer):
        writer.write(UPLOAD + f"Connection: close\r\nContent-Length: {LARGE}\r\n\r\n".encode())
        await asyncio.sleep(0.05)
        writer.write(bytes(LARGE))
        await writer.drain()
        status, headers, _ = await answer(reader)
        assert (status, headers["connection"]) == (503, "close")
        async with asyncio.timeout(5):
            assert await reader.read() == b""


async def test_refusals_do_not_overtake_answers() -> None:
    places = Places(1)
    places.take(1)
    async with connected(places) as (reader, writer):
        writer.write(HEALTH + (UPLOAD + b"Content-Length: 1\r\n\r\na") * 2 + HEALTH)
        answers = [await answer(reader) for _ in range(4)]
        # Those behind another request go the ordinary way, at whose end the places are counted again.
        assert [body for *_, body in answers] == [b"/health 0", b"/predict 1", b"/predict 1", b"/health 0"]
        writer.write((UPLOAD + b"Content-Length: 1\r\n\r\na") * 2 + HEALTH)
        statuses = [(await answer(reader))[0] for _ in range(3)]
        assert statuses == [503, 503, 200]
