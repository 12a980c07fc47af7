"""What TensorBoard shows of an evaluation, as the entry ``<run>/test``."""

import contextlib
import shutil
import textwrap
from typing import Any

import numpy as np

from bento.artifact import load_manifest
from trainer.errors import UserError
from trainer.evaluation.scoring import Evaluation
from trainer.evaluation.summary import EvaluationSummary
from trainer.plots import COLOURS, confusion_plot, reliability_plot
from trainer.reporting.verdict import verdict
from trainer.running.runs import Run, all_runs, read_config, read_training, saved_settings
from trainer.settings import DataSettings, RunSettings, Settings
from trainer.types import Array

TENSORBOARD = "test"
"""Folder of an evaluation's event files in the run's folder; each evaluation writes it anew."""
FRAME = 2
"""Pixels of a thumbnail's frame."""
TEXT_WIDTH = 110
"""Most characters in a line of a sentence among tables."""
ALWAYS = {"backbone", "seed"}
UNTOLD = (DataSettings.model_fields.keys() | RunSettings.model_fields.keys()) - {"split", "hold_out_site", "seed"}
"""Settings that say where things are, and nothing of how the model was made."""


def log_evaluation(run: Run, evaluation: Evaluation, summary: EvaluationSummary, text: str) -> None:
    """Show a test: summary, curves, reliability, confusion, embeddings with thumbnails, settings with their metrics.

    ``text``: tables of the metrics.
    """
    from torch.utils.tensorboard import SummaryWriter

    classes, training = evaluation.classes, read_training(run)
    step = sum(phase.epochs for phase in training.phases.values())
    folder = run.folder / TENSORBOARD
    shutil.rmtree(folder, ignore_errors=True)
    with SummaryWriter(str(folder)) as writer:
        writer.add_text("summary", _summary_text(run, evaluation, summary, text), step)
        for i, name in enumerate(classes):
            writer.add_pr_curve(f"precision_recall/{name}", evaluation.truth == i, evaluation.probabilities[:, i], step)
        confusion = confusion_plot(summary.test.confusion_matrix, classes, f"test, {summary.test.images} images")
        writer.add_figure("images/confusion", confusion, step)
        for when, curve in summary.calibration.reliability.items():
            writer.add_figure(f"images/reliability_{when}_scaling", reliability_plot(*curve), step)
        _add_embeddings(writer, evaluation)
        # In this very folder: by default each call makes a run of its own.
        writer.add_hparams(told_settings(run), _final_metrics(summary), run_name=".", global_step=step)


def _summary_text(run: Run, evaluation: Evaluation, summary: EvaluationSummary, text: str) -> str:
    """What the report begins with, as Markdown, and the tables."""
    synthetic = load_manifest(run.sealed).data.synthetic
    without_patient = sum(image.patient == image.path for image in evaluation.radiographs)
    lines = [
        *verdict(summary, synthetic, without_patient),
        f"The whole report: `{run.report}`",
        textwrap.indent("\n".join(map(_folded, text.splitlines())), "    "),
    ]
    return "\n\n".join(lines)


def _folded(line: str) -> str:
    """A sentence in lines, a table's row as it is: TensorBoard shows a text as wide as its longest line."""
    return line if "  " in line else textwrap.fill(line, TEXT_WIDTH)


def told_settings(run: Run) -> dict[str, bool | int | float | str]:
    """Settings that tell runs apart: those that are no default here, or not the same in all runs beside this one."""
    own = saved_settings(run).model_dump(mode="json")
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    others: list[dict[str, Any]] = []
    for other in all_runs(run.folder.parent):
        with contextlib.suppress(UserError):  # a damaged one is told where it is used
            others.append(read_config(other.config))
    told = {}
    for name in own.keys() - UNTOLD:
        varies = any(other.get(name, own[name]) != own[name] for other in others)
        if varies or name in ALWAYS or own[name] != defaults[name]:
            value = own[name]
            told[name] = value if isinstance(value, bool | int | float) else str(value)
    return dict(sorted(told.items()))


def framed(thumbnails: Array, labels: Array) -> Array:
    """``uint8`` thumbnails N×H×W in a frame of their class's colour, ``float32`` N×3×H×W in [0, 1]."""
    colours = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in COLOURS])
    images = np.repeat(thumbnails[:, None], 3, axis=1)
    own = colours[labels % len(COLOURS)][:, :, None, None]
    inside = np.zeros(thumbnails.shape[1:], bool)
    inside[FRAME:-FRAME, FRAME:-FRAME] = True
    return np.where(inside, images, own).astype(np.float32) / 255


def _add_embeddings(writer: Any, evaluation: Evaluation) -> None:
    import torch

    guesses = evaluation.probabilities.argmax(axis=1)
    header = ["label", "predicted", "right", "site", "path"]
    rows = []
    for image, guess in zip(evaluation.radiographs, guesses, strict=True):
        predicted = evaluation.classes[guess]
        right = "right" if image.label == predicted else "wrong"
        rows.append([image.label, predicted, right, image.site or "unknown", image.path])
    thumbnails = torch.from_numpy(framed(evaluation.thumbnails, evaluation.truth))
    writer.add_embedding(evaluation.embeddings, rows, thumbnails, metadata_header=header, tag="test_images")


def _final_metrics(summary: EvaluationSummary) -> dict[str, float]:
    macro, test = summary.intervals.test["macro_f1"], summary.test
    return {
        "test/macro_f1": macro.value,
        "test/macro_f1_low": macro.low,
        "test/macro_f1_high": macro.high,
        "test/accuracy": test.accuracy,
        "test/cross_entropy": test.cross_entropy,
        "test/expected_calibration_error": summary.calibration.after.ece.value,
    }
