"""The reference project's training loop: ``python -m tests.benchmarks.plain_loop FOLDER WEIGHTS EPOCHS``.

A process of its own, with PyTorch as it comes: nothing of ``trainer`` is imported, so its allocator and thread
settings are not there. Everything is done anew each epoch. Prints one line of JSON: seconds an epoch, validation
included, median of EPOCHS a phase.
"""

import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import models
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

SIZE = 224
BATCH = 32
WORKERS = 2
"""One for each core of the machine that was measured; other numbers were not tried."""
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def loader(
    folder: Path, split: str, size: int = SIZE, normalisation: Sequence[Sequence[float]] = IMAGENET
) -> "DataLoader[Any]":
    """Images of a split as the reference project reads them: augmented and in another order each time if ``train``."""
    train = split == "train"
    view: list[v2.Transform] = (
        [v2.RandomResizedCrop(size), v2.RandomHorizontalFlip(), v2.RandomRotation(10)]
        if train
        else [v2.Resize(round(size * 8 / 7)), v2.CenterCrop(size)]
    )
    finish = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(*map(list, normalisation))]
    radiographs = ImageFolder(folder / split, v2.Compose([*view, *finish]))
    return DataLoader(radiographs, BATCH, shuffle=train, num_workers=WORKERS)


def begin_phase(network: nn.Module, phase: str, lr: float) -> torch.optim.Optimizer:
    """Free the head, and with phase ``b`` the last three blocks of an EfficientNet too."""
    network.requires_grad_(False)
    blocks = list(network.get_submodule("features").children())[-3:] if phase == "b" else []
    for part in [network.get_submodule("classifier"), *blocks]:
        part.requires_grad_(True)
    return torch.optim.AdamW((p for p in network.parameters() if p.requires_grad), lr)


def train_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    radiographs: "DataLoader[Any]",
    class_weights: Tensor | None = None,
) -> None:
    """Everything is in training mode, BatchNorm of frozen blocks too, as it was there."""
    network.train()
    for x, y in radiographs:
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(network(x), y, class_weights))
        optimizer.step()


@torch.no_grad()
def predict(network: nn.Module, radiographs: "DataLoader[Any]") -> Tensor:
    """Logits N×C."""
    network.eval()
    return torch.cat([network(x) for x, _ in radiographs])


def main(folder: Path, weights: Path, epochs: int) -> None:
    """Time the epochs of both phases."""
    train, validation = loader(folder, "train"), loader(folder, "val")
    network = models.efficientnet_b0(num_classes=3)
    network.load_state_dict(load_file(weights), strict=False)
    found = {}
    for phase in ("a", "b"):
        optimizer = begin_phase(network, phase, 1e-3)
        times = []
        for _ in range(epochs):
            started = time.perf_counter()
            train_epoch(network, optimizer, train)
            predict(network, validation)
            times.append(time.perf_counter() - started)
        found[phase] = statistics.median(times)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
