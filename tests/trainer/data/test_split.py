from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from tests.support.datasets import radiograph, settings, table, two_hospitals
from trainer.data.fetch import fetch
from trainer.data.holdout import leave_out
from trainer.data.manifest import SPLITS, Record, read_manifest, split_protocol
from trainer.data.sample import generate
from trainer.data.split import split
from trainer.errors import UserError
from trainer.settings import Settings


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
    folder = table(tmp_path / "set", two_hospitals(classes, each=lambda number: 1 + number % 3))
    wanted = settings(folder, data)
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
    folder = table(tmp_path / "set", two_hospitals({("N", "a"): 20, ("P", "a"): 20}))
    fetch(settings(folder, data))
    split(settings(folder, data))
    records = read_manifest(data)
    for part in SPLITS:
        images = ImageFolder(data / part)
        assert images.classes == ["N", "P"]
        named = {(Path(file).name, images.classes[index]) for file, index in images.samples}
        assert named == {(Path(r.path).name, r.label) for r in records if r.split == part}
    some = records[0]
    assert (data / some.split / some.label / Path(some.path).name).samefile(data / some.path)


def test_exact_duplicates_stay_on_one_side_whatever_their_patient_and_class(tmp_path: Path, data: Path) -> None:
    folder = table(tmp_path / "set", two_hospitals({("N", "a"): 30, ("P", "a"): 30}))
    # A chain: N0 = P0 byte for byte, and N0's patient has another image that is equal to P1.
    (folder / "P/a0_0.png").write_bytes((folder / "N/a0_0.png").read_bytes())
    manifest = (folder / "manifest.csv").read_text().replace("a-N-1\n", "a-N-0\n")
    (folder / "manifest.csv").write_text(manifest)
    (folder / "P/a1_0.png").write_bytes((folder / "N/a1_0.png").read_bytes())
    fetch(settings(folder, data))
    for seed in range(5):
        split(settings(folder, data, seed=seed))
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
    fetch(settings(tmp_path / "set", data))
    folder = tmp_path / "gone"
    split(settings(folder, data))
    assert len({r.patient for r in read_manifest(data) if r.label == "P"}) == 10
    assert len({r.patient for r in read_manifest(data) if r.label == "N"}) == 40
    split(settings(folder, data, patient_pattern=r"^(s\d+)-"))
    assert len({r.patient for r in read_manifest(data) if r.label == "N"}) == 10
    with pytest.raises(UserError, match="matches no file name"):
        split(settings(folder, data, patient_pattern=r"^(q\d+)-"))


def test_splitting_again_changes_nothing_and_another_seed_another_split(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = table(tmp_path / "set", two_hospitals({("N", "a"): 30, ("P", "b"): 30}))
    fetch(settings(folder, data))

    def state() -> list[tuple[str, int, int]]:
        files = sorted(file for file in data.rglob("*"))
        return [(str(file), file.stat().st_ino, file.stat().st_mtime_ns) for file in files]

    split(settings(folder, data))
    first, text = state(), (data / "manifest.csv").read_bytes()
    split(settings(folder, data))
    assert state() == first
    assert "is split so already" in capsys.readouterr().out
    split(settings(folder, data, seed=2))
    assert (data / "manifest.csv").read_bytes() != text
    split(settings(folder, data))
    assert (data / "manifest.csv").read_bytes() == text
    assert sorted(entry.name for entry in data.iterdir()) == sorted(["manifest.csv", "raw", "split.txt", *SPLITS])


def test_a_split_that_was_cut_off_is_made_again(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = table(tmp_path / "set", two_hospitals({("N", "a"): 20, ("P", "a"): 20}))
    fetch(settings(folder, data))
    split(settings(folder, data))
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
            split(settings(folder, data, seed=2))
    with pytest.raises(UserError, match="run `python -m trainer split`"):
        read_manifest(data)  # never a manifest beside folders that it does not fit
    split(settings(folder, data))
    assert (data / "manifest.csv").read_bytes() == text
    assert sum(1 for part in SPLITS for _ in (data / part).rglob("*.png")) == 40
    assert sorted(entry.name for entry in data.iterdir()) == sorted(["manifest.csv", "raw", "split.txt", *SPLITS])


@pytest.mark.parametrize("count", [3, 4, 5, 10, 13])
def test_three_patients_a_class_are_enough(tmp_path: Path, data: Path, count: int) -> None:
    folder = table(tmp_path / "set", two_hospitals({("N", "a"): count, ("T", "b"): count, ("T", "c"): count}))
    fetch(settings(folder, data))
    for seed in range(3):
        split(settings(folder, data, seed=seed))
        assert {(r.label, r.split) for r in read_manifest(data)} == {(x, s) for x in "NT" for s in SPLITS}


def test_splitting_before_fetching_says_so(data: Path) -> None:
    with pytest.raises(UserError, match="run `python -m trainer fetch` first"):
        split(Settings(data_dir=data))


def test_a_number_that_two_hospitals_gave_is_two_patients(tmp_path: Path, data: Path) -> None:
    rows = [(f"{label}/{site}{n}.png", label, site, f"{n}") for label in "NP" for site in "ab" for n in range(20)]
    folder = table(tmp_path / "set", rows)
    fetch(settings(folder, data))
    split(settings(folder, data))
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
    fetch(settings(tmp_path / "set", data))
    assert "72 images that show the same picture as another one" in capsys.readouterr().out
    for seed in range(4):
        split(settings(tmp_path / "set", data, seed=seed))
        sides = defaultdict(set)
        for record in read_manifest(data):
            sides[record.label, Path(record.path).stem.split()[0]].add(record.split)
        assert all(len(side) == 1 for side in sides.values())


def test_a_dataset_that_an_earlier_version_fetched_gets_its_groups_of_copies(tmp_path: Path, data: Path) -> None:
    folder = table(tmp_path / "set", two_hospitals({("N", "a"): 6, ("P", "a"): 6}))
    with Image.open(folder / "N/a0_0.png") as image:
        image.resize((32, 32), Image.Resampling.NEAREST).save(folder / "P/a0_0.png")
    fetch(settings(folder, data))
    manifest = data / "raw/manifest.csv"
    rows = [line.rsplit(",", 3)[0] for line in manifest.read_text().splitlines()]
    assert rows[0].endswith("original")
    manifest.write_text("\n".join(rows) + "\n")
    split(settings(folder, data))
    groups = Counter(record.group for record in read_manifest(data))
    assert max(groups.values()) == 2
    assert manifest.read_text().splitlines()[0].endswith("original,dataset,view,lookalike")
