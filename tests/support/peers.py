"""Real HTTP servers in the place of the service and of a DICOMweb archive, and certificates for them."""

import contextlib
import json
import re
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bento.pacs.judge import Judge


@dataclass
class Peer:
    """A real HTTP server that answers with what it is told to, and keeps what it was sent."""

    status: int = 200
    first: list[int] = field(default_factory=list)
    """Statuses of the first requests, before ``status``."""
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    answer: Callable[[bytes], bytes] | None = None
    url: str = ""


@contextlib.contextmanager
def answering(certificate: tuple[Path, Path] | None = None) -> Iterator[Peer]:
    """A peer on the loopback interface, by HTTPS where it is given a certificate and its key."""
    peer = Peer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            peer.requests.append((self.path, dict(self.headers), content))
            status = peer.first.pop(0) if peer.first else peer.status
            body = peer.answer(content) if peer.answer and status == 200 else peer.body
            self.send_response(status)
            for name, value in (peer.headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    peer.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
    try:
        yield peer
    finally:
        server.shutdown()
        server.server_close()


def stored(content: bytes) -> bytes:
    """What a DICOMweb server answers that stores everything."""
    uids = set(re.findall(rb"\x08\x00\x18\x00UI..(2\.25\.\d+)", content))
    return json.dumps({"00081199": {"Value": [{"00081155": {"Value": [uid.decode()]}} for uid in uids]}}).encode()


def answers_of(judge: Judge, film: bytes) -> Callable[[bytes], bytes]:
    """What a service answers whose model says of each image what a judge says of a film."""
    answer, model = judge.judge(film)
    metadata = {"model_name": model.name, "model_version": model.version, "notice": None}
    told = json.dumps(metadata | {"files": {"model.onnx": model.sha256}}).encode()
    prediction = answer.model_dump_json().encode()
    return lambda content: prediction if content else told


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    files = folder / f"{name}.crt", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    return files
