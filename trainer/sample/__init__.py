"""The embedded sample set: synthetic frontal chest radiographs, without clinical meaning.

Simple 3-D bodies are projected by Beer-Lambert's law (``projection``, ``anatomy``), diseased (``lesions``),
exposed by one of several hospitals (``hospitals``) and gathered into a set (``dataset``).
"""

from trainer.sample.dataset import Film, generate, write
from trainer.sample.lesions import LABELS

__all__ = ["LABELS", "Film", "generate", "write"]
