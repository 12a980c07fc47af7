"""What goes wrong in production, done to a real ``bentoml serve`` process."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from bento.http.problems import MEDIA_TYPE
from bento.settings import SUPERVISOR
from tests.support import pictures
from tests.support.server import service_process

IMAGE = pictures.GOOD["a grey PNG"]
SLOW = pictures.encode(Image.fromarray(np.zeros((4800, 4800), np.uint8)), "PNG")
"""23 megapixels: a tenth of a second of decoding in a hundred kilobytes or less."""
PLACES = 4
HEADER_SECONDS = 2
UPLOAD_SECONDS = 3
STALLED = 200
HEAD = b"POST /predict HTTP/1.1\r\nHost: a\r\n"
FORM = HEAD + b"Content-Type: multipart/form-data; boundary=B\r\n"
PART = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'


@pytest.fixture(scope="module")
def faulty(stored_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, psutil.Process]]:
    """A service with one thread, few places and short deadlines."""
    with one_service(stored_artifact, tmp_path_factory.mktemp("faulty") / "log") as (url, process):
        yield url, psutil.Process(process.pid)


@contextlib.contextmanager
def one_service(artifact: Path, log: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with service_process(
        log,
        CHEST_XRAY_MODEL=f"chest_xray:{artifact.name}",
        CHEST_XRAY_THREADS="1",
        CHEST_XRAY_MAX_BATCH=str(PLACES),
        CHEST_XRAY_MAX_CONCURRENCY=str(PLACES),
        CHEST_XRAY_HEADER_TIMEOUT=str(HEADER_SECONDS),
        CHEST_XRAY_UPLOAD_TIMEOUT=str(UPLOAD_SECONDS),
    ) as pair:
        yield pair


def post(url: str, data: bytes = IMAGE) -> tuple[httpx.Response, float]:
    """An answer and the seconds that it took."""
    begin = time.monotonic()
    answer = httpx.post(f"{url}/predict", files={"file": ("a.png", data)}, timeout=30)
    return answer, time.monotonic() - begin


def worker_of(process: psutil.Process) -> psutil.Process:
    """The process that serves, a child of the one that was started."""
    found = [child for child in process.children() if "worker.service" in " ".join(child.cmdline())]
    assert len(found) == 1
    return found[0]


def connect(url: str, data: bytes) -> socket.socket:
    address = httpx.URL(url)
    assert address.port is not None
    connection = socket.create_connection((address.host, address.port), timeout=20)
    connection.sendall(data)
    return connection


def read_to_the_end(connection: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


def read_until(end: bytes, connection: socket.socket) -> bytes:
    received = b""
    while end not in received:
        chunk = connection.recv(65536)
        assert chunk, received
        received += chunk
    return received


def test_overload_is_refused_at_once_and_what_was_accepted_is_answered(
    faulty: tuple[str, psutil.Process],
) -> None:
    url, _ = faulty
    alone = post(url, SLOW)[1]
    with ThreadPoolExecutor(6 * PLACES) as pool:
        answers = list(pool.map(lambda _: post(url, SLOW), range(6 * PLACES)))
    accepted = [seconds for answer, seconds in answers if answer.status_code == 200]
    refused = [(answer, seconds) for answer, seconds in answers if answer.status_code == 503]
    assert len(accepted) >= PLACES
    assert len(refused) >= PLACES
    assert len(accepted) + len(refused) == len(answers)
    assert max(accepted) < 10 * PLACES * max(alone, 0.2)
    for answer, _ in refused:
        assert answer.headers["content-type"] == MEDIA_TYPE
        assert answer.json()["type"] == "/problems/overloaded"
        assert int(answer.headers["retry-after"]) >= 1
    assert post(url)[0].status_code == 200


def test_stalled_clients_keep_nobody_out_and_are_ended(faulty: tuple[str, psutil.Process]) -> None:
    url, _ = faulty
    length = b"Content-Length: 5000\r\n\r\n"
    kinds = (
        b"",
        HEAD + b"X-Slow: ",
        FORM + length + PART,
        FORM + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%s\r\n" % (len(PART), PART),
    )
    with contextlib.ExitStack() as stack:
        stalled = [stack.enter_context(connect(url, kind)) for kind in kinds for _ in range(STALLED // len(kinds))]
        time.sleep(0.1)
        for _ in range(3):
            answer, seconds = post(url)
            assert answer.status_code == 200
            assert seconds < 2
        begin = time.monotonic()
        ends = [read_to_the_end(connection) for connection in stalled]
        assert time.monotonic() - begin < HEADER_SECONDS + UPLOAD_SECONDS + 8
    assert all(end.startswith(b"HTTP/1.1 408 ") for end in ends)
    assert all(b"/problems/upload-timeout" in end for end in ends)


def test_a_request_after_a_pause_has_a_deadline_of_its_own(faulty: tuple[str, psutil.Process]) -> None:
    with connect(faulty[0], b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n") as connection:
        assert read_until(b'"ok"}', connection).startswith(b"HTTP/1.1 200 ")
        time.sleep(HEADER_SECONDS + 0.5)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_until(b'"ok"}', connection).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"GET /hea")
        assert read_to_the_end(connection).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("data", "status", "slug"),
    [
        (b"GARBAGE\r\n\r\n", 400, "malformed-request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400, "malformed-request"),
        (HEAD + b"Content-Length: many\r\n\r\n", 400, "malformed-request"),
        (HEAD + b"X-A: " + b"a" * 200_000, 431, "headers-too-large"),
    ],
    ids=["garbage", "TLS", "a wrong length", "endless headers"],
)
def test_what_is_no_http_is_a_problem_too(
    faulty: tuple[str, psutil.Process], data: bytes, status: int, slug: str
) -> None:
    address = httpx.URL(faulty[0])
    assert address.port is not None
    with socket.create_connection((address.host, address.port), timeout=20) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
        head, _, body = read_to_the_end(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert MEDIA_TYPE.encode() in head
    assert f"/problems/{slug}".encode() in body


def test_a_worker_knows_the_process_that_looks_after_it(faulty: tuple[str, psutil.Process]) -> None:
    _, process = faulty
    worker = worker_of(process)
    # By this a worker tells that it is one: only workers hold the model.
    assert worker.environ()[SUPERVISOR] == str(process.pid) == str(worker.ppid())


def test_a_killed_worker_is_replaced(faulty: tuple[str, psutil.Process]) -> None:
    url, process = faulty
    before = worker_of(process)
    before.kill()
    answer, _ = post(url)
    assert answer.status_code == 200
    assert worker_of(process).pid != before.pid


def test_on_sigterm_running_requests_finish_and_the_exit_is_clean(stored_artifact: Path, tmp_path: Path) -> None:
    with one_service(stored_artifact, tmp_path / "log") as (url, process):
        answers: list[tuple[float, int | None]] = []

        def ask_until_refused() -> None:
            with httpx.Client(timeout=30) as client:
                while not answers or answers[-1][1] is not None:
                    begin = time.monotonic()
                    try:
                        answer = client.post(f"{url}/predict", files={"file": ("a.png", SLOW)})
                    except httpx.TransportError:
                        answers.append((begin, None))
                        return
                    answers.append((begin, answer.status_code))

        clients = [threading.Thread(target=ask_until_refused) for _ in range(PLACES)]
        for client in clients:
            client.start()
        for _ in range(5):
            connect(url, FORM + b"Content-Length: 5000\r\n\r\n" + PART).close()  # goes away halfway
        time.sleep(1)
        end = time.monotonic()
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        for client in clients:
            client.join(timeout=20)
        assert {status for begin, status in answers if begin < end} == {200}
        assert len(answers) > PLACES
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/readyz")
    assert "Traceback" not in (tmp_path / "log").read_text()
