"""A load client that is cheap enough to share the machine with what it measures.

``python -m tests.benchmarks.load URL --clients 32 --seconds 5 IMAGE...`` prints one line of JSON. Each client holds
one connection and sends its next request as soon as the last answer is complete (a closed loop). Requests are made
once, before the clock starts; answers are cut out of the stream by their Content-Length and not looked into.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

BOUNDARY = "load-client-boundary"


@dataclass(frozen=True)
class Load:
    """What one run measured; latencies in milliseconds, of answers with status 200."""

    clients: int
    per_second: float
    """Answers with status 200 a second."""
    p50: float
    p99: float
    answers: int
    """All of them, the warm-up's too."""
    errors: int
    """Other answers than 200, and broken connections."""
    statuses: dict[str, int]


class Client(asyncio.Protocol):
    """One connection in a closed loop."""

    def __init__(self, requests: Iterator[bytes], tally: "Tally", pace: float) -> None:
        self._requests = requests
        self._tally = tally
        self._pace = pace
        self._buffer = bytearray()
        self._end = 0
        self._begin = 0.0
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._end:
            head = self._buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            self._end = head + 4 + _content_length(bytes(self._buffer[:head]).lower())
        if len(self._buffer) < self._end:
            return
        self._tally.answered(self._buffer[9:12].decode(), time.perf_counter() - self._begin)
        self._buffer.clear()
        self._end = 0
        early = self._begin + self._pace - time.perf_counter()
        if early > 0:
            asyncio.get_running_loop().call_later(early, self._send)
        else:
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)

    def close(self) -> None:
        self._transport.abort()

    def _send(self) -> None:
        if self._transport.is_closing():
            return
        self._begin = time.perf_counter()
        self._transport.write(next(self._requests))


class Tally:
    """Statuses and latencies while the clock runs."""

    def __init__(self) -> None:
        self.running = False
        self.all = 0
        self.statuses: Counter[str] = Counter()
        self.seconds: list[float] = []

    def answered(self, status: str, seconds: float) -> None:
        self.all += 1
        if self.running:
            self.statuses[status] += 1
            if status == "200":
                self.seconds.append(seconds)


async def run(
    url: str,
    requests: list[bytes],
    clients: int,
    seconds: float,
    *,
    warm_up: float = 0.5,
    limit: int = 0,
    rate: float = 0,
) -> Load:
    """Load a server; the warm-up is not counted.

    Args:
        url: of the server; only its host and port are used.
        requests: whole HTTP requests; the clients take turns with them.
        limit: stop after this many answers, though the time is not over; 0: none.
        rate: requests a second that all clients offer together at most; 0: as many as they can.
    """
    pace = clients / rate if rate else 0.0
    address = urlsplit(url)
    tally = Tally()
    endless = itertools.cycle(requests)
    stop = time.perf_counter() + warm_up + seconds
    running = [
        asyncio.ensure_future(_reconnect(address.hostname or "", address.port or 80, endless, tally, pace, stop))
        for _ in range(clients)
    ]
    await asyncio.sleep(warm_up)
    tally.running = True
    begin = time.perf_counter()
    while time.perf_counter() < stop and not (limit and tally.statuses.total() >= limit):
        await asyncio.sleep(min(0.05, max(0.0, stop - time.perf_counter())))
    tally.running = False
    took = time.perf_counter() - begin
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return _summary(tally, clients, took)


async def _reconnect(host: str, port: int, requests: Iterator[bytes], tally: Tally, pace: float, stop: float) -> None:
    while time.perf_counter() < stop:
        client: Client | None = None
        try:
            _, client = await asyncio.get_running_loop().create_connection(
                lambda: Client(requests, tally, pace), host, port
            )
            await client.lost
        except OSError:
            await asyncio.sleep(0.05)
        finally:
            if client is not None:
                client.close()
        tally.answered("broken", 0.0)


def _summary(tally: Tally, clients: int, took: float) -> Load:
    ordered = sorted(1000 * value for value in tally.seconds)
    good = tally.statuses["200"]
    return Load(
        clients=clients,
        per_second=good / took,
        p50=statistics.median(ordered) if ordered else float("nan"),
        p99=ordered[int(0.99 * (len(ordered) - 1))] if ordered else float("nan"),
        answers=tally.all,
        errors=tally.statuses.total() - good,
        statuses=dict(tally.statuses),
    )


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    raise ValueError("an answer without Content-Length")


def image_request(radiograph: bytes, host: str, path: str = "/predict") -> bytes:
    """One upload as a whole HTTP request."""
    head = 'Content-Disposition: form-data; name="file"; filename="image.jpg"\r\nContent-Type: image/jpeg'
    body = b"".join((f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode(), radiograph, f"\r\n--{BOUNDARY}--\r\n".encode()))
    lines = (
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("radiographs", nargs="+", type=Path)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--limit", type=int, default=0, help="stop after so many answers")
    parser.add_argument("--rate", type=float, default=0, help="offer so many requests a second at most")
    options = parser.parse_args()
    address = urlsplit(options.url)
    requests = [
        image_request(radiograph.read_bytes(), address.netloc, address.path) for radiograph in options.radiographs
    ]
    load = run(options.url, requests, options.clients, options.seconds, limit=options.limit, rate=options.rate)
    print(json.dumps(asdict(asyncio.run(load))))


if __name__ == "__main__":
    main()
