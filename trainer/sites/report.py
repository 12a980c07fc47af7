"""What a calibration found out, as JSON and as text; the page is another view of it."""

from bento.artifact import Interval, SiteCalibration, SiteThreshold
from trainer.evaluation.figures import percent, percent_with_interval
from trainer.evaluation.seen_images import SeenImages
from trainer.running.documents import Document
from trainer.sites.programme import Row, Terms


class DiseaseTable(Document):
    """A range of thresholds for one disease."""

    label: str
    reference: str | None
    """The score is the odds against this class; None: it is the probability."""
    terms: Terms
    patients: int
    """With the disease."""
    images: int
    """Of these."""
    other_patients: int
    """With images without the disease."""
    other_images: int
    rows: list[Row]
    """By ascending threshold."""

    def row(self, use: str) -> Row | None:
        """The row of the ``chosen`` threshold or of the ``model's own``."""
        return next((row for row in self.rows if row.use == use), None)


class SiteReport(Document):
    """``calibration.json``."""

    model: str
    """Tag of the model that was calibrated."""
    version: str
    """Of the calibrated one."""
    site: SiteCalibration
    """As in its manifest."""
    target_sensitivity: float
    confidence: float
    warnings: list[str]
    """What must be known before the thresholds are used."""
    seen_images: SeenImages
    unreadable: dict[str, str]
    """Path to reason, of images that were left out."""
    tables: list[DiseaseTable]

    def table(self, label: str) -> DiseaseTable | None:
        """Of the disease, where it has one."""
        return next((table for table in self.tables if table.label == label), None)


def report_text(report: SiteReport) -> str:
    """The report for a terminal."""
    site = report.site
    classes = ", ".join(f"{label} {count}" for label, count in site.counts.items())
    lines = [
        f"calibrated for {site.name} on {site.images} images of {site.patients} patients ({classes}){how_drawn(site)}"
    ]
    lines += [f"WARNING: {warning}" for warning in report.warnings]
    for point in site.thresholds:
        lines += ["", *_threshold_lines(point, report.table(point.label))]
    for why in site.no_threshold.values():
        lines += ["", f"{why}; the model's own threshold is used"]
    return "\n".join(lines)


def how_drawn(site: SiteCalibration) -> str:
    """Reads on after the number of images; empty where they were drawn as they come."""
    return f", drawn by score from {site.strata} strata and weighed back to the site" if site.strata else ""


def _threshold_lines(point: SiteThreshold, table: DiseaseTable | None) -> list[str]:
    lines = [f"{point.label}: {promise(point)}"]
    specificity = percent_with_interval(point.specificity, point.negative_images)
    lines.append(
        f"  threshold {point.threshold:.3g}: specificity {specificity}, from {point.negative_images} images without it"
    )
    if table is None:
        return lines
    if own := table.row("model's own"):
        sensitivity = percent_with_interval(own.sensitivity, table.patients)
        specificity = percent_with_interval(own.specificity, table.other_images)
        lines.append(f"  the model's own, {own.threshold:.3g}: sensitivity {sensitivity}, specificity {specificity}")
    if (chosen := table.row("chosen")) and chosen.referred and chosen.missed and table.terms.prevalence:
        lines.append(f"  where {100 * table.terms.prevalence:.3g} % have it: {_of_thousand(chosen)}")
    return lines


def promise(point: SiteThreshold) -> str:
    """What a site's threshold holds, in words."""
    worth = point.independent_patients
    weighed = f", drawn by score and worth {worth:.1f} drawn as they come" if worth is not None else ""
    return (
        f"finds at least {100 * point.target_sensitivity:.3g} % of the patients with the confidence "
        f"{point.reached_confidence:.2f} (asked for: {point.confidence:.3g}), from {point.positive_patients} patients "
        f"with it{weighed}; most likely between {percent(point.sensitivity.low, point.positive_patients)} and "
        f"{percent(point.sensitivity.high, point.positive_patients)}"
    )


def _of_thousand(row: Row) -> str:
    parts = []
    if row.referred and row.missed:
        parts.append(f"of 1,000 images {_number(row.referred)} are referred and {_number(row.missed)} cases missed")
    if row.positive_value:
        parts.append(f"{100 * row.positive_value.value:.1f} % of the referred have it")
    if row.cost:
        parts.append(f"a case found costs {_number(row.cost)}")
    return "; ".join(parts)


def _number(figure: Interval) -> str:
    return f"{short(figure.value)} ({short(figure.low)} to {short(figure.high)})"


def short(value: float) -> str:
    """A number of images or of money, with two digits that count, or all before the point."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
