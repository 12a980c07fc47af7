"""What must be known before any figure of an evaluation is believed: each sentence can be read by itself."""

from trainer.evaluation.confounding import site_warning
from trainer.evaluation.figures import percent
from trainer.evaluation.shares import share_limits
from trainer.evaluation.summary import EvaluationSummary

FEW_IMAGES = 30
"""With fewer test images of a class its figures tell little: a sensitivity of 90 % from 30 has an interval of 75 % to
97 %. With fewer validation images a threshold is little more than a guess."""
ENOUGH_IMAGES = 100

NO_SITE = (
    "Whether the model tells hospitals apart instead of diseases could not be checked, since no test image names its "
    "hospital. Where class and hospital go together, every figure is too good. Give each image's hospital in the "
    "column site of a manifest.csv (path,label,site), and start again."
)


def find_warnings(summary: EvaluationSummary) -> list[str]:
    """The warnings of an evaluation, the gravest first."""
    return [
        *([] if summary.by_site else [NO_SITE]),
        *(control.text for control in summary.file_controls if control.fired),
        *_of_sites(summary),
        *filter(None, [summary.seen_images.warning if summary.seen_images else None]),
        *_of_few_images(summary),
        *_of_thresholds(summary),
        *([summary.calibration.verdict] if summary.calibration.worse else []),
        *(f"Shortcut control: {control.text}" for control in summary.controls if control.fired),
    ]


def _of_sites(summary: EvaluationSummary) -> list[str]:
    association, probe = summary.sites.association, summary.sites.probe
    named, images = sum(metrics.images for metrics in summary.by_site.values()), summary.test.images
    found = []
    if association is not None and association.together:
        within = {
            name: (metrics["macro_f1"], summary.by_site[name].images)
            for name, metrics in summary.intervals.by_site.items()
        }
        found.append(site_warning(association, within, (summary.intervals.test["macro_f1"], images)))
        if probe is not None and probe.accuracy.low > probe.chance_from_class:
            found.append(summary.sites.probe_text)
    if 0 < named < images:
        found.append(
            f"{images - named:,} of the {images:,} test images name no hospital and are missing from every figure by "
            "site. Give their hospital in the column site of a manifest.csv."
        )
    return found


def _of_few_images(summary: EvaluationSummary) -> list[str]:
    counts = {label: metrics.support for label, metrics in summary.test.per_class.items()}
    few = {label: count for label, count in counts.items() if 0 < count < FEW_IMAGES}
    found = []
    if few:
        least = min(few.values())
        low, high = share_limits(0.9, least)
        named = ", ".join(f"{count} of {label}" for label, count in few.items())
        found.append(
            f"Too few test images to tell much: {named}. A sensitivity of 90 % from {least} could as well be "
            f"{percent(low, least)} to {percent(high, least)}. Judge on {ENOUGH_IMAGES} images of each class or more."
        )
    emptied = summary.seen_images.emptied if summary.seen_images else []
    absent = [label for label, count in counts.items() if not count and label not in emptied]
    if absent:
        found.append(f"No test image is {' or '.join(absent)}: how well the model tells that is not known.")
    return found


def _of_thresholds(summary: EvaluationSummary) -> list[str]:
    found = [
        f"{label} has no threshold and is never flagged: {reason}." for label, reason in summary.no_threshold.items()
    ]
    for point in summary.operating_points:
        with_disease, without = point.validation_positives, point.validation_negatives
        if with_disease is None or without is None or min(with_disease, without) >= FEW_IMAGES:
            continue
        found.append(
            f"The threshold of {point.label} was chosen on few validation images, {with_disease} of {point.label} and "
            f"{without} of {point.reference or 'other classes'}: others would have given another one. Train with "
            f"{ENOUGH_IMAGES} of each or more."
        )
    return found
