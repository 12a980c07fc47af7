"""Real Prometheus and Alertmanager processes that watch a service by the project's own rules."""

import contextlib
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.support.server import ROOT, free_port

RULES = ROOT / "bento/packaging/prometheus-rules.yaml"
START_SECONDS = 30
PROMETHEUS = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{alertmanager}"]}}]}}]}}
scrape_configs:
  - job_name: chest-xray
    static_configs: [{{targets: ["{target}"]}}]
"""
ALERTMANAGER = """\
route: {{receiver: here, group_by: ["..."], group_wait: 0s, group_interval: 1s}}
receivers:
  - name: here
    webhook_configs: [{{url: "http://127.0.0.1:{webhook}/", send_resolved: false}}]
"""


class Notifications:
    """What Alertmanager has sent, as labels of the alerts, each once."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, str]] = []
        self.any = threading.Event()

    def add(self, document: bytes) -> None:
        """Take the body of a webhook's request."""
        for alert in json.loads(document)["alerts"]:
            if alert["labels"] not in self.alerts:
                self.alerts.append(alert["labels"])
            self.any.set()


def find_missing() -> str:
    """The program that is not installed; empty where both are."""
    return next((name for name in ("prometheus", "prometheus-alertmanager") if shutil.which(name) is None), "")


@contextlib.contextmanager
def monitored(url: str, folder: Path) -> Iterator[Notifications]:
    """Watch the service at ``url``. Rules fire without their waiting time, which is only left out for speed."""
    prometheus, alertmanager = free_port(), free_port()
    (folder / "rules.yaml").write_text(re.sub(r"^ *for: .*\n", "", RULES.read_text(), flags=re.MULTILINE))
    with _webhook() as (notifications, webhook):
        (folder / "prometheus.yaml").write_text(
            PROMETHEUS.format(rules=folder / "rules.yaml", alertmanager=alertmanager, target=urlsplit(url).netloc)
        )
        (folder / "alertmanager.yaml").write_text(ALERTMANAGER.format(webhook=webhook))
        with (
            _running(folder, alertmanager, "prometheus-alertmanager", "alertmanager", "--cluster.listen-address="),
            _running(folder, prometheus, "prometheus", "prometheus"),
        ):
            yield notifications


@contextlib.contextmanager
def _webhook() -> Iterator[tuple[Notifications, int]]:
    notifications = Notifications()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            notifications.add(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield notifications, server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def _running(folder: Path, port: int, program: str, name: str, *words: str) -> Iterator[None]:
    command = [program, f"--config.file={folder / name}.yaml", f"--web.listen-address=127.0.0.1:{port}"]
    storage = "--storage.path" if name == "alertmanager" else "--storage.tsdb.path"
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([*command, f"{storage}={folder / name}", *words], stdout=log, stderr=log)
    try:
        for _ in range(10 * START_SECONDS):
            if process.poll() is not None:
                break
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/-/ready", trust_env=False).is_success:
                    break
            time.sleep(0.1)
        else:
            process.kill()
        if process.poll() is not None:
            raise AssertionError(f"{program} did not start:\n{(folder / f'{name}.log').read_text()}")
        yield
    finally:
        process.terminate()
        process.wait(30)
