"""A control that sees no picture: whether the files' properties alone tell the class.

If they do, the classes come from different places, whatever the dataset says, and a model can learn the places.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from trainer.data.file_properties import FileProperties
from trainer.data.manifest import Record

LEAST = 20
"""Groups of a class that a site must have for the control."""
MOST = 3000
"""Images of a site that are used at most; more would not change the answer."""
FIRES, FIRES_WITH_BYTES = 0.6, 0.9
"""The control fires where the AUC's lower bound is above this: for all properties but bytes a pixel, and with them.
Bytes a pixel measure the picture too: among files of one size and one quantisation table they reach 0.82 within
Shenzhen and 0.89 within Kermany's hospital, borders 0.57 (0.53 to 0.61)."""
FOLDS, TREES, RESAMPLES = 5, 50, 100
Array = npt.NDArray[np.float64]


class Auc(BaseModel):
    """Macro one-against-rest AUC of a cross-validated forest, with its 95 % interval (bootstrap over groups)."""

    value: float
    low: float
    high: float


class FileControl(BaseModel):
    """What the files' properties tell of the class within one site."""

    site: str
    """Empty where none is named."""
    images: int
    properties: Auc
    """By format, mode, bits, size, quantisation tables and border."""
    with_bytes: Auc
    """By bytes a pixel as well."""

    @property
    def fired(self) -> bool:
        """Whether they tell more than the picture explains."""
        return self.properties.low > FIRES or self.with_bytes.low > FIRES_WITH_BYTES

    @property
    def text(self) -> str:
        """The finding in words."""
        auc = self.properties if self.properties.low > FIRES else self.with_bytes
        where = f" within {self.site}" if self.site else ""
        return (
            f"The files tell the class without a look at the pictures{where}: format, size, compression and border "
            f"alone reach an AUC of {auc.value:.2f} ({auc.low:.2f} to {auc.high:.2f}; 0.5 is chance). The classes come "
            "from different places or machines, whatever the dataset says; the model may have learnt to tell these, "
            "and no metric over all images can show that it knows the disease. --site-by-file makes sites of the kinds "
            "of files."
        )


def control_files(records: Sequence[Record], properties: Mapping[str, FileProperties]) -> list[FileControl]:
    """Try to tell the class by the files' properties, within each site that has classes enough.

    Args:
        records: the images of a data folder.
        properties: by image path; images without are left out.
    """
    sites: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.path in properties:
            sites[record.site].append(record)
    controls = []
    for site, images in sorted(sites.items()):
        kept = _large_classes(images)
        if len({record.label for record in kept}) > 1:
            controls.append(_control(site, kept, [properties[record.path] for record in kept]))
    return controls


def _large_classes(images: Sequence[Record]) -> list[Record]:
    """Images of the classes that have groups enough, and of no more groups than it takes for :data:`MOST` images."""
    groups: dict[str, set[str]] = defaultdict(set)
    for record in images:
        groups[record.label].add(record.group)
    large = [record for record in images if len(groups[record.label]) >= LEAST]
    order = sorted({record.group for record in large})
    share = MOST / max(MOST, len(large))
    chosen = set(np.random.default_rng(0).choice(order, int(share * len(order)), replace=False)) if order else set()
    return [record for record in large if record.group in chosen]


def _control(site: str, images: Sequence[Record], files: Sequence[FileProperties]) -> FileControl:
    kinds = sorted({(one.format, one.mode) for one in files})
    table = np.array([
        [
            one.bytes / (one.width * one.height), kinds.index((one.format, one.mode)), one.bits, one.width, one.height,
            one.width / one.height, one.luminance, one.chrominance, one.left, one.top, one.right, one.bottom,
        ]
        for one in files
    ])  # fmt: skip
    labels = np.array([record.label for record in images])
    groups = np.unique([record.group for record in images], return_inverse=True)[1]
    return FileControl(
        site=site,
        images=len(images),
        properties=_tell(table[:, 1:], labels, groups),
        with_bytes=_tell(table, labels, groups),
    )


def _tell(table: Array, labels: npt.NDArray[np.str_], groups: npt.NDArray[np.intp]) -> Auc:
    """How well a forest tells N labels by an N×F table, groups kept together in cross-validation and bootstrap."""
    # Slow to import, and needed by this alone.
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    forest = RandomForestClassifier(TREES, min_samples_leaf=5, class_weight="balanced", random_state=0)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    guesses = cross_val_predict(forest, table, labels, groups=groups, cv=folds, method="predict_proba")
    count = int(groups.max()) + 1
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES)[:, groups]
    weights = np.concatenate([np.ones((1, len(labels))), drawn])
    aucs = [_aucs(labels == label, guesses[:, place], weights) for place, label in enumerate(np.unique(labels))]
    value, *resampled = np.mean(aucs, axis=0)
    low, high = np.nanquantile(resampled, (0.025, 0.975))
    return Auc(value=float(value), low=float(low), high=float(high))


def _aucs(truth: npt.NDArray[np.bool_], scores: Array, weights: Array) -> Array:
    """AUC of N scores under each of R×N weights; a tie counts half. NaN where a side has no weight."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-1.0))
    positive, negative = (np.add.reduceat(weights[:, order] * side[order], starts, axis=1) for side in (truth, ~truth))
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    aucs: Array = np.divide((positive * below).sum(axis=1), pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
    return aucs
