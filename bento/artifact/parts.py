"""Parts of a manifest that several others are made of."""

from pydantic import Field

from bento.imaging.preprocessing import ManifestPart


class Interval(ManifestPart):
    """A metric and its 95 % interval, with patients as the unit."""

    value: float
    low: float
    high: float


class Threshold(ManifestPart):
    """What a disease is flagged by."""

    label: str
    threshold: float = Field(ge=0, le=1)
    """An image is flagged where its score is at least this."""
    reference: str | None = None
    """The score is the odds of the class against this one (:mod:`bento.inference.odds`). None, as in formats 1 to 4:
    the class's probability among all classes."""
    target_sensitivity: float = Field(gt=0, le=1)
