"""Real ``bentoml serve`` processes."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
STOP_SECONDS = 30


def free_port() -> int:
    """A TCP port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def serve_command(port: int, bento: str = ".") -> list[str]:
    """What a user types, with this interpreter and another port."""
    return [sys.executable, "-m", "bentoml", "serve", bento, "--host", "127.0.0.1", "--port", str(port)]


@contextlib.contextmanager
def running_service(log: Path, bento: str = ".", **environment: str) -> Iterator[str]:
    """Serve a bento (default: the project's root) with these further environment variables.

    Gives the URL once it is ready.
    """
    with service_process(log, bento, **environment) as (url, _):
        yield url


@contextlib.contextmanager
def service_process(log: Path, bento: str = ".", **environment: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """As :func:`running_service`, with the process beside the URL; the caller may have ended it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            serve_command(port, bento),
            cwd=ROOT,
            env=os.environ | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(url, process, log)
        yield url, process
    finally:
        _stop(process)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(10 * START_SECONDS):
        if process.poll() is not None:
            break
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", trust_env=False).is_success:
                return
        time.sleep(0.1)
    raise AssertionError(f"bentoml serve did not become ready:\n{log.read_text()}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
