"""Figures as text: no more digits than the images carry, and nothing that reads as 0 or 1 unless it is."""

from bento.artifact import Interval

MANY = 1000
"""Images from which a figure has three decimals: a share of fewer is not known to a hundredth."""


def figure(value: float, images: int) -> str:
    """A share, or another metric of about that size, that rests on so many images."""
    digits = 3 if images >= MANY else 2
    step = 10.0**-digits
    if value != 0 and abs(value) < step / 2:
        return f"< {step:.{digits}f}" if value > 0 else f"> -{step:.{digits}f}"
    if 1 - step / 2 <= value < 1:
        return f"> {1 - step:.{digits}f}"
    return f"{value:.{digits}f}"


def figure_with_interval(metric: Interval, images: int) -> str:
    """A metric with its interval, as "0.83 (0.61 to 0.95)"."""
    return f"{figure(metric.value, images)} ({figure(metric.low, images)} to {figure(metric.high, images)})"


def percent(share: float, images: int) -> str:
    """A share as percentage, with one decimal where it rests on :data:`MANY` images or more."""
    digits = 1 if images >= MANY else 0
    step = 10.0**-digits
    if 0 < share < step / 200:
        return f"< {step:.{digits}f} %"
    if 1 - step / 200 <= share < 1:
        return f"> {100 - step:.{digits}f} %"
    return f"{100 * share:.{digits}f} %"


def percent_with_interval(share: Interval, images: int) -> str:
    """A share with its interval, as "83 % (61 % to 95 %)"."""
    return f"{percent(share.value, images)} ({percent(share.low, images)} to {percent(share.high, images)})"


def difference(metric: Interval, images: int) -> str:
    """A difference of two metrics with its interval, as "+0.12 (-0.03 to +0.27)"."""
    digits = 3 if images >= MANY else 2
    # A difference that rounds to zero has no sign.
    value, low, high = (f"{round(one, digits) or 0:+.{digits}f}" for one in (metric.value, metric.low, metric.high))
    return f"{value} ({low} to {high})".replace(f"+{0:.{digits}f}", f"{0:.{digits}f}")
