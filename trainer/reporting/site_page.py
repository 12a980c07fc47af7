"""A site's calibration as a page that opens without the internet, and as a part of the model card."""

from pathlib import Path

from matplotlib.figure import Figure

from trainer.evaluation.figures import percent, percent_with_interval
from trainer.files import write_text
from trainer.plots import thresholds_plot
from trainer.reporting.pages import page_environment
from trainer.reporting.pictures import svg_uri
from trainer.sites.report import DiseaseTable, SiteReport, how_drawn, promise, short


def write_site_pages(report: SiteReport, folder: Path) -> None:
    """Write ``calibration.html`` and, for the model card, ``calibration.md``."""
    environment = page_environment()
    environment.filters |= {"share": percent_with_interval, "percent_of": percent, "promise": promise, "short": short}
    plots = {table.label: svg_uri(_plot(table)) for table in report.tables}
    common = {"report": report, "site": report.site, "drawn": how_drawn(report.site), "plots": plots}
    for name in ("calibration.html", "calibration.md"):
        write_text(folder / name, environment.get_template(name).render(**common))


def _plot(table: DiseaseTable) -> Figure:
    """Sensitivity and specificity, and beside them what 1,000 images come to where a prevalence is stated."""
    rows = table.rows
    shares = {"sensitivity": [row.sensitivity for row in rows], "specificity": [row.specificity for row in rows]}
    panels = [("shares", shares)]
    referred, missed = (
        [one for one in column if one] for column in zip(*((row.referred, row.missed) for row in rows), strict=True)
    )
    if referred:
        panels += [("referred of 1,000", {"referred": referred}), ("cases missed of 1,000", {"cases missed": missed})]
    marks = {use: row.threshold for use in ("chosen", "model's own") if (row := table.row(use))}
    return thresholds_plot(panels, [row.threshold for row in rows], marks)
