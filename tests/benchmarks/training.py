"""Training, timed against the plain loop that the reference project has.

``python -m tests.benchmarks.training`` prints a table and keeps nothing. The plain loop decodes each film, augments it
through Pillow and runs the whole network forward with autograd's bookkeeping, every epoch; ours is ``trainer.train``
itself, cold cache first, then warm. Both take turns, so that a busy machine slows both. The plain loop runs in this
process and so has our allocator and thread settings too: the ratios are lower than those against a loop without them.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision import models
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from trainer.backbones import Tail, build_classifier, phase_b_cut
from trainer.device import prepare
from trainer.runs import Run
from trainer.sample import generate

EPOCHS = 10
SIZE = 224


def make_films(folder: Path, films: int) -> None:
    """Generated films as 1000×800 JPEGs; a few dozen drawings, each several times with its own noise."""
    rng = np.random.default_rng(0)
    drawn = list(generate(min(films, 48), 400, hospitals=3, seed=1))
    for index in range(films):
        film = drawn[index % len(drawn)]
        pixels = np.asarray(Image.fromarray(film.pixels).resize((800, 1000)), dtype=np.int16)
        noisy = (pixels + rng.integers(-6, 7, pixels.shape)).clip(0, 255).astype(np.uint8)
        target = folder / film.label / f"{film.patient}_{index}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy).save(target, quality=90)


class PlainLoop:
    """The reference project's design: everything anew each epoch."""

    def __init__(self, folder: Path, backbone: str) -> None:
        transform = v2.Compose(
            [
                v2.RandomResizedCrop(SIZE),
                v2.RandomRotation(10),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )
        self.data = ImageFolder(str(folder), transform)
        self.network = models.get_model(backbone, num_classes=3)

    def epoch(self, phase: str) -> float:
        """Seconds of one epoch; ``b`` trains the last blocks too."""
        head = self.network.get_submodule("classifier")
        last = list(self.network.get_submodule("features").children())[-3:]
        self.network.requires_grad_(False)
        for part in [head] if phase == "a" else [head, *last]:
            part.requires_grad_(True)
        optimizer = torch.optim.AdamW(p for p in self.network.parameters() if p.requires_grad)
        loader = DataLoader(self.data, 32, shuffle=True, num_workers=2, drop_last=True)
        started = time.perf_counter()
        self.network.train()
        for x, y in loader:
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(self.network(x), y))
            optimizer.step()
        return time.perf_counter() - started


def tail_limit(backbone: str, films: int) -> float:
    """Seconds an epoch of Phase B would take if only the tail's forward and backward were left."""
    model = build_classifier(backbone, 3, weights="none")
    cut = phase_b_cut(backbone, model)
    tail = Tail(model, cut).train()
    with torch.inference_mode():
        shape = model.stages[:cut](model.normalise(torch.zeros(32, SIZE, SIZE))).shape
    x = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, 3, (32,))
    times = []
    for _ in range(12):
        started = time.perf_counter()
        torch.autograd.backward(nn.functional.cross_entropy(tail(x), y))
        times.append(time.perf_counter() - started)
    return statistics.median(times[2:]) * (films // 32)


def ours(data: Path, runs: Path, name: str, backbone: str) -> dict[str, float]:
    """A whole run of 10 + 10 epochs by the command line, timed from outside; figures in seconds and megabytes."""
    words = ["train", "--data-dir", str(data), "--runs-dir", str(runs), "--run", name, "--backbone", backbone]
    words += ["--weights", "none", "--epochs-a", str(EPOCHS), "--epochs-b", str(EPOCHS), "--patience", "99"]
    started = time.perf_counter()
    command = [sys.executable, "-m", "trainer", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    usage = os.wait4(process.pid, 0)[2]
    seconds = time.perf_counter() - started
    summary = json.loads(Run(runs / name).training.read_text())
    return {
        "whole": seconds,
        "cache": summary["cache_seconds"],
        "a": summary["phases"]["a"]["seconds"] / EPOCHS,
        "b": summary["phases"]["b"]["seconds"] / EPOCHS,
        "memory": usage.ru_maxrss / 1024,
    }


def prepare_data(folder: Path, films: int) -> Path:
    """Films, fetched and split; gives the data folder."""
    from trainer.cli import main

    make_films(folder / "films", films)
    words = [
        "--dataset",
        str(folder / "films"),
        "--data-dir",
        str(folder / "data"),
        "--patient-pattern",
        r"^(p\d+)_",
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        if main(["fetch", *words]) or main(["split", *words]):
            raise SystemExit("the benchmark's own films were refused")
    return folder / "data"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--backbone", default="efficientnet_b0", choices=["efficientnet_b0"])
    options = parser.parse_args()
    prepare("cpu")
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = prepare_data(folder, options.films)
        plain = PlainLoop(data / "train", options.backbone)
        for repeat in range(options.repeats):
            times = {f"plain {phase}": plain.epoch(phase) for phase in ("a", "b")}
            shutil.rmtree(data / "cache", ignore_errors=True)
            cold = ours(data, folder / "runs", f"cold{repeat}", options.backbone)
            disk = sum(path.stat().st_size for path in (data / "cache").iterdir()) / 1e6
            warm = ours(data, folder / "runs", f"warm{repeat}", options.backbone)
            limit = tail_limit(options.backbone, len(plain.data))
            rows.append(
                times
                | {"disk": disk, "limit": limit, "memory": cold["memory"]}
                | {f"cold {k}": v for k, v in cold.items()}
                | {f"warm {k}": v for k, v in warm.items()}
            )
    figures = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
    print_table(figures, len(plain.data), options)


def print_table(figures: dict[str, float], films: int, options: argparse.Namespace) -> None:
    """Medians and ratios."""
    plain_run = EPOCHS * (figures["plain a"] + figures["plain b"])
    print(
        f"{films} training films of 1000×800, {options.backbone} at {SIZE}, median of {options.repeats}, seconds"
    )
    print(f"{'':34}{'plain':>9}{'ours':>9}{'ratio':>8}")
    for title, plain, own in (
        ("epoch of Phase A", figures["plain a"], figures["cold a"]),
        ("epoch of Phase B", figures["plain b"], figures["cold b"]),
        ("whole run 10 + 10, cold cache", plain_run, figures["cold whole"]),
        ("whole run 10 + 10, warm cache", plain_run, figures["warm whole"]),
    ):
        print(f"{title:34}{plain:9.2f}{own:9.2f}{plain / own:7.1f}×")
    print(f"{'cache building':34}{'':9}{figures['cold cache']:9.2f}")
    limit = figures["limit"]
    print(f"{'tail alone, epoch of Phase B':34}{'':9}{limit:9.2f}   ours {figures['cold b'] / limit:.2f}×")
    print(f"peak memory of ours {figures['memory']:.0f} MB, cache on disk {figures['disk']:.0f} MB")
    print("(plain whole run: 10 × its two epochs)")


if __name__ == "__main__":
    main()
