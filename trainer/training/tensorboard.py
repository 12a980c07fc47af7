"""What TensorBoard shows of a run: losses, F1, learning rates, confusion matrix, images; and of its evaluation."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ignite.distributed as idist
import matplotlib
import numpy as np
import torch
from ignite.engine import Engine, Events
from ignite.handlers import TensorboardLogger, global_step_from_engine
from ignite.handlers.tensorboard_logger import OptimizerParamsHandler, OutputHandler
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import make_grid

from trainer.features.decoded_store import Images
from trainer.files import read_json
from trainer.plots import confusion_plot, reliability_plot
from trainer.runs import Run, saved_settings

if TYPE_CHECKING:  # it brings modules that training does without
    from trainer.evaluation.scoring import Evaluation

matplotlib.use("Agg")

WORST = 8
EVALUATION = "evaluation"
"""Folder of an evaluation's events in the run's folder; each evaluation writes it anew."""


class Board:
    """The event file of one run; silent on all processes but the first."""

    def __init__(self, folder: Path, classes: list[str]) -> None:
        self.classes = classes
        self.radiographs: Images | None = None
        self.logger = TensorboardLogger(log_dir=str(folder)) if idist.get_rank() == 0 else None

    def attach(self, phase: str, trainer: Engine, evaluator: Engine, optimizer: Optimizer) -> None:
        """Log a phase's training and validation under ``phase_<phase>/``."""
        if self.logger is None:
            return
        step = global_step_from_engine(trainer)
        tag = f"phase_{phase}"
        training = OutputHandler(f"{tag}/train", output_transform=lambda loss: {"loss": loss})
        rates = OptimizerParamsHandler(optimizer, "lr", tag=tag)
        names = ["loss", "macro_f1", *(f"f1_{name}" for name in self.classes)]
        validation = OutputHandler(f"{tag}/validation", metric_names=names, global_step_transform=step)
        self.logger.attach(trainer, training, Events.ITERATION_COMPLETED(every=10))
        self.logger.attach(trainer, rates, Events.ITERATION_COMPLETED(every=10))
        self.logger.attach(evaluator, validation, Events.COMPLETED)
        writer = self.logger.writer

        def confusion(engine: Engine) -> None:
            matrix = engine.state.metrics["confusion"].tolist()
            figure = confusion_plot(matrix, self.classes, "validation")
            writer.add_figure(f"{tag}/confusion", figure, trainer.state.epoch)

        evaluator.add_event_handler(Events.COMPLETED, confusion)
        self._attach_worst(tag, trainer, evaluator)

    def sample_batch(self, views: Tensor) -> None:
        """Show augmented views, N×H×W in [0, 255]."""
        if self.logger is not None:
            grid = make_grid(views.unsqueeze(1).to(torch.uint8), nrow=8)
            self.logger.writer.add_image("sample_batch", grid)

    def validation_images(self, images: Images) -> None:
        """Keep hold of the validation images, in the evaluator's order, to show the worst of them."""
        self.radiographs = images

    def _attach_worst(self, tag: str, trainer: Engine, evaluator: Engine) -> None:
        """After each epoch, show the validation images with the greatest loss, the worst first."""
        losses: list[Tensor] = []

        def collect(engine: Engine) -> None:
            output: Any = engine.state.output
            logits, labels = output
            losses.append(cross_entropy(logits.float(), labels, reduction="none").cpu())

        def show(engine: Engine) -> None:
            radiographs, found = self.radiographs, torch.cat(losses)
            losses.clear()
            if radiographs is None or self.logger is None:
                return
            # Of several processes, the first one judges the first images.
            worst = found.argsort(descending=True)[:WORST].numpy()
            grid = make_grid(torch.from_numpy(radiographs[worst]).unsqueeze(1), nrow=4)
            self.logger.writer.add_image(f"{tag}/worst_images", grid, trainer.state.epoch)

        evaluator.add_event_handler(Events.ITERATION_COMPLETED, collect)
        evaluator.add_event_handler(Events.COMPLETED, show)

    def close(self) -> None:
        """Flush and close the event file."""
        if self.logger is not None:
            self.logger.close()


def log_evaluation(run: Run, evaluation: "Evaluation") -> None:
    """Show a test: precision-recall curves, reliability, embeddings with thumbnails, settings with final figures."""
    metrics = read_json(run.metrics, "evaluate")
    folder = run.folder / EVALUATION
    shutil.rmtree(folder, ignore_errors=True)
    with SummaryWriter(str(folder)) as writer:
        _log(writer, run, evaluation, metrics)


def _log(writer: Any, run: Run, evaluation: "Evaluation", metrics: dict[str, Any]) -> None:
    for i, name in enumerate(evaluation.classes):
        writer.add_pr_curve(f"test/{name}", evaluation.truth == i, evaluation.probabilities[:, i])
    calibration = metrics["calibration"]
    for when in ("before", "after"):
        writer.add_figure(f"test/reliability_{when}_scaling", reliability_plot(calibration, when))
    writer.add_figure("test/confusion", confusion_plot(metrics["test"]["confusion_matrix"], evaluation.classes, "test"))
    predicted = [evaluation.classes[i] for i in evaluation.probabilities.argmax(axis=1)]
    rows = [
        [
            radiograph.label,
            radiograph.site,
            guess,
            "right" if radiograph.label == guess else "wrong",
            radiograph.path,
        ]
        for radiograph, guess in zip(evaluation.radiographs, predicted, strict=True)
    ]
    thumbnails = torch.from_numpy(np.repeat(evaluation.thumbnails[:, None], 3, axis=1)).float() / 255
    writer.add_embedding(
        evaluation.embeddings,
        rows,
        thumbnails,
        metadata_header=["label", "site", "predicted", "right", "path"],
    )
    settings = {
        name: value if isinstance(value, bool | int | float) else str(value)
        for name, value in saved_settings(run).model_dump(mode="json").items()
    }
    final = {f"final/{name}": metrics["test"][name] for name in ("accuracy", "macro_f1", "weighted_f1")}
    final["final/ece"] = calibration["after"]["ece"]["value"]
    # In this very folder: by default each call makes a run of its own.
    writer.add_hparams(settings, final, run_name=".")
