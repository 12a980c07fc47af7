"""``acceptance.json``: a plan, the looks at a site's images that it allows, and what each one found."""

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bento.artifact import Interval
from trainer.errors import UserError
from trainer.files import read_text, write_json

RECORD = "acceptance.json"
PAGE = "acceptance.html"
FORMAT = 1
Verdict = Literal["met", "not met", "can't tell"]


class Part(BaseModel):
    """A part of the document; a name that it does not have is a mistake."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class ModelIdentity(Part):
    """The model that was tested, so that no other one can be taken for it."""

    tag: str
    name: str
    graph_sha256: str
    manifest_sha256: str
    disease: str
    threshold: float
    """An image whose score is at least this is flagged."""
    reference: str | None
    """The score is the odds against this class; null: the probability."""


class Plan(Part):
    """What is to be shown, on how many images, and how often they may be looked at: fixed before the first look."""

    target_sensitivity: float
    target_specificity: float
    assumed_sensitivity: float
    assumed_specificity: float
    alpha: float
    """Largest chance that a model which misses a target is called `met`, over all looks."""
    wanted_power: float
    power: float
    """Chance that a model as good as assumed is called `met`, with as many images as planned."""
    looks: int
    with_disease: int
    """Independent images (patients) with the disease that it takes, at the last look."""
    without_disease: int


class Measured(Part):
    """A rate of one look."""

    interval: Interval
    """Exact (Clopper and Pearson 1934), of the look's own level."""
    ordinary: Interval
    """The usual 95 % interval, which does not know of other looks."""
    images: int
    independent: float
    """Number of independent images that would tell it as well: fewer where patients have several images, or where some
    images stand for many."""
    level: float
    """Chance of the lower limit to be above a true value that equals the target."""
    upper_level: float
    """The same of the upper limit to be below."""


class Subgroup(Part):
    """Images with one value of a column, against all others; limits are corrected for the number of subgroups."""

    column: str
    value: str
    sensitivity: Interval | None
    """None where it has no image with the disease."""
    specificity: Interval | None
    with_disease: int
    without_disease: int
    worse: list[str]
    """Of `sensitivity` and `specificity`, what is clearly lower than among the other images."""
    compared: bool
    """False where too few images are with or without the disease to say so."""


class Images(Part):
    """The images of a look."""

    datasets: list[str]
    fingerprint: str
    """SHA-256 over the sorted hash and label of every judged image."""
    labels_file: str | None
    """SHA-256 of the filled-in selection, where the labels come from one."""
    strata: int
    """Strata that the images were drawn from; 0: not drawn by score."""
    counts: dict[str, int]
    """Judged images by class."""
    patients: int
    left_out_seen: int
    """Images that the model was trained or validated on."""
    left_out_calibrated: int
    """Images that the model's thresholds for a site were chosen on."""
    left_out_copies: int
    """Files that are another one's equal, byte for byte."""
    checked_seen: bool
    """False of a model that has no list of its own images."""
    unreadable: dict[str, str]
    novel: int | None
    """Judged images that are unlike the training images; null where the model can't tell."""
    relabelled: int
    """Images whose label is another one than at the look before."""
    labels_by_sha256: dict[str, str]
    """Every judged image by the hash of its file: a later look must have them all."""


class Look(Part):
    """One look at the images."""

    number: int
    created: datetime
    signed_by: str | None
    images: Images
    sensitivity: Measured
    specificity: Measured
    subgroups: list[Subgroup]
    verdict: Verdict
    reason: str
    last: bool
    """Whether the plan allows no further one."""


class Acceptance(Part):
    """The document. Its seal tells whether a hand has changed it since; it is no signature of a person."""

    format: int = FORMAT
    intended_use: str
    program: str
    model: ModelIdentity
    plan: Plan
    looks: list[Look] = Field(min_length=1)

    def seal(self) -> str:
        """SHA-256 of the document's content in canonical JSON."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()


def write_acceptance(path: Path, acceptance: Acceptance) -> None:
    """Write the document with its seal."""
    write_json(path, acceptance.model_dump(mode="json") | {"seal": acceptance.seal()})


def read_acceptance(path: Path) -> Acceptance | None:
    """Read the document of the former looks; None where there was none.

    Raises:
        UserError: it can't be read, or was changed since, so that nobody knows how many looks there were.
    """
    if not path.exists():
        return None
    try:
        document = json.loads(read_text(path))
        seal = document.pop("seal", None)
        acceptance = Acceptance.model_validate(document)
    except (ValueError, AttributeError, ValidationError) as error:
        raise UserError(
            f"{path}: no record of accept, or damaged; bring the original back, or give another --out for a new test"
        ) from error
    if seal != acceptance.seal():
        raise UserError(f"{path}: was changed after it was written (its seal differs); bring the original back")
    return acceptance
