"""Models of the BentoML model store, ready to judge images."""

from dataclasses import dataclass
from pathlib import Path

import bentoml
from bentoml.exceptions import BentoMLException

from bento.artifact import ArtifactError
from bento.imaging.preprocessing import Preprocessing
from bento.inference.session import Predictor, Session
from trainer.errors import UserError
from trainer.files import model_store


@dataclass(frozen=True)
class SealedModel:
    """A sealed graph and what it takes to ask it about image files."""

    session: Session
    classes: list[str]
    """Columns of the probabilities, in their order."""
    preprocessing: Preprocessing
    workers: int = 0
    """Threads that decode images; 0: by the number of cores."""

    @staticmethod
    def of(predictor: Predictor, workers: int = 0) -> "SealedModel":
        """What a predictor's manifest says of its graph."""
        manifest = predictor.manifest
        return SealedModel(predictor.session, manifest.classes, manifest.preprocessing, workers)


def stored_model(tag: str) -> Predictor:
    """Open a model of the BentoML model store.

    Raises:
        UserError: it is not there, or damaged.
    """
    try:
        return Predictor(stored_folder(tag), threads=1)
    except ArtifactError as error:
        raise UserError(str(error)) from error


def stored_folder(tag: str) -> Path:
    """Folder of a model of the BentoML model store.

    Raises:
        UserError: it is not there, or what BentoML keeps beside it is damaged.
        PermissionError: the store can't be made or read.
    """
    try:
        return Path(bentoml.models.get(tag).path)
    except PermissionError:
        raise
    except Exception as error:  # a damaged model.yaml: whatever its parser and its keys raise
        unknown = isinstance(error, BentoMLException | ValueError)
        if unknown and not (model_store() / "models" / tag.replace(":", "/")).is_dir():
            raise UserError(
                f"model {tag}: not in the model store; see python -m trainer models, or make one with python -m trainer"
            ) from error
        raise UserError(
            f"model {tag}: damaged in the model store; delete it with python -m trainer models delete {tag}, "
            "and publish it again"
        ) from error
