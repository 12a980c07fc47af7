"""TensorBoard: what it shows of each epoch."""

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.optim import SGD

from trainer.models.classifier import Classifier, Tail
from trainer.plots import captioned_images
from trainer.training.engines import create_evaluator, create_trainer
from trainer.training.losses import Objective
from trainer.training.tensorboard import Board

CLASSES = ["A", "B"]


def accumulated(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()


@pytest.fixture
def shown(tmp_path: Path) -> tuple[Path, Board]:
    """Two epochs after one without training; image 3 alone, of class 1, is always wrong."""
    labels = torch.tensor([0, 0, 0, 1])
    site = torch.zeros(2).long()
    batches = [(torch.zeros(2, 5), labels[:2], site), (torch.zeros(2, 5), labels[2:], site)]
    model = Tail(Classifier([], embedding_size=5, classes=2), cut=1)
    nn.init.constant_(model.head.bias[:1], 3.0)
    images = np.stack([np.full((8, 8), 60 * i, np.uint8) for i in range(4)])
    board = Board(tmp_path, CLASSES, images, [f"val/{'A' if i < 3 else 'B'}/image_{i}.png" for i in range(4)])
    trainer = create_trainer(Objective(model), SGD(model.parameters(), lr=0.0), CLASSES)
    evaluator = create_evaluator(model, CLASSES)
    board.attach(evaluator)
    for epoch in range(3):
        if epoch:
            trainer.run([(x, y, torch.ones(2), site) for x, y, _ in batches], max_epochs=1)
        evaluator.run(batches)
        training = trainer.state.metrics if epoch else {}
        board.show_epoch(epoch, training, evaluator.state.metrics, {"head": 0.1, "block-1": 0.07})
    return tmp_path, board


def test_training_and_validation_share_tags_and_steps(shown: tuple[Path, Board]) -> None:
    folder, board = shown
    board.close()
    training, validation = accumulated(folder / "train"), accumulated(folder / "validation")
    tags = {"epochs/cross_entropy", "epochs/macro_f1", "f1_by_class/A", "f1_by_class/B"}
    assert set(validation.Tags()["scalars"]) == tags
    assert set(training.Tags()["scalars"]) == tags | {"learning_rate/head", "learning_rate/block-1"}
    for tag in tags:
        assert [point.step for point in validation.Scalars(tag)] == [0, 1, 2]
        assert [point.step for point in training.Scalars(tag)] == [1, 2]
    assert sorted(path.name for path in folder.iterdir()) == ["train", "validation"]  # TensorBoard's list of runs


def test_the_worst_validation_images_of_each_epoch_are_shown_with_captions(shown: tuple[Path, Board]) -> None:
    folder, board = shown
    images, captions = board.worst()
    board.close()
    assert [point.step for point in accumulated(folder / "validation").Images("images/worst")] == [0, 1, 2]
    assert images[0].max() == 180
    # The softmax of (3, 0) is 95 %.
    assert captions[0] == "is B\nsaid A, 95%\nval/B/image_3.png"
    assert captions[1].startswith("is A\nsaid A, 95%")
    figure = captioned_images(images, captions, "greatest loss first")
    assert [axes.get_title(loc="left") for axes in figure.axes] == captions


def test_a_resumed_run_replaces_what_was_shown_of_the_epochs_after_its_checkpoint(tmp_path: Path) -> None:
    for steps in ([1, 2, 3], [3, 4]):
        board = Board(tmp_path, ["A"], np.zeros((1, 8, 8), np.uint8), ["a"])
        evaluator = create_evaluator(nn.Identity(), ["A", "B"])
        board.attach(evaluator)
        metrics = evaluator.run([(torch.zeros(1, 2), torch.zeros(1).long(), torch.zeros(1).long())]).metrics
        for step in steps:
            board.show_epoch(step, {}, metrics, {})
        board.close()
    points = accumulated(tmp_path / "validation").Scalars("epochs/cross_entropy")
    assert [point.step for point in points] == [1, 2, 3, 4]


def test_a_full_disk_is_an_error_of_the_caller_and_prints_nothing(
    small_disk: Callable[[int], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """TensorBoard writes in a thread, whose traceback Python would print; fails if that thread is renamed."""
    board = Board(small_disk(1), ["A"], np.zeros((1, 8, 8), np.uint8), ["a"])
    noise = torch.rand(8, 512, 512, generator=torch.Generator().manual_seed(0)) * 255
    with pytest.raises(OSError, match="No space left on device"), closing(board):
        board.show_views(noise)
    assert capfd.readouterr().err == ""


def test_errors_of_other_threads_are_still_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise OSError("heard")

    Board(tmp_path, ["A"], np.zeros((1, 8, 8), np.uint8), ["a"]).close()
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert "heard" in capfd.readouterr().err
