"""Models of the BentoML model store, ready to judge images."""

from dataclasses import dataclass

from bento.imaging.preprocessing import Preprocessing
from bento.inference.session import Session


@dataclass(frozen=True)
class SealedModel:
    """A sealed graph and what it takes to ask it about image files."""

    session: Session
    classes: list[str]
    """Columns of the probabilities, in their order."""
    preprocessing: Preprocessing
    workers: int = 0
    """Threads that decode images; 0: by the number of cores."""
