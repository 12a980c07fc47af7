"""How soon each design is as good as the plain loop becomes: ``python -m tests.benchmarks.training --dataset FOLDER``.

The plain loop (``quality.py`` has the reference project's two phases) and ``trainer train`` with an empty cache are
processes of their own on the same split. The figure is the one that the trainer chooses its epochs by: validation
macro F1 within sites; over all sites it would reward telling hospitals apart.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.benchmarks.processes import watch
from tests.benchmarks.quality import plain_epochs
from trainer.cli import main as trainer
from trainer.data.manifest import read_manifest
from trainer.training.selection import macro_f1_within_sites

NAME = "macro F1 within sites"


def plain(folder: Path, backbone: str, size: int, seed: int) -> None:
    """Run the plain loop and print the figure after each epoch, in the words that the trainer uses."""
    sites = {(record.label, Path(record.path).name): record.site for record in read_manifest(folder)}
    names = sorted(set(sites.values()))
    for number, epoch in enumerate(plain_epochs(folder, backbone, size, seed), 1):
        dataset: Any = epoch.validation.dataset
        confusion = torch.zeros(len(names), len(dataset.classes), len(dataset.classes))
        for (file, label), guess in zip(dataset.samples, epoch.logits.argmax(1).tolist(), strict=True):
            confusion[names.index(sites[dataset.classes[label], Path(file).name]), label, guess] += 1
        print(f"epoch {number} validation: {NAME} {macro_f1_within_sites(confusion):.3f}")


def curve(lines: list[tuple[float, str]]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Seconds since the start and the figure, of each epoch of a command's output."""
    rows = [(at, float(line.rpartition(NAME)[2])) for at, line in lines if f"{NAME} " in line and "validation:" in line]
    if not rows:
        raise SystemExit(f"no {NAME}: it takes images of two sites or more, named in manifest.csv")
    seconds, figures = zip(*rows, strict=True)
    return np.array(seconds), np.array(figures)


def compare(options: argparse.Namespace, seed: int, work: Path) -> tuple[float, float, float]:
    """The plain loop's last figure, and the seconds until each design reaches it; infinite where it never does."""
    data = work / f"data-{seed}"
    where = ["--data-dir", str(data), "--seed", str(seed)]
    if trainer(["fetch", "--dataset", options.dataset, *where]) or trainer(["split", *where]):
        raise SystemExit(f"{options.dataset}: can't be fetched or split")
    network = [options.backbone, str(options.image_size)]
    ours = ["--runs-dir", str(work), "--run", str(seed), "--backbone", network[0], "--image-size", network[1]]
    curves = [
        curve(watch(*words).lines)
        for words in (
            ["tests.benchmarks.time_to_quality", str(data), *network, str(seed)],
            ["trainer", "train", *where, *ours],
        )
    ]
    wanted = float(curves[0][1][-1])
    until = [float(seconds[figures >= wanted].min(initial=np.inf)) for seconds, figures in curves]
    print(
        f"seed {seed}: {wanted:.3f} reached by the plain loop in {until[0]:.0f} s, by the trainer in {until[1]:.0f} s, "
        f"which then gets to {curves[1][1].max():.3f}",
        flush=True,
    )
    return wanted, until[0], until[1]


def print_time_to_quality(options: argparse.Namespace) -> None:
    """Train both designs with each seed and print a table."""
    with tempfile.TemporaryDirectory() as name:
        found = [compare(options, seed, Path(name)) for seed in options.seeds]
    columns = [statistics.median(column) for column in zip(*found, strict=True)]
    ratio = statistics.median(row[1] / row[2] for row in found)
    print(
        f"\n{options.backbone} at {options.image_size}, medians of seeds {options.seeds}: {NAME} {columns[0]:.3f} "
        f"after {columns[1]:.0f} s (plain), {columns[2]:.0f} s (trainer, cache included): {ratio:.1f} times as fast"
    )


if __name__ == "__main__":
    plain(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
