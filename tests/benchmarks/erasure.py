"""Least-squares concept erasure (LEACE; Belrose et al. 2023): takes out of an embedding what tells the site.

Sites and classes go together in public data, and erasing all that tells a site would erase what tells a class.
Covariances are therefore those within each class that several sites have; what distinguishes the sites there has
nothing to do with disease. But for the shrinkage, no linear classifier then tells the sites of the images that it was
fitted to better than chance; the embedding changes as little as possible.
"""

from collections.abc import Sequence

import numpy as np

from trainer.features.batches import even_weights
from trainer.types import Array

SHRINKAGE = 0.05
"""Of the covariance towards a multiple of the identity: there may be fewer images than features."""


def site_eraser(embeddings: Array, labels: Sequence[int] | Array, sites: Sequence[str]) -> tuple[Array, Array, Array]:
    """Fit the erasure.

    Args:
        embeddings: N×D.
        labels: N classes.
        sites: N names.

    Returns:
        ``float64`` mean D, A D×R and B R×D, with which x - ((x - mean) @ A) @ B is the embedding without the site.
        R is 0 where no class has two sites.
    """
    labels, named = np.asarray(labels), np.asarray(sites)
    x = embeddings.astype(np.float64)
    shared = [one for one in np.unique(labels) if len(np.unique(named[labels == one])) > 1]
    rows = np.flatnonzero(np.isin(labels, shared))
    empty = np.zeros((x.shape[1], 0))
    if not len(rows):
        return x.mean(axis=0), empty, empty.T
    x, labels, named = x[rows], labels[rows], named[rows]
    weights = even_weights([f"{one} {other}" for one, other in zip(labels, named, strict=True)])
    weights = weights.astype(np.float64) / weights.sum()
    mean = weights @ x
    concepts = (named[:, None] == np.unique(named)).astype(np.float64)
    for one in shared:
        own = labels == one
        share = weights[own] / weights[own].sum()
        x[own] -= share @ x[own]
        concepts[own] -= share @ concepts[own]
    covariance = (x * weights[:, None]).T @ x
    level = np.trace(covariance) / len(covariance)
    values, vectors = np.linalg.eigh((1 - SHRINKAGE) * covariance + SHRINKAGE * level * np.eye(len(covariance)))
    whiten, colour = vectors / np.sqrt(values) @ vectors.T, vectors * np.sqrt(values) @ vectors.T
    directions, sizes, _ = np.linalg.svd(whiten @ (x * weights[:, None]).T @ concepts, full_matrices=False)
    directions = directions[:, sizes > 1e-6 * sizes.max(initial=0.0)]
    return mean, whiten @ directions, directions.T @ colour
