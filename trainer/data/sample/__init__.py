"""The embedded sample set: synthetic frontal chest radiographs, without clinical meaning.

A person (``anatomy``) is projected by Beer-Lambert's law (``chest``, ``bones``, from the bodies of ``projection``),
diseased (``lesions``), exposed at a hospital (``hospitals``), and all images make a set (``dataset``).
"""

from trainer.data.sample.dataset import Radiograph, generate, write
from trainer.data.sample.lesions import LABELS

__all__ = ["LABELS", "Radiograph", "generate", "write"]
