"""The long fuzzing run: ``python -m tests.benchmarks.fuzz --requests 20000``, against a service of its own.

Two thirds of the requests are uploads, a third is damaged on the wire; schemathesis then adds its own from the
OpenAPI document, where it is installed. At the end the worker's memory is compared with what it was after a quarter.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
from hypothesis import HealthCheck, Phase, given, settings

from bento.artifact import STORE_NAME
from tests.support.fuzzing import Upload, check, check_wire, send, send_wire, uploads, wire
from tests.support.server import ROOT, service_process

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
GROWTH = 0.05
DEADLINES = {"CHEST_XRAY_UPLOAD_TIMEOUT": "2", "CHEST_XRAY_PREDICT_TIMEOUT": "5"}
"""BentoML keeps a timer, about a kilobyte, for each request until both and ten seconds more would be over."""


def resident(process: psutil.Process) -> float:
    """Resident memory of the worker in MB."""
    worker = next(child for child in process.children() if "worker.service" in " ".join(child.cmdline()))
    return float(worker.memory_info().rss) / 1e6


def small_model(home: Path) -> Path:
    """Folder of a small artifact in a BentoML home of its own, which this process's services then use."""
    script = "from tests.support.artifacts import store_artifact; store_artifact('small')"
    os.environ |= {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
    return home / "models" / STORE_NAME / "small"


def repeat(count: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """So many random examples, not shrunk: each is a request."""
    return settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def fuzz(url: str, count: int) -> None:
    """Send ``count`` requests and check every answer."""
    with httpx.Client(base_url=url, timeout=30) as client:

        @repeat(2 * count // 3)
        @given(uploads())
        def upload(one: Upload) -> None:
            check(send(client, one), one.path)

        @repeat(count - 2 * count // 3)
        @given(wire())
        def damaged(data: bytes) -> None:
            check_wire(send_wire(client.base_url, data))

        upload()
        damaged()


def schemathesis(url: str, count: int, folder: Path) -> None:
    """Run schemathesis' command line on the service's OpenAPI document; ``folder`` is for what it writes."""
    command = shutil.which("schemathesis")
    if command is None:
        print("schemathesis is not installed: pip install -e '.[bench]'")
        return
    options = ["--checks", CHECKS, "--max-examples", str(count), "--phases", "fuzzing", "--no-color"]
    subprocess.run([command, "run", f"{url}/openapi.json", *options], cwd=folder, check=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    count = parser.parse_args().requests
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        small_model(Path(folder))
        url, process = stack.enter_context(service_process(Path(folder) / "log", **DEADLINES))
        root = psutil.Process(process.pid)
        fuzz(url, count // 4)
        before = resident(root)
        fuzz(url, count - count // 4)
        schemathesis(url, count // 20, Path(folder))
        after = resident(root)
        metrics = httpx.get(f"{url}/metrics").text
        log = (Path(folder) / "log").read_text()
    print("\n".join(line for line in metrics.splitlines() if line.startswith("chest_xray_request_seconds_count")))
    print(f"worker's memory: {before:.0f} MB after a quarter, {after:.0f} MB at the end")
    if "Traceback" in log:
        raise SystemExit("the log holds a traceback")
    if after > before * (1 + GROWTH):
        raise SystemExit("the memory has grown")


if __name__ == "__main__":
    main()
