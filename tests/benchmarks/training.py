"""Training, timed against the plain loop that the reference project has: ``python -m tests.benchmarks.training``.

The plain loop (``plain_loop.py``) and the trainer (``trainer train``, cold cache first, then warm with another learning
rate and dropout) are processes of their own and take turns. It prints a table and keeps nothing. On a machine that is
shared, ``--folder DIR --stage STAGE`` runs one stage and keeps what it measures in DIR; ``--stage table`` prints it.
``--dataset FOLDER`` prints the time to quality instead (``time_to_quality.py``): such images have something to learn.
``--dataset FOLDER --folder DIR --seeds 2`` measures one seed and keeps it; with all seeds it then tells all of them.
"""

import argparse
import contextlib
import io
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from bento.imaging.intake import load_array
from bento.imaging.preprocessing import Preprocessing
from tests.benchmarks.processes import watch
from tests.benchmarks.time_to_quality import print_time_to_quality
from trainer.data.manifest import read_manifest
from trainer.data.sample import generate
from trainer.device import prepare
from trainer.models.backbones import build_classifier, phase_b_cut
from trainer.models.classifier import Tail
from trainer.running.runs import Run
from trainer.settings import Settings

BACKBONE = "efficientnet_b0"
EPOCHS = 10
SIZE = 224
WEIGHTS = "random.safetensors"
MEASUREMENTS = "measurements.jsonl"
STAGES = ("prepare", "plain", "cold", "warm", "limit", "table")


def make_images(folder: Path, images: int) -> None:
    """Generated images as 1000×800 JPEGs; a few dozen drawings, each several times with its own noise."""
    rng = np.random.default_rng(0)
    drawn = list(generate(min(images, 48), 400, hospitals=3, seed=1))
    for index in range(images):
        radiograph = drawn[index % len(drawn)]
        pixels = np.asarray(Image.fromarray(radiograph.pixels).resize((800, 1000)), dtype=np.int16)
        noisy = (pixels + rng.integers(-6, 7, pixels.shape)).clip(0, 255).astype(np.uint8)
        target = folder / radiograph.label / f"{radiograph.patient}_{index}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy).save(target, quality=90)


def prepare_data(folder: Path, images: int) -> None:
    """Images, fetched and split, and random weights whose BatchNorm keeps activations from vanishing.

    ImageNet weights of this backbone come from a hub; for time they make no difference, vanishing activations would.
    """
    from trainer.cli import main

    make_images(folder / "originals", images)
    words = [
        "--dataset",
        str(folder / "originals"),
        "--data-dir",
        str(folder / "data"),
        "--patient-pattern",
        r"^(p\d+)_",
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        if main(["fetch", *words]) or main(["split", *words]):
            raise SystemExit("the benchmark's own images were refused")
    torch.manual_seed(0)
    network = models.efficientnet_b0(num_classes=3).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    spec = Preprocessing(image_size=SIZE, crop="anatomy", contrast="clahe")
    files = sorted((folder / "originals").rglob("*.jpg"))[:32]
    grey = torch.from_numpy(np.stack([load_array(file, spec) for file in files])).float().unsqueeze(1) / 255
    with torch.no_grad():
        network(((grey - 0.45) / 0.225).expand(-1, 3, -1, -1))
    save_file(
        {name: value for name, value in network.state_dict().items() if "classifier" not in name},
        folder / WEIGHTS,
    )


def training_images(folder: Path) -> int:
    """Number of training images."""
    return sum(record.split == "train" for record in read_manifest(folder / "data"))


def plain_loop(folder: Path, epochs: int) -> dict[str, float]:
    """Seconds an epoch of the plain loop, and its memory."""
    seen = watch("tests.benchmarks.plain_loop", str(folder / "data"), str(folder / WEIGHTS), str(epochs))
    times: dict[str, float] = json.loads(seen.lines[-1][1])
    return {f"plain {phase}": value for phase, value in times.items()} | {"plain memory": seen.peak}


def tail_limit(folder: Path) -> dict[str, float]:
    """Seconds an epoch of Phase B would take if only the tail's forward and backward were left."""
    prepare("cpu")
    count = training_images(folder)
    model = build_classifier(BACKBONE, 3, weights=str(folder / WEIGHTS))
    cut = phase_b_cut(BACKBONE, model)
    tail = Tail(model, cut, Settings.model_fields["batch_norm"].default).train()
    with torch.inference_mode():
        shape = model.stages[:cut](model.normalise(torch.zeros(32, SIZE, SIZE))).shape
    x = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, 3, (32,))
    times = []
    for _ in range(12):
        started = time.perf_counter()
        tail.zero_grad(set_to_none=True)
        torch.autograd.backward(nn.functional.cross_entropy(tail(x), y))
        times.append(time.perf_counter() - started)
    return {"limit": statistics.median(times[2:]) * (count // 32)}


def ours(folder: Path, name: str, *changes: str) -> dict[str, float]:
    """A whole run of 10 + 10 epochs by the command line; in seconds and megabytes."""
    data, runs = folder / "data", folder / "runs"
    if name == "cold":
        shutil.rmtree(data / "cache", ignore_errors=True)
    shutil.rmtree(runs / name, ignore_errors=True)
    words = ["--data-dir", str(data), "--runs-dir", str(runs), "--run", name, "--backbone", BACKBONE]
    words += ["--weights", str(folder / WEIGHTS), "--epochs-a", str(EPOCHS), "--epochs-b", str(EPOCHS)]
    seen = watch("trainer", "train", *words, "--patience", "99", *changes)
    summary = json.loads(Run(runs / name).training.read_text())
    disk = sum(path.stat().st_size for path in (data / "cache").iterdir()) / 1e6
    seconds_and_megabytes = {
        "whole": seen.seconds,
        "start": seen.first("Phase A"),  # the line on the untrained weights, just before the first step
        "cache": summary["cache_seconds"],
        "a": summary["phases"]["a"]["seconds"] / EPOCHS,
        "b": summary["phases"]["b"]["seconds"] / EPOCHS,
        "memory": seen.peak,
        "disk": disk,
    }
    return {f"{name} {key}": value for key, value in seconds_and_megabytes.items()}


def run_stage(stage: str, folder: Path, images: int, epochs: int) -> None:
    """Run one stage and add its measurements to the folder's."""
    if stage == "prepare":
        return prepare_data(folder, images)
    if stage == "table":
        return print_table(folder)
    if stage == "plain":
        found = plain_loop(folder, epochs)
    elif stage == "limit":
        found = tail_limit(folder)
    else:
        found = ours(folder, stage, *(["--lr-a", "2e-3", "--dropout", "0.3"] if stage == "warm" else []))
    with (folder / MEASUREMENTS).open("a") as stream:
        stream.write(json.dumps(found) + "\n")


def main() -> None:
    """Run all stages, or one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1200)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--plain-epochs", type=int, default=1)
    parser.add_argument(
        "--folder", type=Path, help="with --dataset: keeps each seed's figures, so that they can be made apart"
    )
    parser.add_argument("--stage", choices=STAGES)
    parser.add_argument("--dataset", help="folder of radiographs: the time to quality on it, instead of the rest")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="with --dataset")
    parser.add_argument("--image-size", type=int, default=224, help="with --dataset")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="with --dataset")
    options = parser.parse_args()
    if options.dataset:
        return print_time_to_quality(options)
    if (options.folder is None) != (options.stage is None):
        parser.error("--folder and --stage go together")
    if options.stage:
        return run_stage(options.stage, options.folder, options.images, options.plain_epochs)
    with tempfile.TemporaryDirectory() as name:
        for stage in (STAGES[0], *(STAGES[1:-1] * options.repeats), STAGES[-1]):
            run_stage(stage, Path(name), options.images, options.plain_epochs)


def print_table(folder: Path) -> None:
    """Medians and ratios."""
    rows: list[dict[str, Any]] = [json.loads(line) for line in (folder / MEASUREMENTS).read_text().splitlines()]
    keys = dict.fromkeys(key for row in rows for key in row)
    f = {key: statistics.median(row[key] for row in rows if key in row) for key in keys}
    plain_run = EPOCHS * (f["plain a"] + f["plain b"])
    print(f"{training_images(folder)} training images of 1000×800, {BACKBONE} at {SIZE}, medians, seconds")
    print(f"{'':34}{'plain':>9}{'ours':>9}{'ratio':>8}")
    for title, plain, own in (
        ("epoch of Phase A", f["plain a"], f["cold a"]),
        ("epoch of Phase B", f["plain b"], f["cold b"]),
        ("whole run 10 + 10, cold cache", plain_run, f["cold whole"]),
        ("whole run 10 + 10, warm cache", plain_run, f["warm whole"]),
    ):
        print(f"{title:34}{plain:9.2f}{own:9.2f}{plain / own:7.1f}×")
    print(f"{'cache building':34}{'':9}{f['cold cache']:9.2f}")
    print(f"{'start to first step, warm cache':34}{'':9}{f['warm start']:9.2f}")
    print(f"{'tail alone, epoch of Phase B':34}{'':9}{f['limit']:9.2f}   ours {f['cold b'] / f['limit']:.2f}×")
    print(f"{'peak private memory, MB':34}{f['plain memory']:9.0f}{f['cold memory']:9.0f}")
    print(f"{'cache on disk, MB':34}{'':9}{f['cold disk']:9.0f}")
    print("plain whole run: 10 × its two epochs, measured; ours was run to its end")


if __name__ == "__main__":
    main()
