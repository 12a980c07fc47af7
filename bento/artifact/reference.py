"""Distributions that a model's validation images have, to measure drift against."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from bento.imaging.preprocessing import ManifestPart

BINS = 10
"""Most bins of a histogram."""
IMAGES_PER_BIN = 5
"""Fewest images that a bin of a histogram has in the mean; fewer images have fewer bins."""


class Histogram(ManifestPart):
    """How many images have a figure within each of the bins that ``edges`` part."""

    edges: list[float] = Field(min_length=1)
    """B - 1, ascending. A figure is in bin i where it is at least ``edges[i - 1]`` and below ``edges[i]``."""
    counts: list[Annotated[int, Field(ge=0)]]
    """B numbers of images."""

    @model_validator(mode="after")
    def _consistent(self) -> "Histogram":
        if sorted(set(self.edges)) != self.edges:
            raise ValueError("edges are not ascending")
        if len(self.counts) != len(self.edges) + 1:
            raise ValueError("there must be one count more than edges")
        return self


class ReferenceDistributions(ManifestPart):
    """What a model says of images like those that it was made from, and what these look like."""

    images: int = Field(ge=1)
    histograms: dict[str, Histogram]
    """By figure: ``score.<class>``, the odds of a disease before any site's recalibration; ``novelty``; and each of
    :data:`bento.imaging.properties.PROPERTIES`."""
    marked: dict[str, Annotated[int, Field(ge=0)]]
    """Images by mark: ``flagged``, some disease reaches its threshold; ``novel``, the novelty is above its threshold;
    ``doubted``, there is an input warning for which a service may refuse an answer."""

    @model_validator(mode="after")
    def _consistent(self) -> "ReferenceDistributions":
        if any(sum(histogram.counts) != self.images for histogram in self.histograms.values()):
            raise ValueError("the counts of a histogram are not those of all images")
        if any(count > self.images for count in self.marked.values()):
            raise ValueError("more images are marked than there are")
        return self


def describe_images(
    figures: Mapping[str, npt.NDArray[np.floating]], marks: Mapping[str, npt.NDArray[np.bool_]]
) -> ReferenceDistributions:
    """The distributions of N images, in bins of about the same number of images.

    Args:
        figures: N values of each figure, as :attr:`ReferenceDistributions.histograms` names them.
        marks: N booleans for each mark, as :attr:`ReferenceDistributions.marked` names them.

    Raises:
        ValueError: there is no image.
    """
    (images,) = {len(values) for values in (*figures.values(), *marks.values())}
    return ReferenceDistributions(
        images=images,
        histograms={name: _histogram(np.asarray(values, float)) for name, values in figures.items()},
        marked={name: int(values.sum()) for name, values in marks.items()},
    )


def _histogram(values: npt.NDArray[Any]) -> Histogram:
    bins = min(BINS, max(2, len(values) // IMAGES_PER_BIN))
    cuts = np.unique(np.quantile(values, np.arange(1, bins) / bins, method="inverted_cdf"))
    # A value that many images share, as a width over height of 1, is a bin of its own: both sides of it are a change.
    shared = [cut for cut in cuts if (values == cut).sum() > len(values) / bins]
    edges = np.union1d(cuts, np.nextafter(shared, np.inf))
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return Histogram(edges=edges.tolist(), counts=counts.tolist())
