import asyncio

import pytest

from bento.connections import Gathering

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Wire(asyncio.Transport):
    """What a socket would be told to send, call by call."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


async def test_headers_and_body_leave_together() -> None:
    wire = Wire()
    transport = Gathering(wire, asyncio.get_running_loop())
    transport.write(b"headers ")
    transport.write(b"body")
    await asyncio.sleep(0)
    transport.write(b"the next answer")
    await asyncio.sleep(0)
    assert wire.sent == [b"headers body", b"the next answer"]


async def test_what_was_written_leaves_before_the_connection_closes() -> None:
    wire = Wire()
    transport = Gathering(wire, asyncio.get_running_loop())
    transport.write(b"refused")
    transport.close()
    await asyncio.sleep(0)
    assert wire.closed
    assert wire.sent == [b"refused"]


async def test_nothing_is_sent_to_a_client_that_has_gone() -> None:
    wire = Wire()
    transport = Gathering(wire, asyncio.get_running_loop())
    transport.write(b"too late")
    wire.close()
    await asyncio.sleep(0)
    assert wire.sent == []
    assert transport.is_closing()
