"""``report.html`` and ``MODEL_CARD.md``: views of a run's manifest.json, metrics.json, predictions and pictures.

Neither data nor model is needed: everything has been written down by ``evaluate``.
"""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import jinja2
import markupsafe
import matplotlib
from matplotlib.figure import Figure

from bento.artifact import MANIFEST_FILE, ArtifactError, Interval, Manifest, load_manifest
from trainer.errors import UserError
from trainer.evaluation.bootstrap import JudgedImages
from trainer.evaluation.cross_site import CrossSite, cross_site_table
from trainer.evaluation.operating_points import WHO_SENSITIVITY, WHO_SPECIFICITY, who_verdict
from trainer.evaluation.summary import EvaluationSummary, read_summary
from trainer.files import write_text
from trainer.plots import (
    confusion_plot,
    cross_site_plot,
    embedding_plot,
    precision_recall_plot,
    reliability_plot,
    roc_plot,
)
from trainer.reporting.comparison import Difference, compare, read_predictions
from trainer.reporting.guidelines import REPORTING_ITEMS
from trainer.runs import Run, read_training
from trainer.tables import read_table

TEMPLATES = Path(__file__).parent / "templates"


def report_runs(runs_dir: Path, names: Sequence[str]) -> None:
    """Rebuild the reports of runs; several are compared, each with the others, in their reports and on the terminal.

    Raises:
        UserError: no such run, not evaluated, or runs without a test image in common.
    """
    runs = [Run(runs_dir / name) for name in dict.fromkeys(names)]
    for run in runs:
        if not run.config.is_file():
            raise UserError(f"{run.folder}: no such run; see {runs_dir}")
    for run in runs:
        others = [other for other in runs if other != run]
        differences = write_report(run, others)
        if run == runs[0] and others and not differences:
            print(cross_site_table(_cross_sites(runs)))
        for one in differences if run == runs[0] else []:
            print(
                f"macro F1 on {one.images} shared test images: {one.first} {one.first_macro_f1:.4f}, "
                f"{one.second} {one.second_macro_f1:.4f}; difference {one.difference.value:+.4f} "
                f"(95 % interval {one.difference.low:+.4f} to {one.difference.high:+.4f}): {one.verdict}"
            )
        print(f"report: {run.report}, {run.model_card.name}")


def write_report(run: Run, others: Sequence[Run] = ()) -> list[Difference]:
    """Write a run's report and model card.

    Args:
        run: evaluated.
        others: runs to compare it with.

    Returns:
        The comparisons.

    Raises:
        UserError: the run is not evaluated, or shares no test image with another.
    """
    summary = read_summary(run.folder)
    manifest = _manifest(run)
    rows, judged = read_predictions(run.predictions, manifest.classes)
    # Without the same site, two runs have other images and perhaps other classes: their matrix is shown instead.
    cross_sites = _cross_sites([run, *others])
    if len(cross_sites) <= len(others):
        cross_sites = []
    differences = [] if cross_sites else [compare(run, other) for other in others]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": _figure, "cell": _cell, "percent": _percent}
    common = {
        "run": run.name,
        "manifest": manifest,
        "metrics": summary,
        "who": {"sensitivity": WHO_SENSITIVITY, "specificity": WHO_SPECIFICITY},
        "meets_who": {point.label: who_verdict(point, manifest.metrics) or "–" for point in manifest.operating_points},
        "training": read_training(run),
        "reporting_items": REPORTING_ITEMS,
    }
    pictures = _pictures(run, summary, judged, rows)
    if cross_sites:
        sides = [(row.site, row.seen_sites["macro_f1"], row.held_out_site.metrics["macro_f1"]) for row in cross_sites]
        pictures["cross_site"] = _svg(cross_site_plot(sides))
    html = environment.get_template("report.html").render(
        **common,
        pictures=pictures,
        picture=_Pictures(run.pictures),
        differences=differences,
        cross_sites=cross_sites,
    )
    write_text(run.report, html)
    write_text(run.model_card, environment.get_template("MODEL_CARD.md").render(**common))
    return differences


def _cross_sites(runs: Sequence[Run]) -> list[CrossSite]:
    """What each run that was trained without a site is worth there."""
    found = [read_summary(run.folder).cross_site for run in runs]
    return [cross_site for cross_site in found if cross_site is not None]


def _manifest(run: Run) -> Manifest:
    if not (run.sealed / MANIFEST_FILE).is_file():
        raise UserError(f"{run.folder}: not evaluated yet; run python -m trainer evaluate --run {run.name}")
    try:
        return load_manifest(run.sealed)
    except ArtifactError as error:
        raise UserError(f"{error}, or evaluate the run again") from error


def _pictures(run: Run, summary: EvaluationSummary, judged: JudgedImages, rows: list[dict[str, str]]) -> dict[str, str]:
    """Data URIs of the figures."""
    confusion = confusion_plot(summary.test.confusion_matrix, judged.classes, "all test images")
    places = {
        row["path"]: (float(row["x"]), float(row["y"])) for _, row in read_table(run.embedding_map, ("path", "x", "y"))
    }
    predicted = judged.probabilities.argmax(axis=1)
    shown = [i for i, row in enumerate(rows) if row["path"] in places]
    sites = [row["site"] or "unknown" for row in rows]
    errors = [
        "right" if guess == truth else f"wrong: called {judged.classes[guess]}"
        for guess, truth in zip(predicted.tolist(), judged.truth.tolist(), strict=True)
    ]
    groups = {"class": [row["label"] for row in rows], "site": sites, "error": errors}
    intervals, calibration = summary.intervals.test, summary.calibration
    points = [places[rows[i]["path"]] for i in shown]
    curves = judged.classes, judged.truth, judged.probabilities
    return {
        "confusion": _svg(confusion),
        "roc": _svg(roc_plot(*curves, intervals)),
        "precision_recall": _svg(precision_recall_plot(*curves, intervals)),
        **{when: _svg(reliability_plot(*curve)) for when, curve in calibration.reliability.items()},
        **{
            f"map_{title}": _svg(embedding_plot(points, [names[i] for i in shown], f"coloured by {title}"))
            for title, names in groups.items()
        },
    }


def _svg(figure: Figure) -> str:
    stream = io.BytesIO()
    # Without date and random ids: equal runs give equal bytes.
    with matplotlib.rc_context({"svg.hashsalt": "report", "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(stream.getvalue()).decode()}"


class _Pictures:
    """A run's pictures as data URIs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str) -> str:
        path = self.folder / name
        try:
            return f"data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}"
        except OSError as error:
            raise UserError(f"{path}: missing; make it again with python -m trainer evaluate") from error


def _figure(value: Interval | None) -> str:
    """A figure with its interval."""
    if value is None:
        return "–"
    return f"{value.value:.3f} ({value.low:.3f}–{value.high:.3f})"


def _cell(value: Interval | None) -> markupsafe.Markup:
    """The same for a cell of an HTML table, the interval below the figure."""
    value_, _, interval = _figure(value).partition(" ")
    return markupsafe.Markup("{}<br><small>{}</small>").format(value_, interval.strip("()"))


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
