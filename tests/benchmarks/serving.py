"""What serving costs: ``python -m tests.benchmarks.serving --model TAG`` compares designs in one run.

The same trained model stands behind each design of :mod:`tests.benchmarks.designs`; rounds are interleaved, so
that a busy neighbour hits all alike, and medians are shown. ``noop`` is what the load client can do at most.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import bentoml
import httpx
import psutil
from PIL import Image

from tests.benchmarks.designs import DESIGNS, ROOT
from tests.support.server import free_port
from trainer.data.sample.dataset import generate

CLIENTS = (1, 8, 32, 64)
IMAGES = 8
START_SECONDS = 90


def make_images(folder: Path, side: int) -> list[Path]:
    """Generated images as JPEG, side × side pixels."""
    paths = [folder / f"{number}.jpg" for number in range(IMAGES)]
    for path, radiograph in zip(paths, generate(IMAGES, side, hospitals=2, seed=1), strict=False):
        Image.fromarray(radiograph.pixels).save(path, quality=90)
    return paths


@contextlib.contextmanager
def served(name: str, folder: Path, radiograph: Path) -> Iterator[tuple[str, psutil.Process]]:
    """One design, once it answers; its URL and process."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/predict"
    process = psutil.Popen(
        [sys.executable, "-m", "tests.benchmarks.designs", name, str(port), str(folder)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"BENTOML_DO_NOT_TRACK": "True"},
    )
    try:
        for _ in range(5 * START_SECONDS):
            with contextlib.suppress(httpx.TransportError):
                if httpx.post(url, files={"file": ("a.jpg", radiograph.read_bytes(), "image/jpeg")}).is_success:
                    break
            if process.poll() is not None:
                raise SystemExit(f"{name} did not start")
            time.sleep(0.2)
        yield url, process
    finally:
        family = [process]
        with contextlib.suppress(psutil.NoSuchProcess):
            family += process.children(recursive=True)
            process.terminate()
        _, alive = psutil.wait_procs(family, timeout=15)
        for one in alive:
            one.kill()


def load(url: str, radiographs: Sequence[Path], clients: int, seconds: float, *more: str) -> dict[str, Any]:
    """One run of the load client in a process of its own; ``more`` are further options of it."""
    command = [sys.executable, "-m", "tests.benchmarks.load", url, *map(str, radiographs)]
    command += ["--clients", str(clients), "--seconds", str(seconds), *more]
    result: dict[str, Any] = json.loads(subprocess.check_output(command, cwd=ROOT))
    return result


def in_process(folder: Path, radiographs: Sequence[Path], seconds: float) -> float:
    """Images a second of the machine without a server, measured at this moment."""
    command = [sys.executable, "-m", "tests.benchmarks.in_process", str(folder), str(seconds)]
    return float(subprocess.check_output([*command, *map(str, radiographs)], cwd=ROOT))


def memory(process: psutil.Process) -> float:
    """Of a process and its children in MB; shared pages are counted once."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            total += one.memory_full_info().pss
    return total / 1e6


def cpu_seconds(process: psutil.Process) -> float:
    """Of a process and its living children."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            total += sum(one.cpu_times()[:2])
    return total


def compare(folder: Path, names: Sequence[str], levels: Sequence[int], rounds: int, seconds: float, side: int) -> None:
    """Run everything, print a table for each number of clients, and the limit."""
    results: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    limits: list[float] = []
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        radiographs = make_images(Path(temporary), side)
        running = {name: stack.enter_context(served(name, folder, radiographs[0])) for name in names}
        for _ in range(rounds):
            for clients in levels:
                limits.append(in_process(folder, radiographs, seconds))
                for name, (url, process) in running.items():
                    before = cpu_seconds(process)
                    result = load(url, radiographs, clients, seconds)
                    result["cpu"] = 1000 * (cpu_seconds(process) - before) / max(1, result["answers"])
                    result["memory"] = memory(process)
                    results[name, clients].append(result)
    limit = statistics.median(limits)
    print(f"in-process limit: {limit:.0f} images a second (median of {len(limits)})")
    print(
        f"{'design':<10}{'clients':>8}{'req/s':>8}{'% limit':>9}{'p50 ms':>8}{'p99 ms':>8}{'errors':>8}"
        f"{'CPU ms':>8}{'MB':>7}"
    )
    for clients in levels:
        for name in names:
            runs = results[name, clients]
            middle = {key: statistics.median(run[key] for run in runs) for key in ("per_second", "p50", "p99")}
            print(
                f"{name:<10}{clients:>8}{middle['per_second']:>8.0f}{100 * middle['per_second'] / limit:>9.0f}"
                f"{middle['p50']:>8.1f}{middle['p99']:>8.1f}{sum(run['errors'] for run in runs):>8}"
                f"{statistics.median(run['cpu'] for run in runs):>8.2f}"
                f"{max(run['memory'] for run in runs):>7.0f}"
            )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="chest_xray:latest", help="tag in the BentoML model store")
    parser.add_argument("--designs", nargs="+", choices=DESIGNS, default=list(DESIGNS))
    parser.add_argument("--clients", nargs="+", type=int, default=CLIENTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="a measurement's length")
    parser.add_argument("--side", type=int, default=500, help="of the images in pixels")
    options = parser.parse_args()
    folder = Path(bentoml.models.get(options.model).path)
    compare(folder, options.designs, options.clients, options.rounds, options.seconds, options.side)


if __name__ == "__main__":
    main()
