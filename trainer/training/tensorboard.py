"""What TensorBoard shows of training: metrics and learning rates of each epoch, confusion matrix, images.

A run has two entries in its list, ``<run>/train`` and ``<run>/validation``, whose equal tags share a chart; the
evaluation adds ``<run>/test``. The step is the epoch, which Phase B counts on from Phase A.
"""

import textwrap
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import matplotlib
import torch
from ignite.engine import Engine, Events
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import make_grid

from trainer.features.decoded_store import Images
from trainer.plots import captioned_images, confusion_plot

matplotlib.use("Agg")

WORST = 8
CAPTION_WIDTH = 34


def _report_thread(args: threading.ExceptHookArgs) -> None:
    """As Python does, but for the event file's thread: what it meets is raised by the next write to the file."""
    # Private: the thread's module. Without it, a full disk shows a traceback beside its line.
    if not type(args.thread).__module__.startswith("tensorboard."):
        threading.__excepthook__(args)


class Board:
    """The event files of one run's training, for the first process to write."""

    def __init__(self, folder: Path, classes: list[str], images: Images, names: Sequence[str]) -> None:
        """``images``: the N validation images, in the evaluator's order, to show the worst of them by their names."""
        self.folder, self.classes, self.images, self.names = folder, classes, images, names
        self._writers: dict[str, SummaryWriter] = {}
        self._outputs: list[tuple[Tensor, Tensor]] = []
        threading.excepthook = _report_thread

    def attach(self, evaluator: Engine) -> None:
        """Keep what the evaluator says of each image, for :meth:`show_epoch`."""

        def collect(engine: Engine) -> None:
            logits, labels = cast("tuple[Tensor, Tensor]", engine.state.output)
            self._outputs.append((logits.float().cpu(), labels.cpu()))

        evaluator.add_event_handler(Events.STARTED, self._outputs.clear)
        evaluator.add_event_handler(Events.ITERATION_COMPLETED, collect)

    def show_epoch(
        self, step: int, training: Mapping[str, Any], validation: Mapping[str, Any], rates: Mapping[str, float]
    ) -> None:
        """Show an epoch.

        Args:
            step: its number in the run.
            training: metrics of the trainer; empty where nothing was trained.
            validation: metrics of the evaluator, which has seen all images.
            rates: learning rates by name.
        """
        splits = {"train": training, "validation": validation} if training else {"validation": validation}
        for split, metrics in splits.items():
            writer = self._writer(split, step)
            for name, value in metrics.items():
                if name != "confusion":
                    writer.add_scalar(f"{_group(name)}/{name.removeprefix('f1_')}", value, step)
        if training:
            for name, rate in rates.items():
                self._writer("train", step).add_scalar(f"learning_rate/{name}", rate, step)
        writer = self._writer("validation", step)
        confusion = confusion_plot(validation["confusion"].tolist(), self.classes, f"validation, epoch {step}")
        writer.add_figure("images/confusion", confusion, step)
        writer.add_figure("images/worst", captioned_images(*self.worst(), "greatest loss first"), step)

    def show_views(self, views: Tensor) -> None:
        """Show augmented views, N×H×W in [0, 255]."""
        grid = make_grid(views.unsqueeze(1).to(torch.uint8), nrow=8)
        self._writer("train", 0).add_image("images/augmented_views", grid)

    def worst(self) -> tuple[Any, list[str]]:
        """The validation images with the greatest loss, and what is to be said of each.

        Of several processes, the first one judges the first images.
        """
        logits, labels = map(torch.cat, zip(*self._outputs, strict=True))
        log_probabilities = torch.log_softmax(logits, dim=1)
        losses = -log_probabilities.gather(1, labels[:, None])[:, 0]
        rows = losses.argsort(descending=True)[:WORST]
        captions = []
        for row in rows.tolist():
            probability, predicted = log_probabilities[row].exp().max(dim=0)
            path = textwrap.fill(self.names[row], CAPTION_WIDTH)
            label, guess = self.classes[int(labels[row])], self.classes[int(predicted)]
            captions.append(f"is {label}\nsaid {guess}, {probability:.0%}\n{path}")
        return self.images[rows.numpy()], captions

    def _writer(self, split: str, step: int) -> SummaryWriter:
        """The split's event file, from this step on: what a killed run wrote after its last checkpoint comes again."""
        if split not in self._writers:
            self._writers[split] = SummaryWriter(str(self.folder / split), purge_step=step)
        return self._writers[split]

    def close(self) -> None:
        """Flush and close the event files.

        Raises:
            OSError: they can't be written.
        """
        try:
            for writer in self._writers.values():
                writer.flush()  # raises what the writer's thread has met, which closing alone does not
        finally:
            for writer in self._writers.values():
                writer.close()


def _group(name: str) -> str:
    """The part of the list of charts: TensorBoard sorts them, and opens the first two."""
    if name.startswith("f1_"):
        return "f1_by_class"
    return "epochs" if name in ("cross_entropy", "macro_f1") else "other_terms"
