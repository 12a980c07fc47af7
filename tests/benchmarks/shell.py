"""What prediction from the shell costs: ``python -m tests.benchmarks.shell --model TAG``.

A whole ``python -m trainer predict`` of 1,000 and of 10,000 images, start included, takes turns with the in-process
limit; its memory is the largest that the kernel counted.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bentoml
from PIL import Image

from tests.benchmarks.designs import ROOT
from tests.benchmarks.serving import in_process
from trainer.data.sample.dataset import generate

DISTINCT = 50
SIDE = 500
COUNTS = (1_000, 10_000)


def make_folders(folder: Path) -> dict[int, Path]:
    """A folder for each of :data:`COUNTS`: links to the same generated images."""
    originals = []
    for number, radiograph in enumerate(generate(DISTINCT, SIDE, hospitals=2, seed=1)):
        originals.append(folder / f"{number}.jpg")
        Image.fromarray(radiograph.pixels).save(originals[-1], quality=90)
    folders = {count: folder / str(count) for count in COUNTS}
    for count, where in folders.items():
        where.mkdir()
        for number in range(count):
            os.link(originals[number % DISTINCT], where / f"{number:05d}.jpg")
    return folders


def predict(folder: Path, model: str, out: Path) -> tuple[float, float, float]:
    """One command from start to end: seconds, CPU seconds, and its largest memory in MB."""
    words = ["predict", str(folder), "--model", model, "--format", "csv", "--out", str(out)]
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "trainer", *words], cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"predict ended with {os.waitstatus_to_exitcode(status)}")
    seconds = time.perf_counter() - begin
    out.unlink()
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="chest_xray:latest")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of each in-process measurement")
    options = parser.parse_args()
    model = Path(bentoml.models.get(options.model).path)
    with tempfile.TemporaryDirectory() as temporary:
        folders = make_folders(Path(temporary))
        radiographs = sorted(Path(temporary).glob("*.jpg"))
        measured: dict[int, list[tuple[float, ...]]] = {count: [] for count in COUNTS}
        limits, cpu = [in_process(model, radiographs, options.seconds)], 0.0
        for _ in range(options.rounds):
            for count, folder in folders.items():
                seconds, own, peak = predict(folder, options.model, Path(temporary, "out.csv"))
                before = _children()
                limits.append(in_process(model, radiographs, options.seconds))
                cpu += _children() - before
                # The limit just before and just after, as neighbours come and go.
                ratio = count / seconds / statistics.mean(limits[-2:])
                measured[count].append((count / seconds, ratio, 1000 * own / count, peak))
    done = options.seconds * sum(limits[1:])
    print("| images | images a second | of the limit | CPU ms an image | peak MB |\n|---|---|---|---|---|")
    for count in COUNTS:
        rate, ratio, own, peak = map(statistics.median, zip(*measured[count], strict=True))
        print(f"| {count:,} | {rate:.0f} | {ratio:.0%} | {own:.1f} | {peak:.0f} |")
    print(f"| in-process limit | {statistics.median(limits):.0f} | | {1000 * cpu / done:.1f} | |")


def _children() -> float:
    """CPU seconds of all ended child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
