"""A hospital's own operating point: thresholds and recalibration, found on a few local images of a sealed model.

The calibrated model is a version of its own in the model store, with the graph and the weights of the model that it was
made from; this block of its manifest is what differs.
"""

from datetime import datetime

from pydantic import Field

from bento.artifact.parts import Interval, Threshold
from bento.imaging.preprocessing import ManifestPart

BASE_CHARACTERS = 48
"""Of the base's version, with which a calibrated version begins; BentoML allows a version 63 characters."""


class SiteThreshold(Threshold):
    """A disease's threshold at the site, which holds with a stated confidence."""

    confidence: float = Field(gt=0, lt=1)
    """Wanted probability, over draws of calibration images, that the sensitivity at the site reaches the target."""
    reached_confidence: float = Field(gt=0, le=1)
    """The probability that these patients give: at least the wanted one."""
    rank: int = Field(ge=1)
    """The threshold is just below the lowest score of the patient who is this one of those with the disease, counted
    from the lowest."""
    independent_patients: float | None = Field(default=None, gt=0)
    """Of images drawn by score: number of patients with the disease, drawn as they come, that would tell as much. None:
    they were drawn as they come."""
    positive_patients: int
    positive_images: int
    """Images with the disease."""
    negative_patients: int
    negative_images: int
    """Images without it, of whatever other class."""
    sensitivity: Interval
    """What the true share of patients, all of whose images are flagged, is likely to be (a beta distribution)."""
    specificity: Interval
    """Share of the images without the disease that are not flagged; of images drawn by score weighed, as all rates."""


class RecalibrationMetrics(ManifestPart):
    """How far a probability of the disease can be taken at its word, on the calibration images."""

    cross_entropy: Interval
    """Mean negative logarithm of the probability of what is true, in nats."""
    brier: Interval
    """Mean squared error of the probability, 0 to 1."""


class Recalibration(ManifestPart):
    """A disease's probability at the site: slope and offset of the logit of its score (:mod:`bento.inference.odds`)."""

    label: str
    slope: float = Field(gt=0)
    offset: float
    """Where the disease is as frequent as among the calibration images."""
    sample_share: float = Field(gt=0, lt=1)
    """Share of the calibration patients who have the disease; of images drawn by score weighed."""
    prevalence: float | None = Field(default=None, gt=0, lt=1)
    """Share of the images that have it where the model is used, as the site states it. None: not stated, and so the
    answer gives no probability."""
    before: RecalibrationMetrics
    """Of the score as it is."""
    after: RecalibrationMetrics
    """Of the recalibrated probability, each patient judged by a fit to the others."""
    brier_change: Interval
    """After less before, on the same images."""


class SiteCalibration(ManifestPart):
    """What was found out about a sealed model at one hospital."""

    name: str = Field(min_length=1)
    """Of the hospital."""
    created: datetime
    dataset: str
    """Name of the folder of images, as the user gave it."""
    images: int
    patients: int
    counts: dict[str, int]
    """Images by class."""
    fingerprint: str
    """SHA-256 over every image's hash, label and patient: equal fingerprints mean the same data."""
    strata: int = Field(default=0, ge=0)
    """Strata that the images were drawn from by their scores, to be weighed back to the site; 0: as they come."""
    reusable_by: str
    """Who may use these thresholds."""
    base_version: str
    """Version of the model that was calibrated."""
    graph: str
    """SHA-256 of its graph."""
    classes: list[str]
    """Its classes, in their order."""
    thresholds: list[SiteThreshold]
    no_threshold: dict[str, str] = Field(default_factory=dict)
    """Diseases without a threshold of the site's, and why; the model's own is used for them."""
    recalibration: list[Recalibration] = Field(default_factory=list)

    def mismatch(self, version: str, graph: str, classes: list[str]) -> str | None:
        """Why these thresholds are not those of a model; None where they are.

        Args:
            version: of the calibrated model.
            graph: SHA-256 of its graph.
            classes: of the model, in their order.
        """
        if not version.startswith(f"{self.base_version[:BASE_CHARACTERS]}-"):
            return f"the thresholds are of the model {self.base_version}, not of {version}"
        if self.graph != graph:
            return f"the thresholds are of another graph (SHA-256 {self.graph[:12]}…, not {graph[:12]}…)"
        if self.classes != classes:
            return f"the thresholds are of the classes {', '.join(self.classes)}, not {', '.join(classes)}"
        named = {name for point in self.thresholds for name in (point.label, point.reference) if name}
        if unknown := sorted((named | {one.label for one in self.recalibration}) - set(classes)):
            return f"it names a class that the model does not have, {unknown[0]}"
        return None
