"""``split``: divide the images into ``data/{train,val,test}/<CLASS>/`` and list them in ``manifest.csv``.

The assignment is a function of ``raw`` and the settings alone, so that splitting again changes nothing.
"""

import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.cluster.hierarchy import DisjointSet

from trainer.data.datasets import known_sites
from trainer.data.file_control import control_files
from trainer.data.file_properties import FileProperties, kinds_of_files, read_file_properties
from trainer.data.lock import locked
from trainer.data.manifest import MANIFEST_FILE, PROTOCOL_FILE, SPLITS, Record, Split
from trainer.data.patients import check_pattern, patient_from_name, person
from trainer.data.raw import RawRecord, link_or_copy, read_raw
from trainer.errors import UserError
from trainer.files import write_text
from trainer.settings import Settings
from trainer.tables import to_csv

__all__ = ["SHARES", "assign_groups", "split"]

SHARES: dict[Split, float] = {"train": 0.8, "val": 0.1, "test": 0.1}
_STAGING = ".split.partial"
_OLD = ".split.replaced"


def split(settings: Settings) -> Path:
    """Split the fetched dataset; nothing to do if it is split so already.

    Returns:
        The path of ``manifest.csv``.

    Raises:
        UserError: ``fetch`` has not run, the dataset has no official split, or is too small to have every class in
            every split.
    """
    try:
        with locked(settings.data_dir):
            return _split(settings)
    except OSError as error:
        where = error.filename or settings.data_dir
        raise UserError(f"{where}: {error.strerror or error}; split can be run again") from error


def _split(settings: Settings) -> Path:
    data_dir = settings.data_dir
    for leftover in (_STAGING, _OLD):
        shutil.rmtree(data_dir / leftover, ignore_errors=True)
    raw = _with_sites(read_raw(data_dir), settings)
    patients = _patients(raw, settings.patient_pattern)
    groups = _groups(raw, patients)
    assigned = _assign(raw, groups, settings)
    records = [
        Record(
            path=radiograph.path, label=radiograph.label, split=assigned[radiograph.path], site=radiograph.site,
            patient=patient, sha256=radiograph.sha256, group=group, dataset=radiograph.dataset, view=radiograph.view,
        )
        for radiograph, patient, group in zip(raw, patients, groups, strict=True)
        if radiograph.path in assigned
    ]  # fmt: skip
    _check_complete(records, settings.split)
    text, protocol = to_csv(records, Record), f"{settings.split} seed={settings.seed}\n"
    if _is_done(data_dir, records, text, protocol):
        print(f"{data_dir / MANIFEST_FILE}: is split so already ({settings.split}, seed {settings.seed})")
    else:
        _write(data_dir, records, text, protocol)
        _print_counts(data_dir, records, len(raw) - len(records), settings)
        _print_file_controls(records, read_file_properties(data_dir))
    return data_dir / MANIFEST_FILE


def _with_sites(raw: Sequence[RawRecord], settings: Settings) -> list[RawRecord]:
    """The images with their sites; where none is known, with ``--site-by-file``, by the kind of file.

    Raises:
        UserError: an earlier version fetched the dataset, and left nothing written of its files.
    """
    sites = known_sites(raw)
    if settings.site_by_file:
        properties = read_file_properties(settings.data_dir)
        if not properties:
            raise UserError(f"{settings.data_dir}: --site-by-file needs what fetch writes; fetch again with --replace")
        kinds = kinds_of_files([properties[record.path] for record in raw])
        sites = [record.site or kind for record, kind in zip(raw, kinds, strict=True)]
    return [record.model_copy(update={"site": site}) for record, site in zip(raw, sites, strict=True)]


def _patients(raw: Sequence[RawRecord], pattern: str | None) -> list[str]:
    """Patient of each image: as the dataset says, else by its file name, else the image itself."""
    check_pattern(pattern, [radiograph.original for radiograph in raw if not radiograph.patient])
    return [
        radiograph.patient or patient_from_name(radiograph.original, pattern) or radiograph.path for radiograph in raw
    ]


def _groups(raw: Sequence[RawRecord], patients: Sequence[str]) -> list[str]:
    """Group of each image, named by its first patient: a patient's images and those of one picture are one group."""
    people = [person(radiograph.site, patient) for radiograph, patient in zip(raw, patients, strict=True)]
    linked = DisjointSet(people)
    first: dict[str, str] = {}
    for radiograph, owner in zip(raw, people, strict=True):
        for picture in (radiograph.sha256, radiograph.lookalike):
            if picture:
                linked.merge(owner, first.setdefault(picture, owner))
    sites = Counter(
        patient for patient, _ in {(patient, owner) for patient, owner in zip(patients, people, strict=True)}
    )
    names = {
        owner: patient if sites[patient] == 1 else f"{patient} ({radiograph.site or 'no site'})"
        for radiograph, patient, owner in zip(raw, patients, people, strict=True)
    }
    groups = {owner: names[min(group)] for group in linked.subsets() for owner in group}
    return [groups[owner] for owner in people]


def _assign(raw: Sequence[RawRecord], groups: Sequence[str], settings: Settings) -> dict[str, Split]:
    """Split of each image by its path; images that the protocol does not use have none."""
    if settings.split == "grouped":
        return assign_groups(raw, groups, SHARES, settings.seed)
    if settings.split == "official":
        return _official(raw, groups, settings)
    return _random(raw, settings)


def assign_groups(
    raw: Sequence[RawRecord | Record], groups: Sequence[str], shares: dict[Split, float], seed: int
) -> dict[str, Split]:
    """Assign whole groups to splits, so that each class, and each class of each site, has its share in each split.

    Greedy: every split first gets one of the smallest groups of each class; then, largest groups first, each goes
    where it most lowers the squared distance from the wanted counts, relative to these (chi-squared). scikit-learn's
    StratifiedGroupKFold knows one key only, and can't split a class of fewer than ten groups.
    """
    keys = sorted({key for radiograph in raw for key in _keys(radiograph)})
    column = {key: position for position, key in enumerate(keys)}
    # A class as a whole weighs as much as all its sites together.
    sites = len({radiograph.site for radiograph in raw})
    weights = np.array([sites if len(key) == 1 else 1 for key in keys])
    counts = {group: np.zeros(len(keys)) for group in sorted(set(groups))}
    for radiograph, group in zip(raw, groups, strict=True):
        counts[group][[column[key] for key in _keys(radiograph)]] += 1
    wanted = np.outer(list(shares.values()), np.sum(list(counts.values()), axis=0))
    missing = wanted.copy()

    names, parts = list(counts), list(shares)
    order = [names[position] for position in np.random.default_rng(seed).permutation(len(names))]
    order.sort(key=lambda group: counts[group].sum(), reverse=True)
    side: dict[str, int] = {}
    for label in (column[key] for key in keys if len(key) == 1):
        for part in reversed(range(len(parts))):
            free = [group for group in order if group not in side and counts[group][label]]
            if free and missing[part, label] == wanted[part, label]:
                side[free[-1]] = part
                missing[part] -= counts[free[-1]]
    for group in order:
        if group not in side:
            cost = (weights * counts[group] * (counts[group] - 2 * missing) / wanted).sum(axis=1)
            # Rounded, or the last bit of a sum, which differs between machines, would decide ties.
            side[group] = int(np.argmin(cost.round(9)))
            missing[side[group]] -= counts[group]
    return {radiograph.path: parts[side[group]] for radiograph, group in zip(raw, groups, strict=True)}


def _keys(radiograph: RawRecord | Record) -> tuple[tuple[str, ...], ...]:
    """What an image counts towards: its class, and its class at its site."""
    return (radiograph.label,), (radiograph.label, radiograph.site)


def _official(raw: Sequence[RawRecord], groups: Sequence[str], settings: Settings) -> dict[str, Split]:
    """Take the dataset's own split; where it has no validation images, a ninth of the training groups becomes them."""
    parts: dict[str, list[int]] = defaultdict(list)
    for index, radiograph in enumerate(raw):
        parts[radiograph.split].append(index)
    if not parts["train"] or not parts["test"]:
        present = ", ".join(name for name in SPLITS if parts[name]) or "none"
        raise UserError(
            f"{settings.data_dir}: --split official needs the dataset's own train and test parts (found: {present}); "
            "use --split grouped"
        )
    assigned: dict[str, Split] = {raw[index].path: name for name in SPLITS for index in parts[name]}
    if not parts["val"]:
        train = [raw[index] for index in parts["train"]]
        train_groups = [groups[index] for index in parts["train"]]
        assigned |= assign_groups(train, train_groups, {"train": 8 / 9, "val": 1 / 9}, settings.seed)
    return assigned


def _random(raw: Sequence[RawRecord], settings: Settings) -> dict[str, Split]:
    """Split by image, class by class, as the reference project did: patients and duplicates cross.

    A dataset's own validation and test images stay unused, as they did there: only its training images are split.
    """
    from sklearn.model_selection import train_test_split  # slow to import, and needed by this protocol alone

    pool = (
        [radiograph for radiograph in raw if radiograph.split == "train"]
        if any(radiograph.split for radiograph in raw)
        else raw
    )
    assigned: dict[str, Split] = {}
    for label in sorted({radiograph.label for radiograph in pool}):
        paths = sorted(radiograph.path for radiograph in pool if radiograph.label == label)
        if len(paths) < 6:
            raise UserError(f"class {label}: {len(paths)} images are too few to split; bring more, or leave it out")
        train, rest = train_test_split(paths, test_size=0.2, random_state=settings.seed)
        val, test = train_test_split(rest, test_size=0.5, random_state=settings.seed)
        parts: dict[Split, list[str]] = {"train": train, "val": val, "test": test}
        assigned |= {path: name for name, part in parts.items() for path in part}
    return assigned


def _check_complete(records: Sequence[Record], protocol: str) -> None:
    """Refuse a split that lacks a class somewhere."""
    have = {(record.label, record.split) for record in records}
    for label in sorted({record.label for record in records}):
        lacking = [name for name in SPLITS if (label, name) not in have]
        if lacking:
            count = len({record.group for record in records if record.label == label})
            remedy = (
                "the dataset's own split has none there; use --split grouped"
                if protocol == "official"
                else "bring more patients of it (three at least), or leave the class out"
            )
            raise UserError(
                f"class {label}: no image for {' and '.join(lacking)} ({count} patients or groups); {remedy}"
            )


def _is_done(data_dir: Path, records: Sequence[Record], text: str, protocol: str) -> bool:
    """Whether the data folder has this very split, with all of its files."""
    try:
        same = (data_dir / MANIFEST_FILE).read_bytes() == text.encode()
        same = same and (data_dir / PROTOCOL_FILE).read_text(encoding="utf-8") == protocol
    except OSError:
        return False
    return same and all((data_dir / _place(record)).is_file() for record in records)


def _place(record: Record) -> str:
    """Path of an image in the ImageFolder tree, such as ``test/NORMAL/x.png`` for ``raw/NORMAL/x.png``."""
    return f"{record.split}/{record.path.partition('/')[2]}"


def _write(data_dir: Path, records: Sequence[Record], text: str, protocol: str) -> None:
    """Build the folders aside, then swap; ``manifest.csv`` goes first and comes last, so that it is always true."""
    staging, old = data_dir / _STAGING, data_dir / _OLD
    for name in SPLITS:
        for label in sorted({record.label for record in records}):
            (staging / name / label).mkdir(parents=True)
    for record in records:
        link_or_copy(data_dir / record.path, staging / _place(record))
    old.mkdir()
    (data_dir / MANIFEST_FILE).unlink(missing_ok=True)
    for name in SPLITS:
        if (data_dir / name).exists():
            (data_dir / name).rename(old / name)
        (staging / name).rename(data_dir / name)
    write_text(data_dir / PROTOCOL_FILE, protocol)
    write_text(data_dir / MANIFEST_FILE, text)
    shutil.rmtree(staging)
    shutil.rmtree(old)


def _print_counts(data_dir: Path, records: Sequence[Record], unused: int, settings: Settings) -> None:
    counts = Counter((record.label, record.split) for record in records)
    labels = sorted({record.label for record in records})
    width = max(map(len, labels))
    print(f"{data_dir / MANIFEST_FILE}: {settings.split} split, seed {settings.seed}")
    print(f"  {'':{width}}" + "".join(f"{name:>8}" for name in SPLITS))
    for label in labels:
        print(f"  {label:{width}}" + "".join(f"{counts[label, name]:8,}" for name in SPLITS))
    if unused:
        print(f"  {unused:,} images are not used by this protocol")
    sides: dict[str, set[str]] = defaultdict(set)
    for record in records:
        sides[record.group].add(record.split)
    crossing = sum(len(splits) > 1 for splits in sides.values())
    if crossing:
        print(f"  {crossing:,} patients or pictures have images in more than one split: use --split grouped")


def _print_file_controls(records: Sequence[Record], properties: Mapping[str, FileProperties]) -> None:
    if not properties:
        print("  what the files alone tell is not known: an earlier version fetched them; fetch again with --replace")
    for control in control_files(records, properties):
        if control.fired:
            print(f"  {control.text}")
