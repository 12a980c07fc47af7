"""The metrics for Prometheus. BentoML's own ones are off: they take a new label for each unknown path.

``bentoml serve`` names a folder in PROMETHEUS_MULTIPROC_DIR before a worker starts; there several workers' numbers
meet, and any of them can answer for all. One worker does without: the folder belongs to every service of this
BentoML home, and each that starts empties it.
"""

import os
from pathlib import Path

from bento.settings import Settings

# Private: BentoML sets this variable for its workers before one imports the service.
if Settings.single_worker():
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30)

REQUESTS = Histogram(
    "chest_xray_request_seconds",
    "From headers to the end of the answer",
    ["route", "status"],
    buckets=_SECONDS,
)
QUEUE = Histogram("chest_xray_queue_seconds", "An image's wait for a thread", buckets=_SECONDS)
WORK = Histogram("chest_xray_work_seconds", "Decoding and classifying one image", buckets=_SECONDS)
PREDICTIONS = Counter("chest_xray_predictions", "Images by their most probable class", ["label"])
CONFIDENCE = Histogram(
    "chest_xray_confidence",
    "Confidence of the most probable class",
    buckets=(0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99, 1),
)
INPUT_WARNINGS = Counter(
    "chest_xray_input_warnings", "Input warnings by their kind; not-like-training: novelty", ["kind"]
)
REJECTIONS = Counter("chest_xray_rejections", "Problem documents by kind", ["reason"])
MODEL = Gauge(
    "chest_xray_model_info",
    "1 for the model being served, and where it runs",
    ["name", "version", "device"],
    multiprocess_mode="max",
)


_COLLECTORS: list[Collector] = []


def workers_folder() -> Path | None:
    """Where several workers' numbers meet; None where one process serves."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(folder) if folder else None


def add_collector(collector: Collector) -> None:
    """Have :func:`exposition` ask ``collector`` too, which answers for all workers."""
    _COLLECTORS.append(collector)


def exposition() -> tuple[bytes, str]:
    """Give all metrics as text, and its media type."""
    registry = CollectorRegistry()
    if workers_folder():
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(REGISTRY)
    for collector in _COLLECTORS:
        registry.register(collector)
    return generate_latest(registry), CONTENT_TYPE_LATEST
