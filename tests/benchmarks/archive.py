"""What judging on Ray costs: ``python -m tests.benchmarks.archive --model TAG``.

A Ray cluster on this machine's cores, an actor a core, takes turns with the in-process limit over the same files. The
rate is that of the answers after the first ones of each actor: the start of Ray is told apart. CPU time is that of all
processes of Ray, memory that of an actor. On a machine that others use, the share by CPU time is the one to trust.
"""

import argparse
import os
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

import bentoml
import psutil
from PIL import Image

from bento.artifact import load_manifest
from bento.cpu import available_cores
from tests.benchmarks.in_process import measure
from trainer.data.sample.dataset import generate
from trainer.inference.parquet_answers import answer_folder
from trainer.inference.ray_archive import Job, judged_on_ray
from trainer.inference.ray_cluster import LOCAL

DISTINCT = 50
SIDE = 500


def make_files(folder: Path, images: int) -> tuple[list[Path], list[Path]]:
    """Generated images, and so many links to them."""
    originals = []
    for number, radiograph in enumerate(generate(DISTINCT, SIDE, hospitals=2, seed=1)):
        originals.append(folder / f"{number}.jpg")
        Image.fromarray(radiograph.pixels).save(originals[-1], quality=90)
    links = [folder / f"link{number:06d}.jpg" for number in range(images)]
    for number, link in enumerate(links):
        os.link(originals[number % DISTINCT], link)
    return originals, links


def on_ray(model: Path, files: list[Path], out: Path) -> dict[str, float]:
    """One archive from start to end, answers kept as ``predict`` keeps them."""
    begin = time.perf_counter()
    arrivals: list[tuple[float, int]] = []
    own = psutil.Process()
    cpu, actors, before = 0.0, [0.0], 0.0
    names = [str(file) for file in files]
    with (
        answer_folder(out, load_manifest(model), names) as folder,
        closing(judged_on_ray(LOCAL, Job(model, names, 1))) as tables,
    ):
        for table in tables:
            folder.add(table)
            arrivals.append((time.perf_counter(), table.num_rows))
            if len(arrivals) == 2 * available_cores():
                before = _cpu(own)
            if len(arrivals) > 2 * available_cores():
                # While the actors live: a process that has ended can't be asked.
                cpu = _cpu(own) - before
                actors = [
                    one.memory_full_info().pss / 1e6
                    for one in own.children(recursive=True)
                    if one.name().startswith("ray::MapWorker")
                ] or actors
    counted = arrivals[2 * available_cores() :]
    rows = sum(count for _, count in counted)
    seconds = counted[-1][0] - arrivals[2 * available_cores() - 1][0]
    return {
        "rate": rows / seconds,
        "start": arrivals[0][0] - begin,
        "whole": len(files) / (time.perf_counter() - begin),
        "cpu": 1000 * cpu / rows,
        "memory": statistics.mean(actors),
    }


def limit(model: Path, radiographs: list[bytes], seconds: float) -> tuple[float, float]:
    """The machine without Ray, measured at this moment: images a second, and CPU milliseconds an image."""
    begin = time.process_time()
    rate = measure(model, seconds, radiographs)
    return rate, 1000 * (time.process_time() - begin) / (rate * seconds)


def _cpu(own: psutil.Process) -> float:
    total = 0.0
    for one in [own, *own.children(recursive=True)]:
        try:
            total += sum(one.cpu_times()[:2])
        except psutil.Error:
            continue
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="tag in the BentoML model store")
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of each in-process measurement")
    options = parser.parse_args()
    model = Path(bentoml.models.get(options.model).path)
    with tempfile.TemporaryDirectory() as temporary:
        originals, files = make_files(Path(temporary), options.images)
        radiographs = [file.read_bytes() for file in originals]
        limits = [limit(model, radiographs, options.seconds)]
        rounds: list[dict[str, float]] = []
        for number in range(options.rounds):
            measured = on_ray(model, files, Path(temporary, f"{number}.parquet"))
            limits.append(limit(model, radiographs, options.seconds))
            # The limit just before and just after, as neighbours come and go.
            measured["share"] = measured["rate"] / statistics.mean(rate for rate, _ in limits[-2:])
            measured["by CPU"] = statistics.mean(cpu for _, cpu in limits[-2:]) / measured["cpu"]
            rounds.append(measured)
            print(", ".join(f"{name} {value:.3g}" for name, value in measured.items()), flush=True)
        size = statistics.mean(file.stat().st_size for file in originals)
    middle = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    rate = statistics.median(rate for rate, _ in limits)
    print(
        "| images a second | of the limit, by time; by CPU time | start s | CPU ms an image "
        "| MB an actor | kB an image |"
    )
    print("|---|---|---|---|---|---|")
    print(
        f"| {middle['rate']:.0f} (limit {rate:.0f}) | {middle['share']:.0%}; {middle['by CPU']:.0%} "
        f"| {middle['start']:.1f} | {middle['cpu']:.1f} | {middle['memory']:.0f} | {size / 1e3:.0f} |"
    )


if __name__ == "__main__":
    main()
