"""OpenTelemetry by BentoML's own switch: a real service sends its spans to a collector of this test."""

import io
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from PIL import Image

from tests.support.server import running_service

SECONDS = 30
"""Spans are sent in batches, at the latest five seconds after they ended."""


class Collector(ThreadingHTTPServer):
    """Takes what an OTLP exporter posts."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.found: list[ExportTraceServiceRequest] = []

    def spans(self, name: str) -> list[tuple[str, bytes]]:
        """Service and trace of the spans whose name begins so."""
        return [
            (attribute.value.string_value, span.trace_id)
            for request in self.found
            for group in request.resource_spans
            for attribute in group.resource.attributes
            if attribute.key == "service.name"
            for scope in group.scope_spans
            for span in scope.spans
            if span.name.startswith(name)
        ]


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        self.server.found.append(request)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_request_is_a_span_of_the_callers_trace(collector: Collector, stored_artifact: Path, tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.new("L", (120, 100), 90).save(stream, "PNG")
    options = {
        "exporter_type": "otlp",
        "sample_rate": "1.0",
        "otlp.protocol": "http",
        "otlp.endpoint": f"http://127.0.0.1:{collector.server_port}/v1/traces",
    }
    words = " ".join(f"services.chest_xray.tracing.{key}={value}" for key, value in options.items())
    trace = "0af7651916cd43dd8448eb211c80319c"
    with running_service(
        tmp_path / "log",
        CHEST_XRAY_MODEL=f"chest_xray:{stored_artifact.name}",
        BENTOML_CONFIG_OPTIONS=words,
    ) as url:
        answer = httpx.post(
            f"{url}/predict",
            files={"file": ("image.png", stream.getvalue(), "image/png")},
            headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"},
        )
        assert answer.is_success, answer.text
        deadline = time.monotonic() + SECONDS
        while not (spans := collector.spans("POST /predict")) and time.monotonic() < deadline:
            time.sleep(0.2)
    assert spans
    assert {name for name, _ in spans} == {"chest_xray"}
    assert bytes.fromhex(trace) in {found for _, found in spans}
    assert b"image.png" not in b"".join(request.SerializeToString() for request in collector.found)
