"""The sample set: generated frontal chest radiographs, without clinical meaning.

A person (``anatomy``) is projected by Beer-Lambert's law (``chest``, ``bones``, from the bodies of ``projection``),
gets a disease (``lesions``) and is exposed at a hospital (``hospitals``); ``dataset`` makes sets of such images.
"""

from trainer.data.sample.dataset import Radiograph, SampleSet, generate, write
from trainer.data.sample.lesions import LABELS

__all__ = ["LABELS", "Radiograph", "SampleSet", "generate", "write"]
