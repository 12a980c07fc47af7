"""``select`` proposes images to label; the table, filled in, is what ``accept`` takes."""

import csv
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.trainer.sites.conftest import TAG, Site
from trainer.cli import main


def select(dataset: Path, out: Path, *words: str) -> int:
    return main(["select", "--model", TAG, "--dataset", str(dataset), "--n", "24", "--out", str(out), *words])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def folder(site: Site, tmp_path: Path) -> Path:
    """The site's images and others: a copy, a white one that is unlike all, a broken one, a text."""
    folder = tmp_path / "folder"
    shutil.copytree(site.folder, folder)
    shutil.copyfile(folder / "image000.png", folder / "zcopy.png")
    Image.new("L", (64, 64), 255).save(folder / "white.png")
    (folder / "broken.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("no image")
    return folder


def test_what_can_t_be_asked_about_is_left_out_and_counted_by_its_reason(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert select(folder, tmp_path / "a.csv") == 0
    told = capsys.readouterr().out
    assert "left out: 1 image that can't be read" in told
    assert "left out: 1 image that the model should not be asked about (not-like-training)" in told
    assert "left out: 1 image that show" in told
    assert "1 files that are no JPEG, PNG or DICOM images left out, e.g. notes.txt" in told
    assert "24 of 90 images are proposed, for TUBERCULOSIS" in told


def test_the_table_names_no_score_and_its_weights_are_all_images(site: Site, tmp_path: Path) -> None:
    assert select(site.folder, tmp_path / "a.csv") == 0
    table = rows(tmp_path / "a.csv")
    assert [*table[0]] == ["path", "label", "stratum", "weight"]
    assert {row["label"] for row in table} == {""}
    assert sum(float(row["weight"]) for row in table) == pytest.approx(90, abs=0.01)
    flags = {name: {site.scores[row["path"]] >= site.threshold for row in table if row["stratum"] == name}
             for name in {row["stratum"] for row in table}}  # fmt: skip
    assert all(len(sides) == 1 for sides in flags.values())


def test_the_same_seed_gives_the_same_table_and_another_one_another(site: Site, tmp_path: Path) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert select(site.folder, tmp_path / name, "--seed", seed) == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


def test_labels_are_not_overwritten_unless_it_is_told_so(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.csv"
    assert select(site.folder, out) == 0
    assert select(site.folder, out, "--seed", "2") == 0  # nobody has filled it in
    filled = out.read_text().replace(",,", ",NORMAL,", 1)
    out.write_text(filled)
    assert select(site.folder, out) == 2
    assert "has 1 labels already; give another name, or --replace to lose them" in capsys.readouterr().err
    assert out.read_text() == filled
    other = tmp_path / "other.csv"
    other.write_text("something,else\n1,2\n")
    assert select(site.folder, other) == 2
    assert "is there already and no selection" in capsys.readouterr().err
    assert select(site.folder, out, "--replace") == 0
    assert {row["label"] for row in rows(out)} == {""}


def test_a_dataset_table_gives_patients_of_whom_one_image_is_taken_and_its_columns_stay(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(site.folder, folder)
    lines = [f"{name},p{number // 2},{'F' if number % 4 < 2 else 'M'},PA" for number, name in enumerate(site.scores)]
    lines[0] = lines[0].replace("PA", "LATERAL")
    (folder / "manifest.csv").write_text("\n".join(["path,patient,Sex,view", *lines]) + "\n")
    assert select(folder, tmp_path / "a.csv") == 0
    told = capsys.readouterr().out
    assert "left out: 1 image that are no frontal views" in told
    assert "left out: 44 images further of a patient" in told
    table = rows(tmp_path / "a.csv")
    assert [*table[0]] == ["path", "label", "stratum", "weight", "patient", "view", "sex"]
    assert len({row["patient"] for row in table}) == len(table)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--dataset", "nowhere", "--out", "a.csv"], "--dataset nowhere: no such folder"),
        (["--dataset", "file", "--out", "a.csv"], "--dataset file: a file; give a folder"),
        (["--dataset", "empty", "--out", "a.csv"], "empty: no JPEG, PNG or DICOM file in this folder"),
        (["--dataset", "few", "--out", "a.csv"], "few: 1 images are left to choose from; a selection needs 20"),
        (["--dataset", "few", "--out", "few"], "--out few: a folder; give a file, such as few/selection.csv"),
        (["--dataset", "few", "--out", "file/a.csv"], "Not a directory"),
        (["--dataset", "few", "--out", "a.csv", "--disease", "FLU"], "--disease FLU: the model has no threshold"),
        (["--dataset", "few", "--out", "a.csv", "--n", "3"], "--n: Input should be greater than or equal to 10"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    site: Site,
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    Path("empty").mkdir()
    Path("few").mkdir()
    shutil.copy(site.folder / "image000.png", "few")
    assert main(["select", "--model", TAG, *words]) == 2
    errors = capsys.readouterr().err.strip()
    assert sentence in errors
    assert len(errors.splitlines()) == 1
    assert not Path("a.csv").exists()
