"""What TensorBoard shows of a run: losses, F1, learning rates, the confusion matrix, a sample batch."""

from pathlib import Path

import ignite.distributed as idist
import matplotlib
import torch
from ignite.engine import Engine, Events
from ignite.handlers import TensorboardLogger, global_step_from_engine
from ignite.handlers.tensorboard_logger import OptimizerParamsHandler, OutputHandler
from matplotlib.figure import Figure
from torch import Tensor
from torch.optim import Optimizer
from torchvision.utils import make_grid

matplotlib.use("Agg")


class Board:
    """The event file of one run; silent on all processes but the first."""

    def __init__(self, folder: Path, classes: list[str]) -> None:
        self.classes = classes
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
            figure = confusion_figure(matrix, self.classes, "validation")
            writer.add_figure(f"{tag}/confusion", figure, trainer.state.epoch)

        evaluator.add_event_handler(Events.COMPLETED, confusion)

    def sample_batch(self, views: Tensor) -> None:
        """Show augmented views, N×H×W in [0, 255]."""
        if self.logger is not None:
            grid = make_grid(views.unsqueeze(1).to(torch.uint8), nrow=8)
            self.logger.writer.add_image("sample_batch", grid)

    def close(self) -> None:
        """Flush and close the event file."""
        if self.logger is not None:
            self.logger.close()


def confusion_figure(matrix: list[list[int]], classes: list[str], title: str) -> Figure:
    """Counts (rows true) with their share of the row as shade and as percentage."""
    figure = Figure(figsize=(1.6 + 1.3 * len(classes), 1.2 + 1.1 * len(classes)), layout="constrained")
    axes = figure.add_subplot()
    shares = [[count / max(1, sum(row)) for count in row] for row in matrix]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(matrix):
        for j, count in enumerate(row):
            colour = "white" if shares[i][j] > 0.5 else "black"
            axes.text(j, i, f"{count}\n{shares[i][j]:.0%}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes, rotation=90, va="center")
    axes.set(xlabel="predicted", ylabel="true", title=title)
    return figure
