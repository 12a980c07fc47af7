import os
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from trainer.data.fetch import fetch
from trainer.data.holdout import leave_out
from trainer.data.listing import SPLIT_NAMES
from trainer.data.manifest import SPLITS, Record, read_manifest, split_protocol
from trainer.data.sample import generate
from trainer.data.split import split
from trainer.errors import UserError
from trainer.settings import Settings

Row = tuple[str, str, str, str]
"""Path, label, site, patient."""


def settings(data: Path, folder: Path, **more: object) -> Settings:
    return Settings.model_validate({"dataset": str(folder), "data_dir": data, **more})


def radiograph(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8), dtype=np.uint8)).save(path)


def radiographs(root: Path, rows: list[Row]) -> Path:
    """A folder with a manifest; every image is different."""
    for seed, row in enumerate(rows):
        radiograph(root / row[0], seed)
    lines = ["path,label,site,patient", *(",".join(row) for row in rows)]
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root


def two_hospitals(classes: dict[tuple[str, str], int], each: Callable[[int], int] = lambda number: 1) -> list[Row]:
    """So many patients of each (label, site), with ``each(number)`` images a patient."""
    return [
        (f"{label}/{site}{number}_{index}.png", label, site, f"{site}-{label}-{number}")
        for (label, site), count in classes.items()
        for number in range(count)
        for index in range(each(number))
    ]


def shares(records: list[Record], key: Callable[[Record], object]) -> dict[object, list[float]]:
    counts: dict[object, Counter[str]] = defaultdict(Counter)
    for record in records:
        counts[key(record)][record.split] += 1
    return {name: [count[part] / count.total() for part in SPLITS] for name, count in counts.items()}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_grouped_keeps_patients_together_and_the_shares_of_class_and_site(tmp_path: Path, data: Path) -> None:
    classes = {("N", "east"): 90, ("N", "west"): 40, ("P", "east"): 70, ("T", "west"): 30}
    folder = radiographs(tmp_path / "set", two_hospitals(classes, each=lambda number: 1 + number % 3))
    wanted = settings(data, folder)
    fetch(wanted)
    path = split(wanted)
    assert path == data / "manifest.csv"
    records = read_manifest(data)
    assert len(records) == sum(sum(1 + n % 3 for n in range(count)) for count in classes.values())
    sides = defaultdict(set)
    for record in records:
        sides[record.patient].add(record.split)
    assert len(sides) == 230
    assert all(len(side) == 1 for side in sides.values())
    for achieved in shares(records, lambda r: (r.label, r.site)).values():
        assert achieved == pytest.approx([0.8, 0.1, 0.1], abs=0.02)
    assert split_protocol(data) == "grouped"


def test_the_folders_are_links_for_imagefolder_and_agree_with_the_manifest(tmp_path: Path, data: Path) -> None:
    folder = radiographs(tmp_path / "set", two_hospitals({("N", "a"): 20, ("P", "a"): 20}))
    fetch(settings(data, folder))
    split(settings(data, folder))
    records = read_manifest(data)
    for part in SPLITS:
        images = ImageFolder(data / part)
        assert images.classes == ["N", "P"]
        named = {(Path(file).name, images.classes[index]) for file, index in images.samples}
        assert named == {(Path(r.path).name, r.label) for r in records if r.split == part}
    some = records[0]
    assert (data / some.split / some.label / Path(some.path).name).samefile(data / some.path)


def test_exact_duplicates_stay_on_one_side_whatever_their_patient_and_class(tmp_path: Path, data: Path) -> None:
    folder = radiographs(tmp_path / "set", two_hospitals({("N", "a"): 30, ("P", "a"): 30}))
    # A chain: N0 = P0 byte for byte, and N0's patient has another image that is equal to P1.
    (folder / "P/a0_0.png").write_bytes((folder / "N/a0_0.png").read_bytes())
    manifest = (folder / "manifest.csv").read_text().replace("a-N-1\n", "a-N-0\n")
    (folder / "manifest.csv").write_text(manifest)
    (folder / "P/a1_0.png").write_bytes((folder / "N/a1_0.png").read_bytes())
    fetch(settings(data, folder))
    for seed in range(5):
        split(settings(data, folder, seed=seed))
        chain = [r for r in read_manifest(data) if Path(r.path).name in ("a0_0.png", "a1_0.png")]
        assert len(chain) == 4
        assert len({r.group for r in chain}) == 1
        assert len({r.split for r in chain}) == 1


def test_patients_come_from_the_pattern_or_known_names_and_splitting_needs_no_new_fetch(
    tmp_path: Path, data: Path
) -> None:
    names = [f"person{n}_{kind}_{n}.png" for n in range(10) for kind in ("bacteria", "virus")]
    for seed, name in enumerate([f"P/{name}" for name in names] + [f"N/s{n // 4}-{n}.png" for n in range(40)]):
        radiograph(tmp_path / "set" / name, seed)
    fetch(settings(data, tmp_path / "set"))
    folder = tmp_path / "gone"
    split(settings(data, folder))
    assert len({r.patient for r in read_manifest(data) if r.label == "P"}) == 10
    assert len({r.patient for r in read_manifest(data) if r.label == "N"}) == 40
    split(settings(data, folder, patient_pattern=r"^(s\d+)-"))
    assert len({r.patient for r in read_manifest(data) if r.label == "N"}) == 10
    with pytest.raises(UserError, match="matches no file name"):
        split(settings(data, folder, patient_pattern=r"^(q\d+)-"))


def test_splitting_again_changes_nothing_and_another_seed_another_split(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = radiographs(tmp_path / "set", two_hospitals({("N", "a"): 30, ("P", "b"): 30}))
    fetch(settings(data, folder))

    def state() -> list[tuple[str, int, int]]:
        files = sorted(file for file in data.rglob("*"))
        return [(str(file), file.stat().st_ino, file.stat().st_mtime_ns) for file in files]

    split(settings(data, folder))
    first, text = state(), (data / "manifest.csv").read_bytes()
    split(settings(data, folder))
    assert state() == first
    assert "is split so already" in capsys.readouterr().out
    split(settings(data, folder, seed=2))
    assert (data / "manifest.csv").read_bytes() != text
    split(settings(data, folder))
    assert (data / "manifest.csv").read_bytes() == text
    assert sorted(entry.name for entry in data.iterdir()) == sorted(["manifest.csv", "raw", "split.txt", *SPLITS])


def test_a_split_that_was_cut_off_is_made_again(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = radiographs(tmp_path / "set", two_hospitals({("N", "a"): 20, ("P", "a"): 20}))
    fetch(settings(data, folder))
    split(settings(data, folder))
    text = (data / "manifest.csv").read_bytes()
    real, calls = Path.rename, 0

    def cut_off(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", cut_off)
        with pytest.raises(KeyboardInterrupt):
            split(settings(data, folder, seed=2))
    with pytest.raises(UserError, match="run `python -m trainer split`"):
        read_manifest(data)  # never a manifest beside folders that it does not fit
    split(settings(data, folder))
    assert (data / "manifest.csv").read_bytes() == text
    assert sum(1 for part in SPLITS for _ in (data / part).rglob("*.png")) == 40
    assert sorted(entry.name for entry in data.iterdir()) == sorted(["manifest.csv", "raw", "split.txt", *SPLITS])


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
    fetch(settings(data, folder))
    split(settings(data, folder, split="random"))
    counts = Counter((r.split, r.label) for r in read_manifest(data))
    table = {name: [counts[name, label.upper()] for label in train] for name in SPLITS}
    assert table == {"train": [5810, 3739, 6810], "val": [726, 467, 851], "test": [727, 468, 852]}


def test_random_takes_no_image_of_the_official_val_and_test_parts(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = layout(tmp_path / "set", {"train": {"n": 20, "t": 30}, "val": {"n": 5, "t": 5}, "test": {"n": 6, "t": 7}})
    fetch(settings(data, folder))
    split(settings(data, folder, split="random"))
    records = read_manifest(data)
    assert Counter(r.label for r in records) == {"N": 20, "T": 30}
    assert "23 images are not used by this protocol" in capsys.readouterr().out
    assert split_protocol(data) == "random"


def test_official_is_the_data_sets_own(tmp_path: Path, data: Path) -> None:
    counts = {"train": {"n": 20, "t": 30}, "valid": {"n": 5, "t": 5}, "test": {"n": 6, "t": 7}}
    folder = layout(tmp_path / "set", counts)
    fetch(settings(data, folder))
    split(settings(data, folder, split="official"))
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
    fetch(settings(data, folder))
    split(settings(data, folder, split="official"))
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
    folder = radiographs(tmp_path / "set", two_hospitals(patients, each=lambda number: each))
    fetch(settings(data, folder))
    with pytest.raises(UserError, match=says):
        split(settings(data, folder, split=protocol))
    assert not (data / "manifest.csv").exists()


@pytest.mark.parametrize("count", [3, 4, 5, 10, 13])
def test_three_patients_a_class_are_enough(tmp_path: Path, data: Path, count: int) -> None:
    folder = radiographs(tmp_path / "set", two_hospitals({("N", "a"): count, ("T", "b"): count, ("T", "c"): count}))
    fetch(settings(data, folder))
    for seed in range(3):
        split(settings(data, folder, seed=seed))
        assert {(r.label, r.split) for r in read_manifest(data)} == {(x, s) for x in "NT" for s in SPLITS}


def test_splitting_before_fetching_says_so(data: Path) -> None:
    with pytest.raises(UserError, match="run `python -m trainer fetch` first"):
        split(Settings(data_dir=data))


def test_a_number_that_two_hospitals_gave_is_two_patients(tmp_path: Path, data: Path) -> None:
    rows = [(f"{label}/{site}{n}.png", label, site, f"{n}") for label in "NP" for site in "ab" for n in range(20)]
    folder = radiographs(tmp_path / "set", rows)
    fetch(settings(data, folder))
    split(settings(data, folder))
    records = read_manifest(data)
    sides = defaultdict(set)
    for record in records:
        sides[record.site, record.patient].add(record.split)
    assert all(len(side) == 1 for side in sides.values())
    assert len({record.group for record in records}) == len(sides) == 40
    assert leave_out(records, "b") == [record for record in records if record.site == "a"]


def test_changed_copies_of_an_image_stay_on_one_side_and_are_counted(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label, count in (("N", 12), ("P", 12)):
        for number, image in enumerate(generate(count, 96, 2, seed=ord(label))):
            picture = Image.fromarray(image.pixels)
            (tmp_path / "set" / label).mkdir(parents=True, exist_ok=True)
            picture.save(tmp_path / "set" / label / f"{number}.png")
            picture.resize((64, 64)).save(tmp_path / "set" / label / f"{number} small.jpg", quality=50)
            picture.point([min(255, grey + 20) for grey in range(256)]).save(
                tmp_path / "set" / label / f"{number} bright.png"
            )
    fetch(settings(data, tmp_path / "set"))
    assert "72 images that show the same picture as another one" in capsys.readouterr().out
    for seed in range(4):
        split(settings(data, tmp_path / "set", seed=seed))
        sides = defaultdict(set)
        for record in read_manifest(data):
            sides[record.label, Path(record.path).stem.split()[0]].add(record.split)
        assert all(len(side) == 1 for side in sides.values())


def test_a_dataset_that_an_earlier_version_fetched_gets_its_groups_of_copies(tmp_path: Path, data: Path) -> None:
    folder = radiographs(tmp_path / "set", two_hospitals({("N", "a"): 6, ("P", "a"): 6}))
    with Image.open(folder / "N/a0_0.png") as image:
        image.resize((32, 32), Image.Resampling.NEAREST).save(folder / "P/a0_0.png")
    fetch(settings(data, folder))
    table = data / "raw/manifest.csv"
    rows = [line.rpartition(",")[0] for line in table.read_text().splitlines()]
    assert rows[0].endswith("original")
    table.write_text("\n".join(rows) + "\n")
    split(settings(data, folder))
    groups = Counter(record.group for record in read_manifest(data))
    assert max(groups.values()) == 2
    assert table.read_text().splitlines()[0].endswith("original,lookalike")


def test_a_protocol_that_lets_patients_cross_says_so(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = layout(tmp_path / "set", {"train": {"n": 20, "t": 30}, "test": {"n": 6, "t": 7}, "val": {"n": 3, "t": 3}})
    (folder / "test/n/n-0.png").write_bytes((folder / "train/n/n-0.png").read_bytes())
    fetch(settings(data, folder))
    split(settings(data, folder, split="official"))
    assert "1 patients or pictures have images in more than one split: use --split grouped" in capsys.readouterr().out
