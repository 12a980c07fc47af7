"""The latest images' distributions on ``/metrics``, beside the model's reference: counts alone, of no single image.

Several workers add up: each keeps the counts of its own share of the window in a small file that every worker reads.
"""

import bisect
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from bento.artifact import ReferenceDistributions
from bento.inference.drift import index_by_chance, share_by_chance, stability_index

_BY_CHANCE = "What it exceeds by chance once in 10,000, with so many images"

Counts = npt.NDArray[np.int32]


class DriftWatch(Collector):
    """A window over the latest images, and what Prometheus is told of it.

    Args:
        reference: distributions to compare with.
        size: images of the window, over all workers.
        workers: number of processes that share it evenly.
        folder: where the workers' counts meet; None: this process is the only one.
    """

    def __init__(self, reference: ReferenceDistributions, size: int, workers: int, folder: Path | None) -> None:
        self._reference, self._folder = reference, folder
        self._edges = {name: histogram.edges for name, histogram in reference.histograms.items()}
        self._marks = list(reference.marked)
        bins = [len(edges) + 1 for edges in self._edges.values()] + [2] * len(self._marks)
        self._starts = [0, *np.cumsum(bins).tolist()]
        self._window = np.zeros((max(1, size // workers), len(bins)), np.int32)
        """Of each image the places of its bins among all counts."""
        self._added = 0
        self._counts: Counts | None = None
        self._lock = threading.Lock()

    def add(self, figures: Mapping[str, float], marks: Mapping[str, bool]) -> None:
        """Take an image into the window, and its oldest out where it is full.

        Args:
            figures: one value by each name of the reference's histograms.
            marks: one by each name of the reference's marks.
        """
        bins = [bisect.bisect_right(edges, figures[name]) for name, edges in self._edges.items()]
        places = np.add(self._starts[:-1], bins + [marks[name] for name in self._marks])
        with self._lock:
            if self._counts is None:
                self._counts = self._open()
            row = self._window[self._added % len(self._window)]
            if self._added >= len(self._window):
                self._counts[row] -= 1
            row[:] = places
            self._counts[row] += 1
            self._added += 1

    def _open(self) -> Counts:
        if self._folder is None:
            return np.zeros(self._starts[-1], np.int32)
        # Named after the process that has started the workers: other services may use the folder, too.
        path = self._folder / f"drift_{os.getppid()}_{os.getpid()}.counts"
        return np.memmap(path, np.int32, "w+", shape=(self._starts[-1],))

    def _total(self) -> Counts:
        total = np.zeros(self._starts[-1], np.int32)
        if self._folder is None:
            return total if self._counts is None else self._counts.copy()
        for path in self._folder.glob(f"drift_{os.getppid()}_*.counts"):
            if _lives(int(path.stem.rpartition("_")[2])):
                total += np.fromfile(path, np.int32)
        return total

    def collect(self) -> Iterator[Metric]:
        """What Prometheus is told."""
        total, reference = self._total(), self._reference
        parts = [total[start:end].tolist() for start, end in zip(self._starts, self._starts[1:], strict=False)]
        images = sum(parts[0])
        yield _gauge("window_images", "Images in the window, on which all other figures of drift rest", {"": images})
        yield _gauge("reference_images", "Images that the reference rests on", {"": reference.images})
        if images == 0:
            return
        histograms = reference.histograms
        pairs = list(zip(histograms.items(), parts, strict=False))
        yield _gauge(
            "index",
            "Population stability index of the window against the reference",
            {name: stability_index(histogram.counts, counts) for (name, histogram), counts in pairs},
        )
        chance = {name: index_by_chance(len(counts), reference.images, images) for (name, _), counts in pairs}
        yield _gauge("index_by_chance", _BY_CHANCE, chance)
        marked = dict(zip(self._marks, (counts[1] for counts in parts[len(histograms) :]), strict=True))
        yield _gauge("share", "Share of marked images in the window", {k: v / images for k, v in marked.items()})
        shares = {name: count / reference.images for name, count in reference.marked.items()}
        yield _gauge("reference_share", "Share of marked images in the reference", shares)
        differences = {
            name: share_by_chance((reference.marked[name], count), (reference.images, images))
            for name, count in marked.items()
        }
        yield _gauge("share_by_chance", f"Of the difference of both shares: {_BY_CHANCE.lower()}", differences)


def _gauge(name: str, help_text: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    labels = [] if "" in values else ["of"]
    family = GaugeMetricFamily(f"chest_xray_drift_{name}", help_text, labels=labels)
    for of, value in values.items():
        family.add_metric([of] if labels else [], value)
    return family


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
