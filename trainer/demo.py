"""``make demo``: train on generated images, publish, serve, ask about one image, stop."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import httpx

from bento.artifact import STORE_NAME
from trainer.cli import main
from trainer.errors import UserError
from trainer.publishing.publish import model_version
from trainer.publishing.stored_models import served_tag
from trainer.running.runs import find_run
from trainer.settings import Settings

DATA = Path("data/demo")
FLAGS = ["--dataset", "sample", "--data-dir", str(DATA), "--backbone", "efficientnet_lite0"]
READY_SECONDS = 60.0
MODEL = "CHEST_XRAY_MODEL"
"""Environment variable that tells the service which model to serve."""


@contextmanager
def served(tag: str) -> Iterator[httpx.Client]:
    """A ``bentoml serve`` process of a stored model on a free port; gives a client of it and stops it at the end.

    Raises:
        UserError: it ends, or is not ready in time.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "bentoml", "serve", "--host", "127.0.0.1", "--port", str(port)]
    # Its own process group, so that its workers end with it.
    server = subprocess.Popen(command, env=os.environ | {MODEL: tag}, start_new_session=True)  # noqa: S603
    try:
        # Not through the proxy that the environment may name: it is this machine.
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            deadline = time.monotonic() + READY_SECONDS
            while not _ready(client):
                if server.poll() is not None or time.monotonic() > deadline:
                    raise UserError("the service did not start; its own lines above say why")
                time.sleep(0.2)
            yield client
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == HTTPStatus.OK
    except httpx.TransportError:
        return False


def demo() -> int:
    """Train, publish, serve and ask; returns an exit code."""
    code = main(["run", *FLAGS])
    if code:
        return code
    run = find_run(Settings())
    with run.predictions.open(encoding="utf-8") as stream:
        radiograph = next(row for row in csv.DictReader(stream) if row["label"] == "TUBERCULOSIS")
    tag = f"{STORE_NAME}:{model_version(run)}"
    try:
        with served(tag) as client:
            files = {"file": (DATA / radiograph["path"]).read_bytes()}
            answer = client.post("/predict", files=files).raise_for_status().json()
    except UserError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    print(
        f"\nasked about {DATA / radiograph['path']} (generated, made as {radiograph['label']}); the service answered:"
    )
    print(json.dumps(answer, indent=2))
    serve = "make serve" if tag == served_tag() else f"{MODEL}={tag} make serve"
    print(
        "\nThe images are generated: no number above has a clinical meaning. The service has been stopped again.\n\n"
        "open these two:\n"
        f"  the report  {run.report.resolve()}\n"
        f"  the page    http://localhost:3000, started again by: {serve}\n"
        "your own images: .venv/bin/python -m trainer --dataset path/to/images --backbone efficientnet_lite0"
    )
    return 0


if __name__ == "__main__":
    sys.exit(demo())
