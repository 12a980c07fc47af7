"""Audit of a model's data: counts, sizes, duplicates, and what a split by image would leak."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from bento.imaging.intake import open_image
from trainer.data.duplicates import near_duplicates
from trainer.data.manifest import SPLITS, Record
from trainer.evaluation.shortcut_controls import pooled
from trainer.running.documents import Document

SHOWN = 24
REPEATS = 5


class Pair(Document):
    """Two files of the same picture, or nearly the same."""

    first: str
    second: str
    exact: bool
    """Whether the files have the same bytes."""
    same_label: bool
    same_patient: bool
    splits: tuple[str, str]
    correlation: float
    """Rank correlation of the 32×32 thumbnails."""
    picture: str = ""
    """File name of the two images side by side in the run's folder ``pictures``."""


class Leak(Document):
    """What a split by image would leak, in the mean of :data:`REPEATS` random splits."""

    pairs_across: float
    """Duplicate pairs that a random split by image puts on both sides."""
    known_patients: float
    """Share of its test images whose patient has training images too."""
    random_macro_f1: float
    """Of a nearest neighbour on 16×16 thumbnails, which can only remember."""
    random_range: tuple[float, float]
    """Least and greatest macro F1 of the random splits."""
    used_macro_f1: float
    """Macro F1 of the nearest neighbour on the split that was used."""


class Audit(Document):
    """Everything that the audit found."""

    counts: dict[str, dict[str, dict[str, int]]]
    """Images by split, then site (``unknown`` where unnamed), then class."""
    patients: dict[str, int]
    """Number of patients by split."""
    patients_across: int
    """Patients with images in more than one split."""
    sizes: dict[str, int]
    """Images by ``width×height``, the most frequent first."""
    unreadable: dict[str, str]
    """Files that ``fetch`` left out, and why."""
    licences: dict[str, int]
    """Images by licence, where the dataset names any."""
    exact_pairs: int
    near_pairs: int
    different_labels: int
    """Pairs whose images have different labels."""
    across: int
    """Pairs that the split that was used has on two sides."""
    pairs: list[Pair]
    """The :data:`SHOWN` most important ones: different labels first, then those across splits."""
    leak: Leak | None


def audit(
    records: Sequence[Record],
    data_dir: Path,
    thumbnails: dict[str, npt.NDArray[np.uint8]],
    unreadable: dict[str, str],
    licences: dict[str, int],
    seed: int,
) -> Audit:
    """Audit all images of a split data folder.

    Args:
        records: N images.
        data_dir: folder of their paths.
        thumbnails: ``uint8`` 32×32 by path; images without one are left out of the search for duplicates.
        unreadable: files that ``fetch`` left out, with reasons.
        licences: number of images by licence.
        seed: of the random splits that the used one is compared with.
    """
    readable = [record for record in records if record.path in thumbnails]
    small = np.stack([thumbnails[record.path] for record in readable])
    pairs = duplicate_pairs(readable, small)
    owners: dict[str, set[str]] = {}
    for record in records:
        owners.setdefault(record.person, set()).add(record.split)
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for split in SPLITS:
        of_split = [record for record in records if record.split == split]
        by_site = counts.setdefault(split, {})
        for site in sorted({record.site for record in of_split}):
            labels = Counter(record.label for record in of_split if record.site == site)
            by_site[site or "unknown"] = dict(sorted(labels.items()))
    return Audit(
        counts=counts,
        patients={split: sum(split in sides for sides in owners.values()) for split in SPLITS},
        patients_across=sum(len(sides) > 1 for sides in owners.values()),
        sizes=dict(Counter(_size(data_dir / record.path) for record in records).most_common()),
        unreadable=unreadable,
        licences=licences,
        exact_pairs=sum(pair.exact for pair in pairs),
        near_pairs=sum(not pair.exact for pair in pairs),
        different_labels=sum(not pair.same_label for pair in pairs),
        across=sum(len(set(pair.splits)) > 1 for pair in pairs),
        pairs=sorted(pairs, key=_weight)[:SHOWN],
        leak=_leak(readable, small, pairs, seed),
    )


def _size(path: Path) -> str:
    with open_image(path) as image:
        return f"{image.width}×{image.height}"


def _weight(pair: Pair) -> tuple[bool, bool, bool, bool, float]:
    return (pair.same_label, len(set(pair.splits)) == 1, pair.same_patient, pair.exact, -pair.correlation)


def duplicate_pairs(records: Sequence[Record], thumbnails: npt.NDArray[np.uint8]) -> list[Pair]:
    """Pairs of images with the same bytes, or of the same picture."""
    correlations = {(pair.first, pair.second): pair.correlation for pair in near_duplicates(thumbnails)}
    copies: dict[str, list[int]] = {}
    for position, record in enumerate(records):
        copies.setdefault(record.sha256, []).append(position)
    for positions in copies.values():  # blank images correlate with nothing
        correlations |= dict.fromkeys(combinations(positions, 2), 1.0)
    return [
        _pair(records[first], records[second], correlation)
        for (first, second), correlation in sorted(correlations.items())
    ]


def _pair(first: Record, second: Record, correlation: float) -> Pair:
    return Pair(
        first=first.path,
        second=second.path,
        exact=first.sha256 == second.sha256,
        same_label=first.label == second.label,
        same_patient=first.person == second.person,
        splits=(first.split, second.split),
        correlation=round(correlation, 4),
    )


def _leak(
    records: Sequence[Record], thumbnails: npt.NDArray[np.uint8], pairs: Sequence[Pair], seed: int
) -> Leak | None:
    labels = np.array([record.label for record in records])
    used = np.array([record.split for record in records])
    counts = Counter(labels.tolist())
    rows = np.arange(len(records))
    if min(counts.values()) < 2 or not (used == "test").any() or not (used == "train").any():
        return None
    place = {record.path: i for i, record in enumerate(records)}
    small = pooled(thumbnails, 16)

    def memorised(test: npt.NDArray[np.bool_]) -> float:
        nearest = KNeighborsClassifier(1).fit(small[~test], labels[~test])
        return float(f1_score(labels[test], nearest.predict(small[test]), average="macro", zero_division=0.0))

    share = float((used == "test").mean())
    scores, across, known = [], [], []
    for repeat in range(REPEATS):
        train, chosen = train_test_split(rows, test_size=share, stratify=labels, random_state=seed + repeat)
        test = np.isin(rows, chosen)
        owners = {records[i].person for i in train.tolist()}
        scores.append(memorised(test))
        across.append(sum(test[place[pair.first]] != test[place[pair.second]] for pair in pairs))
        known.append(sum(records[i].person in owners for i in chosen.tolist()) / len(chosen))
    return Leak(
        pairs_across=float(np.mean(across)),
        known_patients=float(np.mean(known)),
        random_macro_f1=float(np.mean(scores)),
        random_range=(min(scores), max(scores)),
        used_macro_f1=memorised(used == "test"),
    )
