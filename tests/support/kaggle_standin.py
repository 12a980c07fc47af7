"""A stand-in for Kaggle: enough of its HTTP API on localhost:7777 for the real kagglehub client.

That client goes there when ``KAGGLE_API_ENVIRONMENT`` is ``TEST``.
"""

import io
import json
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

PORT = 7777
VERSION = 3


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip archive of files by name."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


class Standin(ThreadingHTTPServer):
    """Serves one dataset, ``owner/images``, as an archive; or refuses it with ``status``."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, archive: bytes, status: int, announced: int | None, md5: str | None) -> None:
        super().__init__(("127.0.0.1", PORT), _Handler)
        self.archive = archive
        self.status = status
        self.announced = len(archive) if announced is None else announced
        """Content-Length; more than there is: the connection breaks off."""
        self.md5 = md5
        """As the storage server announces it, in base 64."""
        self.requests: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Standin

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        asked = json.loads(self.rfile.read(size) or b"{}")
        call = self.path.rpartition("/")[2]
        self.server.requests.append(call)
        if (asked.get("ownerSlug"), asked.get("datasetSlug")) != ("owner", "images"):
            self._json(404, {"code": 404, "message": "Dataset not found"})
        elif call == "GetDataset":
            self._json(200, {"ownerRef": "owner", "titleNullable": "images", "currentVersionNumber": VERSION})
        elif self.server.status != 200:
            self._json(self.server.status, {"code": self.server.status, "message": "Permission denied"})
        else:
            # As Kaggle does: the bytes come from a storage server.
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{PORT}/storage/archive.zip")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def do_GET(self) -> None:
        self.server.requests.append("storage")
        self.send_response(200)
        self.send_header("Content-Type", "application/zip")
        self.send_header("Content-Length", str(self.server.announced))
        self.send_header("Accept-Ranges", "bytes")
        if self.server.md5 is not None:
            self.send_header("X-Goog-Hash", f"md5={self.server.md5}")
        self.end_headers()
        self.wfile.write(self.server.archive)

    def _json(self, status: int, body: dict[str, object]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def use_standin(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let kagglehub talk to localhost only, keep its cache in ``folder`` and find no credentials."""
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN", "KAGGLE_KERNEL_RUN_TYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "TEST")
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(folder / "cache"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(folder / "config"))
    monkeypatch.setenv("HOME", str(folder))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "localhost,127.0.0.1")


@contextmanager
def serve(
    archive: bytes = b"", status: int = 200, announced: int | None = None, md5: str | None = None
) -> Iterator[Standin]:
    """Run the stand-in; it waits its turn where another test run has the port."""
    for attempt in range(300):
        try:
            server = Standin(archive, status, announced, md5)
            break
        except OSError:
            if attempt == 299:
                raise
            time.sleep(0.1)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
