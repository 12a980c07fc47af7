"""``report.html`` and ``MODEL_CARD.md``: views of a run's manifest.json, metrics.json, predictions and pictures.

Neither data nor model is needed: everything has been written down by ``evaluate``.
"""

from collections.abc import Sequence
from pathlib import Path

from bento.artifact import MANIFEST_FILE, ArtifactError, Manifest, TestMetrics, load_manifest
from trainer.errors import UserError
from trainer.evaluation.cross_site import CrossSite, cross_site_table
from trainer.evaluation.figures import figure, figure_with_interval
from trainer.evaluation.operating_points import WHO_SENSITIVITY, WHO_SPECIFICITY, who_verdict
from trainer.evaluation.summary import read_summary
from trainer.files import write_text
from trainer.reporting.comparison import Difference, compare, read_predictions
from trainer.reporting.guidelines import REPORTING_ITEMS
from trainer.reporting.pages import page_environment
from trainer.reporting.pictures import Pictures, draw_plots
from trainer.reporting.resolution import resolution_text
from trainer.reporting.verdict import reached, verdict
from trainer.running.runs import Run, read_training


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
        if run == runs[0] and not differences and (matrix := _cross_sites(runs)):
            print(cross_site_table([cross_site for cross_site, _ in matrix]))
        for one in differences if run == runs[0] else []:
            first, second = (figure(value, one.images) for value in (one.first_macro_f1, one.second_macro_f1))
            print(
                f"macro F1 on {one.images} shared test images: {one.first} {first}, {one.second} {second}; "
                f"difference {figure_with_interval(one.difference, one.images)}: {one.verdict}"
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
    environment = page_environment()
    environment.globals |= {"images_of": _count, "reached": reached}
    association = summary.sites.association
    common = {
        "run": run.name,
        "manifest": manifest,
        "metrics": summary,
        "who": {"sensitivity": WHO_SENSITIVITY, "specificity": WHO_SPECIFICITY},
        "meets_who": {point.label: who_verdict(point, manifest.metrics) or "–" for point in manifest.operating_points},
        "training": read_training(run),
        "reporting_items": REPORTING_ITEMS,
        "verdict": verdict(summary, manifest.data.synthetic, sum(row["patient"] == row["path"] for row in rows)),
        "resolution": resolution_text(manifest.preprocessing.image_size, summary.audit.sizes if summary.audit else {}),
        "together": association is not None and association.together,
        "validation_images": sum(manifest.data.counts.get("val", {}).values()),
    }
    html = environment.get_template("report.html").render(
        **common,
        plots=draw_plots(run, summary.calibration, judged, rows, [cross_site for cross_site, _ in cross_sites]),
        picture=Pictures(run.pictures),
        differences=differences,
        cross_sites=cross_sites,
    )
    write_text(run.report, html)
    write_text(run.model_card, environment.get_template("MODEL_CARD.md").render(**common))
    return differences


def _cross_sites(runs: Sequence[Run]) -> list[tuple[CrossSite, int]]:
    """What each run that was trained without a site is worth there; and the number of its own test images compared."""
    summaries = [read_summary(run.folder) for run in runs]
    return [
        (one.cross_site, sum(one.test.per_class[name].support for name in one.cross_site.classes))
        for one in summaries
        if one.cross_site is not None
    ]


def _manifest(run: Run) -> Manifest:
    if not (run.sealed / MANIFEST_FILE).is_file():
        raise UserError(f"{run.folder}: not evaluated yet; run python -m trainer evaluate --run {run.name}")
    try:
        return load_manifest(run.sealed)
    except ArtifactError as error:
        raise UserError(f"{error}, or evaluate the run again") from error


def _count(metrics: TestMetrics, name: str) -> int:
    """Number of images that a metric rests on, by its name in ``intervals``; a precision's are those called so."""
    kind, _, label = name.partition(".")
    if not label:
        return metrics.images
    if kind == "precision":
        column = list(metrics.per_class).index(label)
        return sum(row[column] for row in metrics.confusion_matrix)
    return metrics.per_class[label].support
