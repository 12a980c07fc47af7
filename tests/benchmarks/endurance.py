"""What only shows after long: memory, and overload.

``python -m tests.benchmarks.endurance --requests 50000`` asks a service with a very small model so often and prints
its worker's memory on the way. ``--overload --model TAG`` offers a service ten times what it can do.
"""

import argparse
import os
import tempfile
from pathlib import Path

import bentoml
import psutil

from tests.benchmarks.fuzz import DEADLINES, GROWTH, resident, small_model
from tests.benchmarks.serving import load, make_images, served

STEPS = 10
WARM_UP = 20
"""Seconds, longer than BentoML keeps a request's timer (see ``DEADLINES``): full, that store stays so."""
TIMES = 10
SIDE = 100


def endure(folder: Path, requests: int) -> None:
    """Fails where the memory at the end is not that after the warm-up, within :data:`GROWTH`."""
    with tempfile.TemporaryDirectory() as temporary:
        radiographs = make_images(Path(temporary), SIDE)
        os.environ |= DEADLINES
        with served("ours", folder, radiographs[0]) as (url, process):
            load(url, radiographs, 32, WARM_UP)
            memory = [resident(psutil.Process(process.pid))]
            print(f"after a warm-up of {WARM_UP} s: {memory[0]:.1f} MB")
            for step in range(STEPS):
                result = load(url, radiographs, 32, 600, "--limit", str(requests // STEPS))
                memory.append(resident(psutil.Process(process.pid)))
                print(f"{(step + 1) * requests // STEPS:>7} requests: {memory[-1]:.1f} MB, {result['errors']} errors")
    if memory[-1] > memory[0] * (1 + GROWTH):
        raise SystemExit("the memory has grown")


def overload(folder: Path, seconds: float) -> None:
    """Prints throughput and latency at capacity and at ten times of it."""
    with tempfile.TemporaryDirectory() as temporary:
        radiographs = make_images(Path(temporary), 500)
        with served("ours", folder, radiographs[0]) as (url, _):
            best = load(url, radiographs, 32, seconds)
            offered = TIMES * best["per_second"]
            over = load(url, radiographs, 512, seconds, "--rate", str(offered))
            again = load(url, radiographs, 32, seconds)
    for name, result in (("capacity", best), (f"{offered:.0f}/s offered", over), ("after it", again)):
        print(
            f"{name:<16} {result['per_second']:>6.0f} answered a second, p50 {result['p50']:.0f} ms, "
            f"p99 {result['p99']:.0f} ms, {result['statuses']}"
        )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--overload", action="store_true")
    parser.add_argument("--model", default="chest_xray:latest")
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    if options.overload:
        overload(Path(bentoml.models.get(options.model).path), options.seconds)
    else:
        with tempfile.TemporaryDirectory() as home:
            endure(small_model(Path(home)), options.requests)


if __name__ == "__main__":
    main()
