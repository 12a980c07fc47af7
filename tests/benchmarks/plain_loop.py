"""The reference project's training loop: ``python -m tests.benchmarks.plain_loop FOLDER WEIGHTS EPOCHS``.

A process of its own, with PyTorch as it comes: nothing of ``trainer`` is imported, so its allocator and thread
settings are not there. Everything is done anew each epoch. Prints one line of JSON: seconds an epoch, validation
included, median of EPOCHS a phase.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader
from torchvision import models
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

SIZE = 224
BATCH = 32
WORKERS = 2
"""One a core of the machine that the figures come from; other numbers were not tried."""
FINISH = [
    v2.ToImage(),
    v2.ToDtype(torch.float32, scale=True),
    v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
]


def main(folder: Path, weights: Path, epochs: int) -> None:
    """Time the epochs of both phases."""
    augment = v2.Compose([v2.RandomResizedCrop(SIZE), v2.RandomRotation(10), *FINISH])
    plain = v2.Compose([v2.Resize(256), v2.CenterCrop(SIZE), *FINISH])
    train = DataLoader(ImageFolder(folder / "train", augment), BATCH, shuffle=True, num_workers=WORKERS)
    validation = DataLoader(ImageFolder(folder / "val", plain), BATCH, num_workers=WORKERS)
    network = models.efficientnet_b0(num_classes=3)
    network.load_state_dict(load_file(weights), strict=False)
    found = {}
    for phase in ("a", "b"):
        network.requires_grad_(False)
        for part in [network.classifier, *(network.features[-3:] if phase == "b" else [])]:
            part.requires_grad_(True)
        optimizer = torch.optim.AdamW((p for p in network.parameters() if p.requires_grad), 1e-3)
        found[phase] = statistics.median(epoch(network, optimizer, train, validation) for _ in range(epochs))
    print(json.dumps(found))


def epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: "DataLoader[Any]",
    validation: "DataLoader[Any]",
) -> float:
    """Seconds of one epoch. Everything is in training mode, BatchNorm of frozen blocks too, as it was there."""
    started = time.perf_counter()
    network.train()
    for x, y in train:
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(network(x), y))
        optimizer.step()
    network.eval()
    with torch.no_grad():
        for x, _ in validation:
            network(x)
    return time.perf_counter() - started


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
