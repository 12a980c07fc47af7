"""The report's pictures, as data URIs."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from trainer.errors import UserError
from trainer.evaluation.bootstrap import JudgedImages
from trainer.evaluation.cross_site import CrossSite
from trainer.evaluation.summary import CalibrationFindings
from trainer.plots import (
    cross_site_plot,
    embedding_plot,
    learning_curves_plot,
    precision_recall_plot,
    reliability_plot,
    roc_plot,
)
from trainer.running.history import read_history
from trainer.running.runs import Run, read_training
from trainer.tables import read_table


def draw_plots(
    run: Run,
    calibration: CalibrationFindings,
    judged: JudgedImages,
    rows: list[dict[str, str]],
    cross_sites: Sequence[CrossSite],
) -> dict[str, str]:
    """Data URIs of the plots by name.

    Args:
        run: evaluated.
        calibration: its reliability diagrams.
        judged: its N test images.
        rows: of its ``predictions.csv``, N.
        cross_sites: rows of the cross-site matrix.

    Raises:
        UserError: the embedding map or the history can't be read.
    """
    curves = judged.classes, judged.truth, judged.probabilities
    plots = {"roc": roc_plot(*curves), "precision_recall": precision_recall_plot(*curves)}
    for when, (points, _) in calibration.reliability.items():
        plots[when] = reliability_plot(points, f"{when} scaling")
    plots |= _maps(run, judged, rows)
    if epochs := read_history(run.history):
        kept = {name: phase.best_epoch for name, phase in read_training(run).phases.items()}
        plots["learning"] = learning_curves_plot(epochs, kept)
    if cross_sites:
        sides = [(row.site, row.seen_sites["macro_f1"], row.held_out_site.metrics["macro_f1"]) for row in cross_sites]
        plots["cross_site"] = cross_site_plot(sides)
    return {name: svg_uri(figure) for name, figure in plots.items()}


def _maps(run: Run, judged: JudgedImages, rows: list[dict[str, str]]) -> dict[str, Figure]:
    places = {
        row["path"]: (float(row["x"]), float(row["y"])) for _, row in read_table(run.embedding_map, ("path", "x", "y"))
    }
    predicted = judged.probabilities.argmax(axis=1)
    shown = [i for i, row in enumerate(rows) if row["path"] in places]
    errors = [
        "right" if guess == truth else f"wrong: called {judged.classes[guess]}"
        for guess, truth in zip(predicted.tolist(), judged.truth.tolist(), strict=True)
    ]
    groups = {"class": [row["label"] for row in rows], "error": errors}
    if any(row["site"] for row in rows):
        groups["site"] = [row["site"] or "unknown" for row in rows]
    points = [places[rows[i]["path"]] for i in shown]
    return {
        f"map_{title}": embedding_plot(points, [names[i] for i in shown], f"coloured by {title}")
        for title, names in groups.items()
    }


def svg_uri(figure: Figure) -> str:
    """A plot as an SVG in a data URI; equal plots give equal ones."""
    stream = io.BytesIO()
    # Without date and random ids.
    with matplotlib.rc_context({"svg.hashsalt": "report", "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(stream.getvalue()).decode()}"


class Pictures:
    """A run's pictures as data URIs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str) -> str:
        """The picture of that file name.

        Raises:
            UserError: it is missing.
        """
        path = self.folder / name
        try:
            return f"data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}"
        except OSError as error:
            raise UserError(f"{path}: missing; make it again with python -m trainer evaluate") from error
