"""The report's first three sentences: what was judged, how well the model does, and what speaks most against it."""

from typing import NamedTuple

from bento.artifact import Interval, OperatingPoint, TestMetrics
from trainer.evaluation.figures import figure_with_interval
from trainer.evaluation.summary import EvaluationSummary

NAMED_SITES = 6
"""More sites than this are counted, not named."""


class Verdict(NamedTuple):
    """One sentence each."""

    judged: str
    """On which images."""
    result: str
    """The one metric that matters, and each disease's sensitivity at its threshold."""
    doubt: str
    """The gravest thing that speaks against believing the result."""


def verdict(summary: EvaluationSummary, synthetic: bool, without_patient: int) -> Verdict:
    """Sum up an evaluation.

    Args:
        summary: of a run.
        synthetic: whether the images are generated.
        without_patient: number of test images whose patient is not known.
    """
    return Verdict(_judged(summary, without_patient), _result(summary), _doubt(summary, synthetic))


def _judged(summary: EvaluationSummary, without_patient: int) -> str:
    images, sites = summary.test.images, {name: metrics.images for name, metrics in summary.by_site.items()}
    patients = f" of {summary.intervals.patients} patients"
    if without_patient == images:
        patients = ", no patient known,"
    elif without_patient:
        patients += f" ({without_patient} images of no known patient)"
    where = "of no known site"
    if sites:
        where = f"of {len(sites)} {'site' if len(sites) == 1 else 'sites'}"
    if 0 < len(sites) <= NAMED_SITES:
        where += f" ({', '.join(f'{name} {number}' for name, number in sites.items())})"
    held_out = summary.cross_site
    also = (
        f", and on {held_out.radiographs} images of {held_out.site}, a site that it has never seen" if held_out else ""
    )
    return f"Judged on {images} test images{patients} {where}{also}."


def _result(summary: EvaluationSummary) -> str:
    found = [
        f"{point.label}: {_found(*_sensitivity(summary, point), point.target_sensitivity)}"
        for point in summary.operating_points
    ]
    found += [f"{label} has no threshold" for label in summary.no_threshold]
    targets = sorted({point.target_sensitivity for point in summary.operating_points})
    wanted = " or ".join(f"{100 * target:.0f} %" for target in targets)
    asked = f"is the wanted sensitivity of {wanted} reached? " if wanted else ""
    return f"{_main_metric(summary)}; {asked}{'; '.join(found) or 'no disease has a threshold'}."


def _sensitivity(summary: EvaluationSummary, point: OperatingPoint) -> tuple[Interval | None, int]:
    """A disease's sensitivity and its number of images, at the held-out site where there is one."""
    held_out = summary.cross_site
    if held_out is None:
        return point.test_sensitivity, summary.test.per_class[point.label].support
    if point.label not in held_out.classes:
        return None, 0
    images = sum(held_out.confusion_matrix[held_out.classes.index(point.label)])
    return held_out.operating_points.get(point.label, {}).get("sensitivity"), images


def _main_metric(summary: EvaluationSummary) -> str:
    """Macro F1 at the held-out site; else within the site where it is lowest; else over all images."""
    held_out = summary.cross_site
    if held_out is not None:
        metric = figure_with_interval(held_out.held_out_site.metrics["macro_f1"], held_out.radiographs)
        return f"Macro F1 at {held_out.site} is {metric}, n = {held_out.radiographs}"
    telling = [name for name, metrics in summary.by_site.items() if _classes(metrics) > 1]
    within = {name: summary.intervals.by_site[name]["macro_f1"] for name in telling}
    if len(summary.by_site) > 1 and within:
        site = min(within, key=lambda name: within[name].value)
        images = summary.by_site[site].images
        which = "is" if len(within) == 1 else "is, where it is lowest,"
        return f"Macro F1 within one site {which} {figure_with_interval(within[site], images)}, n = {images} ({site})"
    images = summary.test.images
    return f"Macro F1 is {figure_with_interval(summary.intervals.test['macro_f1'], images)}, n = {images}"


def _classes(metrics: TestMetrics) -> int:
    return sum(one.support > 0 for one in metrics.per_class.values())


def _found(sensitivity: Interval | None, images: int, target: float) -> str:
    if sensitivity is None:
        return "can't tell, no test image of it"
    return f"{reached(sensitivity, target)}, {figure_with_interval(sensitivity, images)}, n = {images}"


def reached(metric: Interval, target: float) -> str:
    """``yes`` where the lower limit reaches the target, ``no`` where the upper one does not, else ``can't tell``.

    An interval without a width, as earlier versions made of few images, tells nothing.
    """
    if metric.low == metric.high:
        return "can't tell"
    if metric.low >= target:
        return "yes"
    return "no" if metric.high < target else "can't tell"


def _doubt(summary: EvaluationSummary, synthetic: bool) -> str:
    audit, association, held_out = summary.audit, summary.sites.association, summary.cross_site
    if synthetic:
        return "Synthetic sample data, no clinical meaning: nothing here says how it does on images of patients."
    if audit is not None and audit.patients_across:
        return f"{audit.patients_across} patients have images on two sides of the split: every metric is too good."
    if association is not None and association.together:
        return (
            "Class and site go together in the data, so that telling the hospitals apart looks like telling diseases "
            "apart: believe what holds within one site."
        )
    if held_out is not None and held_out.drop.low > 0:
        return (
            f"It does worse at {held_out.site} than at the sites that it knows; expect the same of any other hospital."
        )
    if audit is not None and audit.across:
        return f"{audit.across} pairs of duplicates lie on two sides of the split: metrics may be too good."
    if not summary.by_site:
        return (
            "No image names its site: whether it tells hospitals apart instead of diseases could not be checked; give "
            "the column site of a manifest.csv."
        )
    if summary.warnings:
        return summary.warnings[0].partition(". ")[0].removesuffix(".") + "."
    if len(summary.by_site) == 1 and held_out is None:
        return "All images are of one site: nothing is known of any other hospital."
    return "Nothing that was checked speaks against it; a hospital that is not named above has not been asked."
