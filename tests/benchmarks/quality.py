"""What the speed costs in quality: ``python -m tests.benchmarks.quality --dataset FOLDER``.

Compares the reference project's loop (``plain_loop.py``: two phases, weighted cross-entropy, cosine schedule, best
checkpoint by validation accuracy, the middle of the images at test) with the trainer's command line, on the same
images, split, size, backbone and weights: test macro F1 of both, over all images and within each site, for each seed.
"""

import argparse
import copy
import csv
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader

from tests.benchmarks.plain_loop import begin_phase, loader, predict, train_epoch
from trainer.cli import main as trainer
from trainer.data.manifest import Record, read_manifest
from trainer.evaluation.metrics import compute_metrics
from trainer.models.backbones import BACKBONES
from trainer.types import Array

LEARNING_RATES = {"a": 1e-3, "b": 1e-4}
"""The second one lower, as the reference project has it."""
EPOCHS = {"a": 10, "b": 10}


class PlainEpoch(NamedTuple):
    """The plain loop after an epoch."""

    network: nn.Module
    validation: "DataLoader[Any]"
    logits: Tensor
    """N×C, of the validation images."""


def plain_epochs(
    folder: Path, backbone: str, size: int, seed: int, epochs: Mapping[str, int] = EPOCHS
) -> Iterator[PlainEpoch]:
    """Train by the plain loop; the second phase starts from the best epoch by validation accuracy."""
    torch.manual_seed(seed)
    row = BACKBONES[backbone]
    train, validation = (loader(folder, split, size, row.normalisation) for split in ("train", "val"))
    counts = torch.bincount(torch.tensor(train.dataset.targets))  # type: ignore[attr-defined]
    network = row.build()
    network.load_state_dict(row.imagenet())
    classifier = network.get_submodule("classifier")
    assert isinstance(classifier, nn.Sequential)
    classifier[-1] = nn.Linear(row.embedding_size, len(counts))
    best, state = -1.0, network.state_dict()
    for phase, lr in LEARNING_RATES.items():
        network.load_state_dict(state)
        optimizer = begin_phase(network, phase, lr)
        schedule = CosineAnnealingLR(optimizer, epochs[phase])
        for _ in range(epochs[phase]):
            train_epoch(network, optimizer, train, counts.sum() / len(counts) / counts)
            schedule.step()
            epoch = PlainEpoch(network, validation, predict(network, validation))
            yield epoch
            if (score := accuracy(epoch)) > best:
                best, state = score, copy.deepcopy(network.state_dict())


def accuracy(epoch: PlainEpoch) -> float:
    """Share of the validation images that get their class."""
    truth = torch.tensor(epoch.validation.dataset.targets)  # type: ignore[attr-defined]
    return (epoch.logits.argmax(1) == truth).double().mean().item()


def plain_probabilities(folder: Path, backbone: str, size: int, seed: int) -> Array:
    """Test probabilities N×C of the plain loop's best network, in the order of torchvision's ``ImageFolder``."""
    best, answers = -1.0, torch.empty(0)
    test = loader(folder, "test", size, BACKBONES[backbone].normalisation)
    for epoch in plain_epochs(folder, backbone, size, seed):
        if (score := accuracy(epoch)) > best:
            best, answers = score, predict(epoch.network, test)
    probabilities: Array = torch.softmax(answers.double(), dim=1).numpy()
    return probabilities


def our_probabilities(file: Path, classes: list[str]) -> dict[str, list[float]]:
    """Probabilities in a run's ``predictions.csv``, by path."""
    with file.open(newline="") as stream:
        return {row["path"]: [float(row[name]) for name in classes] for row in csv.DictReader(stream)}


def macro_f1_by_site(radiographs: list[Record], classes: list[str], probabilities: Array) -> dict[str, float]:
    """Macro F1 over all images and within each site."""
    truth = np.array([classes.index(radiograph.label) for radiograph in radiographs])
    sites = [radiograph.site for radiograph in radiographs]
    parts = {"all": np.ones(len(radiographs), bool)}
    parts |= {name: np.array(sites) == name for name in sorted(set(sites))}
    return {name: compute_metrics(truth[part], probabilities[part], classes).macro_f1 for name, part in parts.items()}


def compare(options: argparse.Namespace, seed: int, work: Path) -> dict[str, dict[str, float]]:
    """Macro F1 of both designs for one seed."""
    data, runs = work / f"data-{seed}", work / "runs"
    words = [
        "--dataset",
        options.dataset,
        "--data-dir",
        str(data),
        "--runs-dir",
        str(runs),
        "--run",
        str(seed),
    ]
    words += ["--seed", str(seed), "--backbone", options.backbone, "--image-size", str(options.image_size)]
    for step in ("fetch", "split", "train", "evaluate"):
        if trainer([step, *words]):
            raise SystemExit(f"{step} of seed {seed} failed")
    records = read_manifest(data)
    classes = sorted({record.label for record in records})
    radiographs = [record for record in records if record.split == "test"]
    ours = our_probabilities(runs / str(seed) / "predictions.csv", classes)
    # ImageFolder's order: by class, then by the name in the split's folder.
    radiographs.sort(key=lambda radiograph: (radiograph.label, Path(radiograph.path).name))
    plain = plain_probabilities(data, options.backbone, options.image_size, seed)
    return {
        "plain": macro_f1_by_site(radiographs, classes, plain),
        "ours": macro_f1_by_site(radiographs, classes, np.array([ours[radiograph.path] for radiograph in radiographs])),
    }


def main() -> None:
    """Train both designs with each seed and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--backbone", default="efficientnet_lite0", choices=[n for n in BACKBONES if "eff" in n])
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as name:
        for seed in options.seeds:
            found.append(compare(options, seed, Path(name)))
            print(f"seed {seed}: {found[-1]}", flush=True)
    print(f"\ntest macro F1, {options.backbone} at {options.image_size}, mean of seeds {options.seeds}")
    for part in found[0]["plain"]:
        plain, ours = (statistics.mean(row[design][part] for row in found) for design in ("plain", "ours"))
        print(f"{part:12} plain {plain:.3f}   ours {ours:.3f}   {ours - plain:+.3f}")


if __name__ == "__main__":
    main()
