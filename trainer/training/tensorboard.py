"""What TensorBoard shows of training: losses, F1, learning rates, confusion matrix, images."""

import threading
from pathlib import Path
from typing import cast

import ignite.distributed as idist
import matplotlib
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
from trainer.plots import confusion_plot

matplotlib.use("Agg")

WORST = 8


def _report_thread(args: threading.ExceptHookArgs) -> None:
    """As Python does, but for the event file's thread: what it meets is raised by the next write to the file."""
    # Private: the thread's module. Without it, a full disk shows a traceback beside its line.
    if not type(args.thread).__module__.startswith("tensorboard."):
        threading.__excepthook__(args)


class Board:
    """The event file of one run; silent on all processes but the first."""

    def __init__(self, folder: Path, classes: list[str], images: Images) -> None:
        """``images``: the validation images, in the evaluator's order, to show the worst of them."""
        self.classes, self.images = classes, images
        self.logger = TensorboardLogger(log_dir=str(folder)) if idist.get_rank() == 0 else None
        threading.excepthook = _report_thread

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
        self._attach_worst(writer, tag, trainer, evaluator)

    def sample_batch(self, views: Tensor) -> None:
        """Show augmented views, N×H×W in [0, 255]."""
        if self.logger is not None:
            grid = make_grid(views.unsqueeze(1).to(torch.uint8), nrow=8)
            self.logger.writer.add_image("sample_batch", grid)

    def _attach_worst(self, writer: SummaryWriter, tag: str, trainer: Engine, evaluator: Engine) -> None:
        """After each epoch, show the validation images with the greatest loss, the worst first."""
        losses: list[Tensor] = []

        def collect(engine: Engine) -> None:
            logits, labels = cast("tuple[Tensor, Tensor]", engine.state.output)
            losses.append(cross_entropy(logits.float(), labels, reduction="none").cpu())

        def show(engine: Engine) -> None:
            # Of several processes, the first one judges the first images.
            worst = torch.cat(losses).argsort(descending=True)[:WORST].numpy()
            losses.clear()
            grid = make_grid(torch.from_numpy(self.images[worst]).unsqueeze(1), nrow=4)
            writer.add_image(f"{tag}/worst_images", grid, trainer.state.epoch)

        evaluator.add_event_handler(Events.ITERATION_COMPLETED, collect)
        evaluator.add_event_handler(Events.COMPLETED, show)

    def close(self) -> None:
        """Flush and close the event file."""
        if self.logger is not None:
            try:
                self.logger.writer.flush()  # raises what the writer's thread has met, which closing alone does not
            finally:
                self.logger.close()
