"""Base of the JSON documents of a run, which are also read as earlier versions wrote them; ``training.json``."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from bento.artifact import NoveltyFit, OrientationPoint
from trainer.errors import UserError
from trainer.files import read_json

FORMER_NAMES = {
    "by_source": ("by_site",),
    "figures": ("metrics",),
    "films": ("radiographs", "images"),
    "in_source": ("seen_sites",),
    "operating_points_by_source": ("operating_points_by_site",),
    "out_of_source": ("cross_site", "held_out_site"),
    "outside": ("novelty_rates",),
    "source": ("site",),
    "sources": ("sites",),
    "test_flagged_by_source": ("test_flagged_by_site",),
    "views": ("orientations",),
}
"""Names in documents of earlier versions, and the fields that hold the same; a model has one of them at most."""


def current_names(model: type[BaseModel], document: Any) -> Any:
    """``document`` with the names that ``model`` has; keys that are data, such as a site's name, are left alone."""
    if not isinstance(document, dict):
        return document
    fields = model.model_fields

    def current(name: str) -> str:
        if name in fields:
            return name
        return next((field for field in FORMER_NAMES.get(name, ()) if field in fields), name)

    return {current(name): value for name, value in document.items()}


class Document(BaseModel):
    """A part of a JSON document; see :data:`FORMER_NAMES`."""

    @model_validator(mode="before")
    @classmethod
    def _current_names(cls, document: Any) -> Any:
        return current_names(cls, document)


StoredNovelty = Annotated[NoveltyFit, BeforeValidator(partial(current_names, NoveltyFit))]


class PhaseRecord(Document):
    """The epochs of a phase, and the one that was kept."""

    epochs: int
    best_epoch: int
    best_macro_f1: float
    kept: str = ""
    """Which epoch was kept, and why; empty in runs of earlier versions."""


class TrainingRecord(Document):
    """What the steps after training read of ``training.json``."""

    classes: list[str]
    fingerprint: str
    """Of the data; see :func:`trainer.data.manifest.fingerprint`."""
    temperature: float
    phases: dict[str, PhaseRecord]
    files: dict[str, str]
    """SHA-256 of each sealed file by its name."""
    novelty: StoredNovelty | None = None
    """None of models that can't tell (format 3 and older)."""
    orientations: list[OrientationPoint] = Field(default_factory=list)


T = TypeVar("T", bound=Document)


def read_document(path: Path, model: type[T], made_by: str) -> T:
    """Read what an earlier step has written.

    Raises:
        UserError: it is missing or damaged; ``made_by`` says which step makes it.
    """
    try:
        return model.model_validate(read_json(path, made_by))
    except ValidationError as error:
        raise UserError(f"{path}: missing or damaged; make it with python -m trainer {made_by}") from error
