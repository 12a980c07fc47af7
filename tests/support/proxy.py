"""A reverse proxy that serves another server below a path prefix, as nginx does with ``location /xray/``."""

import contextlib
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from tests.support.server import free_port

PREFIX = "/xray"
NGINX = """\
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off; client_max_body_size 10m; client_body_buffer_size 10m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location {prefix}/ {{ proxy_pass {target}/; proxy_set_header Host $host; }}
  }}
}}
"""
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-encoding", "content-length", "server", "date", "host"}


class _Handler(BaseHTTPRequestHandler):
    target: str

    def _forward(self) -> None:
        if not self.path.startswith(f"{PREFIX}/"):
            self.send_error(404)
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        url = self.target + self.path.removeprefix(PREFIX)
        answer = httpx.request(self.command, url, headers=headers, content=body, trust_env=False)
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("content-length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = do_HEAD = _forward  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def prefixed(target: str) -> Iterator[str]:
    """Serve ``target`` below ``/xray/`` by a small proxy of the tests; gives the URL without the last slash."""
    handler = type("Handler", (_Handler,), {"target": target})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{PREFIX}"
        finally:
            server.shutdown()
            thread.join()


def find_nginx() -> str | None:
    """Path of nginx, or None."""
    return shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


@contextlib.contextmanager
def nginx_prefixed(target: str, folder: Path) -> Iterator[str]:
    """As :func:`prefixed`, by a real nginx that keeps its files in ``folder``."""
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, port=port, prefix=PREFIX, target=target))
    process = subprocess.Popen([str(find_nginx()), "-c", str(configuration), "-e", str(folder / "error.log")])
    url = f"http://127.0.0.1:{port}{PREFIX}"
    try:
        for _ in range(100):
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{url}/health", trust_env=False)
                break
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(10)
