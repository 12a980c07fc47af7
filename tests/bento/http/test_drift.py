"""The window of the latest images: what goes in, what falls out, and what several processes make of it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from bento.artifact import describe_images
from bento.http.drift import DriftWatch
from tests.support.server import ROOT

REFERENCE = describe_images(
    {"novelty": np.arange(100.0), "aspect": np.ones(100)},
    {"flagged": np.arange(100) < 30, "novel": np.zeros(100, bool)},
)
ADD = """
import sys
from pathlib import Path
from bento.artifact import ReferenceDistributions
from bento.http.drift import DriftWatch
reference = ReferenceDistributions.model_validate_json(sys.argv[1])
watch = DriftWatch(reference, 100, 2, Path(sys.argv[2]))
for _ in range(int(sys.argv[3])):
    watch.add({"novelty": 5, "aspect": 1}, {"flagged": True, "novel": False})
print("added", flush=True)
sys.stdin.read()
"""


def told(watch: DriftWatch, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(watch)
    return registry.get_sample_value(f"chest_xray_drift_{name}", labels)


def fill(watch: DriftWatch, values: list[float], *, flagged: bool = False) -> None:
    for value in values:
        watch.add({"novelty": value, "aspect": 1.0}, {"flagged": flagged, "novel": False})


def test_images_like_the_reference_have_an_index_near_nothing() -> None:
    watch = DriftWatch(REFERENCE, 100, 1, None)
    fill(watch, np.arange(100.0).tolist())
    index, chance = (told(watch, name, of="novelty") for name in ("index", "index_by_chance"))
    assert index == pytest.approx(0, abs=1e-9)
    assert chance == pytest.approx(0.68, abs=0.01)
    assert told(watch, "reference_share", of="flagged") == 0.3
    assert told(watch, "share", of="flagged") == 0
    assert told(watch, "reference_images") == 100


def test_only_the_latest_images_count() -> None:
    watch = DriftWatch(REFERENCE, 100, 1, None)
    fill(watch, [5.0] * 70, flagged=True)
    assert told(watch, "window_images") == 70
    assert told(watch, "share", of="flagged") == 1
    drifted = told(watch, "index", of="novelty")
    assert drifted is not None
    assert drifted > 2
    fill(watch, np.arange(100.0).tolist())
    assert told(watch, "window_images") == 100
    assert told(watch, "index", of="novelty") == pytest.approx(0, abs=1e-9)
    assert told(watch, "share", of="flagged") == 0


def test_an_empty_window_has_no_index() -> None:
    watch = DriftWatch(REFERENCE, 100, 1, None)
    assert told(watch, "window_images") == 0
    assert told(watch, "index", of="novelty") is None


def test_several_workers_add_up_and_one_that_has_ended_counts_no_more(tmp_path: Path) -> None:
    document = REFERENCE.model_dump_json()
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", ADD, document, str(tmp_path), str(count)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for count in (30, 80)
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"added\n"
        # This process stands for their parent: files are named after it.
        files = sorted(tmp_path.iterdir())
        assert len(files) == 2
        counted = [int(np.fromfile(path, np.int32)[:10].sum()) for path in files]
        assert sorted(counted) == [30, 50]
        command = ADD.replace('print("added", flush=True)\nsys.stdin.read()', "print([*watch.collect()][0].samples)")
        arguments = [sys.executable, "-c", command, document, str(tmp_path)]
        assert "value=87," in subprocess.check_output([*arguments, "7"], cwd=ROOT, text=True)
        workers[1].communicate(timeout=10)
        assert "value=33," in subprocess.check_output([*arguments, "3"], cwd=ROOT, text=True)
    finally:
        for worker in workers:
            worker.communicate(timeout=10)
