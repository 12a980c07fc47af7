"""TensorBoard: the worst images of each epoch."""

import io
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.optim import SGD

from trainer.models.classifier import Classifier, Tail
from trainer.training.engines import create_evaluator, create_trainer
from trainer.training.losses import Objective
from trainer.training.tensorboard import Board


def test_the_worst_validation_images_of_each_epoch_are_shown(tmp_path: Path) -> None:
    # Image 3 alone is always wrong: bias makes class 0, its label is 1.
    labels = torch.tensor([0, 0, 0, 1])
    batches = [(torch.zeros(2, 5), labels[:2]), (torch.zeros(2, 5), labels[2:])]
    model = Tail(Classifier([], embedding_size=5, classes=2), cut=1)
    nn.init.constant_(model.head.bias[:1], 3.0)
    optimizer = SGD(model.parameters(), lr=0.0)
    board = Board(tmp_path, ["A", "B"], np.stack([np.full((8, 8), 60 * i, np.uint8) for i in range(4)]))
    trainer: Engine = create_trainer(Objective(model), optimizer)
    evaluator = create_evaluator(model, nn.CrossEntropyLoss(), ["A", "B"])
    board.attach("a", trainer, evaluator, optimizer)
    for _ in range(2):
        trainer.run([(x, y, torch.ones(2), torch.zeros(2).long()) for x, y in batches], max_epochs=1)
        evaluator.run(batches)
    board.close()
    images = EventAccumulator(str(tmp_path), size_guidance={"images": 0}).Reload().Images("phase_a/worst_images")
    assert len(images) == 2
    grid = np.asarray(Image.open(io.BytesIO(images[-1].encoded_image_string)).convert("L"))
    assert grid[4, 6] == 180  # the fourth image, first of all


def test_a_full_disk_is_an_error_of_the_caller_and_prints_nothing(
    small_disk: Callable[[int], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """TensorBoard writes in a thread, whose traceback Python would print; fails if that thread is renamed."""
    board = Board(small_disk(1), ["A"], np.zeros((1, 8, 8), np.uint8))
    noise = torch.rand(8, 512, 512, generator=torch.Generator().manual_seed(0)) * 255
    with pytest.raises(OSError, match="No space left on device"), closing(board):
        board.sample_batch(noise)
    assert capfd.readouterr().err == ""


def test_errors_of_other_threads_are_still_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise OSError("heard")

    Board(tmp_path, ["A"], np.zeros((1, 8, 8), np.uint8)).close()
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert "heard" in capfd.readouterr().err
