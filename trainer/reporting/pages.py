"""What all pages have in common: where their templates are, and how figures are written in them."""

from pathlib import Path

import jinja2
import markupsafe

from bento.artifact import Interval
from trainer.evaluation.figures import difference, figure, figure_with_interval

TEMPLATES = Path(__file__).parent / "templates"


def page_environment() -> jinja2.Environment:
    """The templates, with filters that write figures: ``figure``, ``cell``, ``plain`` and ``percent``."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": _figure, "cell": _cell, "plain": _plain, "percent": _percent}
    return environment


def _figure(metric: Interval | None, images: int | None = None, counted: bool = True) -> str:
    """A metric with its interval and, if ``counted``, its number of images, which decides the digits."""
    if metric is None:
        return "–"
    return figure_with_interval(metric, images or 0) + (f", n = {images}" if images and counted else "")


def _cell(
    metric: Interval | None, images: int | None = None, counted: bool = True, signed: bool = False
) -> markupsafe.Markup:
    """The same for a cell of an HTML table, interval and number below the metric; ``signed``: it is a difference."""
    text = _figure(metric, images, counted)
    if signed and metric is not None:
        text = difference(metric, images or 0) + (f", n = {images}" if images and counted else "")
    value, _, interval = text.partition(" (")
    limits, _, number = interval.partition(")")
    rest = [markupsafe.Markup("<br><small>{}</small>").format(one) for one in (limits, number.strip(", ")) if one]
    return markupsafe.Markup("{}").format(value) + markupsafe.Markup("").join(rest)


def _plain(value: float, images: int | None = None, counted: bool = True) -> str:
    """A figure without an interval, with its number of images."""
    return figure(value, images or 0) + (f", n = {images}" if images and counted else "")


def _percent(value: float) -> str:
    """A share as percentage, which reads as 0 or 100 only where it is."""
    if value > 0.995 and value < 1:
        return "> 99 %"
    return "< 1 %" if 0 < value < 0.005 else f"{100 * value:.0f} %"
