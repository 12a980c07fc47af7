"""Metrics for Prometheus and the probes, on a port of their own."""

import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bento.pacs.ledger import Ledger

REGISTRY = CollectorRegistry()
INTAKE = Counter("chest_xray_pacs_intake", "Images that came, by what became of them", ["outcome"], registry=REGISTRY)
REFUSED = Counter("chest_xray_pacs_refused_associations", "Associations that were refused", registry=REGISTRY)
JUDGE = Histogram("chest_xray_pacs_judge_seconds", "From the spool to the results of one image", registry=REGISTRY)
FAILURES = Counter(
    "chest_xray_pacs_failures", "Tries that failed, by what they were for", ["target"], registry=REGISTRY
)
SPOOL = Gauge("chest_xray_pacs_spool_bytes", "Bytes in the spool", registry=REGISTRY)
READ_SECONDS = 10
WAITING = ("found", "received", "judged")
"""States of images that something is still to be done with."""


class LedgerCollector(Collector):
    """Counts of the ledger, at the moment they are asked for."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def collect(self) -> Iterable[Metric]:
        images = GaugeMetricFamily("chest_xray_pacs_images", "Images by state", labels=["state"])
        for state, count in self._ledger.rows("SELECT state, COUNT(*) FROM images GROUP BY state"):
            images.add_metric([state], count)
        yield images
        sent = GaugeMetricFamily("chest_xray_pacs_deliveries", "Deliveries", labels=["destination", "state"])
        query = "SELECT destination, state, COUNT(*) FROM deliveries GROUP BY destination, state"
        for destination, state, count in self._ledger.rows(query):
            sent.add_metric([destination, state], count)
        yield sent
        oldest = GaugeMetricFamily("chest_xray_pacs_oldest_seconds", "Age of the oldest image that waits")
        oldest.add_metric([], oldest_age(self._ledger))
        yield oldest


def oldest_age(ledger: Ledger) -> float:
    """Seconds since the oldest image came that something is still to be done with; 0 where there is none."""
    moments = [
        float(row[0])
        for state in WAITING
        for row in ledger.rows("SELECT MIN(received) FROM images WHERE state = ?", (state,))
        if row[0] is not None
    ]
    return max(0.0, time.time() - min(moments)) if moments else 0.0


class Probes:
    """The HTTP server of ``/metrics``, ``/readyz`` and ``/livez``.

    Args:
        host, port: to listen on.
        why_not_ready: gives the reason for which nothing can be taken in; empty: none.

    Raises:
        OSError: the port can't be had.
    """

    def __init__(self, host: str, port: int, why_not_ready: Callable[[], str]) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = READ_SECONDS

            def do_GET(self) -> None:
                if self.path == "/metrics":
                    self._answer(200, generate_latest(REGISTRY), CONTENT_TYPE_LATEST)
                elif self.path == "/readyz":
                    reason = why_not_ready()
                    self._answer(503 if reason else 200, (reason or "ready").encode() + b"\n")
                elif self.path == "/livez":
                    self._answer(200, b"alive\n")
                else:
                    self._answer(404, b"there are /metrics, /readyz and /livez\n")

            def _answer(self, status: int, content: bytes, kind: str = "text/plain; charset=utf-8") -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                """Nothing is logged of it."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="probes", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
