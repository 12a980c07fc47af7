"""How soon each design is as good as the plain loop becomes: ``python -m tests.benchmarks.training --dataset FOLDER``.

The plain loop (``quality.py`` has the reference project's two phases; here with the trainer's epochs) and ``trainer
train`` with an empty cache are processes of their own on the same split. The figure is the one that the trainer
chooses its epochs by: validation macro F1 within sites; over all sites it would reward telling hospitals apart.
"""

import argparse
import json
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
from trainer.settings import Settings
from trainer.training.selection import macro_f1_within_sites

NAME = "macro F1 within sites"
EPOCHS = {"a": Settings.model_fields["epochs_a"].default, "b": Settings.model_fields["epochs_b"].default}
"""Of the plain loop's phases: as many as the trainer's."""


def plain(folder: Path, backbone: str, size: int, seed: int) -> None:
    """Run the plain loop and print the figure after each epoch, in the words that the trainer uses."""
    sites = {(record.label, Path(record.path).name): record.site for record in read_manifest(folder)}
    names = sorted(set(sites.values()))
    for number, epoch in enumerate(plain_epochs(folder, backbone, size, seed, EPOCHS), 1):
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


def compare(options: argparse.Namespace, seed: int, work: Path) -> dict[str, float]:
    """Run both designs with a seed: the plain loop's last figure, when each of them reaches it, and how they end."""
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
    return {
        "seed": seed,
        "wanted": wanted,
        "plain": until[0],
        "ours": until[1],
        "plain whole": float(curves[0][0][-1]),
        "ours whole": float(curves[1][0][-1]),
        "ours best": float(curves[1][1].max()),
    }


def print_time_to_quality(options: argparse.Namespace) -> None:
    """Train both designs with each seed and print a table.

    With ``--folder`` each seed's figures are kept there as they come, and those that are there are not made again.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        found = [_seed(options, seed, folder) for seed in options.seeds]
    middle = {key: statistics.median(row[key] for row in found) for key in found[0]}
    ratio = statistics.median(row["plain"] / row["ours"] for row in found)
    epochs = " + ".join(map(str, EPOCHS.values()))
    print(
        f"\n{options.backbone} at {options.image_size}, {epochs} epochs, medians of seeds {options.seeds}: "
        f"{NAME} {middle['wanted']:.3f} after {middle['plain']:.0f} s (plain), {middle['ours']:.0f} s (trainer, cache "
        f"included): {ratio:.1f} times as fast"
    )


def _seed(options: argparse.Namespace, seed: int, folder: Path) -> dict[str, float]:
    """A seed's figures, from the folder or measured, and printed."""
    what = f"{Path(options.dataset).name}-{options.backbone}-{options.image_size}"
    kept = folder / f"time-to-quality-{what}-{seed}.json"
    if not kept.is_file():
        with tempfile.TemporaryDirectory() as name:
            measured = compare(options, seed, Path(name))
        kept.write_text(json.dumps(measured) + "\n")
    row: dict[str, float] = json.loads(kept.read_text())
    print(
        f"seed {seed}: {row['wanted']:.3f} by the plain loop in {row['plain']:.0f} s of {row['plain whole']:.0f}, "
        f"by the trainer in {row['ours']:.0f} s of {row['ours whole']:.0f}, which gets to {row['ours best']:.3f}",
        flush=True,
    )
    return row


if __name__ == "__main__":
    plain(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
