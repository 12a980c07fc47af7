"""Uploads that are wrong on purpose, sent to a real service."""

import http.server
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import MAX_UPLOAD_BYTES
from tests.support import pictures
from tests.support.answers import assert_problem, post

IMAGE = pictures.GOOD["a grey PNG"]


def test_a_chunked_body_is_counted_as_it_arrives(client: httpx.Client) -> None:
    head = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        yield head
        for _ in range(20):
            sent += 1
            yield bytes(MAX_UPLOAD_BYTES // 10)

    response = client.post("/predict", content=body(), headers={"content-type": "multipart/form-data; boundary=B"})
    assert_problem(response, 413, "file-too-large")
    assert sent == 20


def test_a_stalled_upload_is_ended_and_keeps_nobody_out(client: httpx.Client) -> None:
    host, port = client.base_url.host, client.base_url.port
    assert port is not None
    with socket.create_connection((host, port), timeout=10) as stalled:
        stalled.sendall(
            b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n"
            b"Content-Type: multipart/form-data; boundary=B\r\n\r\n--B\r\n"
        )
        assert post(client, IMAGE).status_code == 200
        answer = b""
        while b"}" not in answer:
            chunk = stalled.recv(4096)
            assert chunk, "the connection ended before the answer did"
            answer += chunk
    assert b" 408 " in answer.splitlines()[0]
    assert b"/problems/upload-timeout" in answer


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """A web server that writes down who asks for what."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(IMAGE)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/image.png", asked
        server.shutdown()
        thread.join()


def test_a_url_is_never_fetched(client: httpx.Client, listener: tuple[str, list[str]]) -> None:
    url, asked = listener
    assert httpx.get(url).content == IMAGE
    asked.clear()
    assert_problem(client.post("/predict", files={"file": (None, url)}), 422, "wrong-field")
    assert_problem(client.post("/predict", data={"file": url}), 415, "unsupported-media-type")
    assert_problem(client.post("/predict", json={"file": url}), 415, "unsupported-media-type")
    assert_problem(client.post("/predict", content=url), 415, "unsupported-media-type")
    assert_problem(post(client, url.encode()), 415, "not-an-image")
    smuggled = b'\r\n--B\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + url.encode() + b"\r\n--B--"
    assert_problem(post(client, IMAGE[:50] + smuggled), 400, "damaged-image")
    assert asked == []
