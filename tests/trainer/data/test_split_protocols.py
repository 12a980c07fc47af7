"""The dataset's own split, and the random one of the reference project."""

import os
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.support.datasets import radiograph, settings, table, two_hospitals
from trainer.data.fetch import fetch
from trainer.data.listing import SPLIT_NAMES
from trainer.data.manifest import SPLITS, read_manifest, split_protocol
from trainer.data.split import split
from trainer.errors import UserError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def layout(root: Path, counts: dict[str, dict[str, int]]) -> Path:
    """An official layout of hard links to one image a class and part: cheap at any size."""
    for part, classes in counts.items():
        for label, count in classes.items():
            folder = root / part / label
            radiograph(folder / f"{label}-0.png", len(str(folder)))
            for number in range(1, count):
                os.link(folder / f"{label}-0.png", folder / f"{label}-{number}.png")
    return root


def test_random_gives_the_reference_protocols_counts_on_kaggles_train_folder(tmp_path: Path, data: Path) -> None:
    train = {"normal": 7263, "pneumonia": 4674, "tuberculosis": 8513}
    part = {"normal": 20, "pneumonia": 20, "tuberculosis": 20}
    folder = layout(tmp_path / "kaggle", {"train": train, "val": part, "test": part})
    fetch(settings(folder, data))
    split(settings(folder, data, split="random"))
    counts = Counter((r.split, r.label) for r in read_manifest(data))
    table = {name: [counts[name, label.upper()] for label in train] for name in SPLITS}
    assert table == {"train": [5810, 3739, 6810], "val": [726, 467, 851], "test": [727, 468, 852]}


def test_random_takes_no_image_of_the_official_val_and_test_parts(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = layout(tmp_path / "set", {"train": {"n": 20, "t": 30}, "val": {"n": 5, "t": 5}, "test": {"n": 6, "t": 7}})
    fetch(settings(folder, data))
    split(settings(folder, data, split="random"))
    records = read_manifest(data)
    assert Counter(r.label for r in records) == {"N": 20, "T": 30}
    assert "23 images are not used by this protocol" in capsys.readouterr().out
    assert split_protocol(data) == "random"


def test_official_is_the_data_sets_own(tmp_path: Path, data: Path) -> None:
    counts = {"train": {"n": 20, "t": 30}, "valid": {"n": 5, "t": 5}, "test": {"n": 6, "t": 7}}
    folder = layout(tmp_path / "set", counts)
    fetch(settings(folder, data))
    split(settings(folder, data, split="official"))
    have = Counter((r.split, r.label.lower()) for r in read_manifest(data))
    assert have == {(SPLIT_NAMES[s], label): n for s, labels in counts.items() for label, n in labels.items()}


def test_official_without_a_validation_part_makes_one_from_train_by_patient(tmp_path: Path, data: Path) -> None:
    number = 0
    for part, count in (("train", 90), ("test", 10)):
        for label in ("n", "t"):
            for index in range(count):
                number += 1
                radiograph(tmp_path / "set" / part / label / f"person{number // 3}_virus_{index}.png", number)
    folder = tmp_path / "set"
    fetch(settings(folder, data))
    split(settings(folder, data, split="official"))
    records = read_manifest(data)
    counts = Counter((r.split, r.label) for r in records)
    assert counts["test", "N"] == counts["test", "T"] == 10
    assert all(counts["val", label] == pytest.approx(10, abs=2) for label in ("N", "T"))
    sides = defaultdict(set)
    for record in records:
        if record.split != "test":
            sides[record.patient].add(record.split)
    assert all(len(side) == 1 for side in sides.values())


@pytest.mark.parametrize(
    ("protocol", "each", "says"),
    [
        ("official", 1, r"own train and test parts \(found: none\); use --split grouped"),
        ("grouped", 30, r"class T: no image for train and val \(1 patients or groups\); bring more patients"),
        ("random", 1, "class T: 2 images are too few to split"),
    ],
)
def test_a_split_that_is_not_possible_says_what_to_do(
    tmp_path: Path, data: Path, protocol: str, each: int, says: str
) -> None:
    patients = {("N", "a"): 20, ("T", "a"): 1 if each > 1 else 2}
    folder = table(tmp_path / "set", two_hospitals(patients, each=lambda number: each))
    fetch(settings(folder, data))
    with pytest.raises(UserError, match=says):
        split(settings(folder, data, split=protocol))
    assert not (data / "manifest.csv").exists()


def test_a_protocol_that_lets_patients_cross_says_so(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = layout(tmp_path / "set", {"train": {"n": 20, "t": 30}, "test": {"n": 6, "t": 7}, "val": {"n": 3, "t": 3}})
    (folder / "test/n/n-0.png").write_bytes((folder / "train/n/n-0.png").read_bytes())
    fetch(settings(folder, data))
    split(settings(folder, data, split="official"))
    assert "1 patients or pictures have images in more than one split: use --split grouped" in capsys.readouterr().out
