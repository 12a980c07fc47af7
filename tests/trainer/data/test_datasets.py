import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from tests.support.datasets import radiograph, radiographs, settings, table, two_hospitals
from trainer.cli import load_settings
from trainer.data.datasets import NamedDataset, named_datasets, open_datasets
from trainer.data.fetch import describe_dataset, fetch
from trainer.data.fetch_report import read_fetch_report
from trainer.data.manifest import read_manifest
from trainer.data.raw import read_raw
from trainer.data.split import split
from trainer.errors import UserError
from trainer.settings import Settings


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    """Two folders whose images have the same names and patients, the first one with sites."""
    rows = two_hospitals({("N", "a"): 6, ("P", "a"): 6})
    first = table(tmp_path / "first", rows)
    second = tmp_path / "second"
    for number, row in enumerate(rows):
        radiograph(second / row[0], 100 + number)
    return [str(first), f"other:{second}"]


def test_a_dataset_is_called_as_it_is_named_or_as_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    given = ["kaggle", f"{tmp_path}/nih", f"mine:{tmp_path}/x y", f"{tmp_path}/a:b", "more:sample"]
    assert named_datasets(given) == [
        NamedDataset("kaggle", "kaggle"),
        NamedDataset("nih", f"{tmp_path}/nih"),
        NamedDataset("mine", f"{tmp_path}/x y"),
        NamedDataset("a:b", f"{tmp_path}/a:b"),
        NamedDataset("more", "sample"),
    ]
    with pytest.raises(UserError, match=r"2 datasets are called 'x'; name them: --dataset NAME:PATH"):
        named_datasets(["one/x", "other/X"])


def test_datasets_come_from_repeated_flags_or_a_list_in_the_file(tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("dataset: [one, 'nih:two, three']\n")
    assert load_settings(Settings, "fetch", ["--config", str(config)]).dataset == ("one", "nih:two, three")
    config.write_text("dataset: one\n")
    assert load_settings(Settings, "fetch", ["--config", str(config)]).dataset == ("one",)
    assert load_settings(Settings, "fetch", ["--dataset", "a,b", "--dataset=c:d"]).dataset == ("a,b", "c:d")


def test_several_datasets_keep_their_names_files_and_patients_apart(
    two: list[str], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = Settings(dataset=tuple(two), data_dir=data)
    report = fetch(wanted)
    assert report.images == 24
    assert describe_dataset(data) == "folder:first + folder:second"
    told = capsys.readouterr().out
    assert "dataset  site  view  N  P\n" in told
    assert "first    a     -     6  6\n" in told
    assert "other    -     -     6  6\n" in told
    assert "other: 12 images name no site; the dataset's name stands for it" in told
    raw = read_raw(data)
    assert Counter(record.dataset for record in raw) == {"first": 12, "other": 12}
    assert {record.original.partition("/")[0] for record in raw} == {"first", "other"}
    assert len({record.path.casefold() for record in raw}) == 24
    split(wanted)
    records = read_manifest(data)
    assert Counter(record.dataset for record in records) == {"first": 12, "other": 12}
    assert len({record.group for record in records}) == 24
    capsys.readouterr()
    assert fetch(Settings(dataset=tuple(two[::-1]), data_dir=data)) == report
    assert "first    a     -     6  6\n" in capsys.readouterr().out  # it says so again


def test_a_run_may_have_datasets_of_one_class_each(tmp_path: Path, data: Path) -> None:
    one, other = radiographs(tmp_path / "one", "N/a.png"), tmp_path / "other"
    radiograph(other / "T/a.png", 7)
    assert fetch(Settings(dataset=(str(one), str(other)), data_dir=data)).classes == {"N": 1, "T": 1}
    with pytest.raises(UserError, match=r"one: only one class, N; a run needs two or more"):
        fetch(settings(one, tmp_path / "more"))


def test_other_datasets_take_the_place_only_when_asked_to(two: list[str], data: Path) -> None:
    fetch(Settings(dataset=(two[0],), data_dir=data))
    with pytest.raises(UserError, match=r"holds folder:first .* and can't take folder:first \+ folder:second too"):
        fetch(Settings(dataset=tuple(two), data_dir=data))
    both = Settings(dataset=tuple(two), data_dir=data, replace=True)
    assert fetch(both).images == 24
    shutil.rmtree(Path(two[0]))
    assert fetch(both).images == 24  # its images are here all the same
    renamed = both.model_copy(update={"dataset": (two[0], two[1].replace("other", "second", 1))})
    with pytest.raises(UserError, match="first: no such folder"):  # another name makes it anew
        fetch(renamed)


def test_a_picture_in_two_datasets_is_one_group_and_counted(
    two: list[str], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = tmp_path / "second/N"
    shutil.copy(tmp_path / "first/N/a0_0.png", second / "exact.png")
    with Image.open(tmp_path / "first/N/a1_0.png") as image:
        image.resize((32, 32), Image.Resampling.NEAREST).save(second / "near.png")
    wanted = Settings(dataset=tuple(two), data_dir=data)
    report = fetch(wanted)
    assert report.shared == {"first and other": 2}
    assert "2 pictures are in first and other; they stay in one split" in capsys.readouterr().out
    split(wanted)
    of = {record.path.rpartition("/")[2]: record for record in read_manifest(data) if record.label == "N"}
    firsts = {r.original: r.path for r in read_raw(data)}
    for name, twin in (("exact.png", "first/N/a0_0.png"), ("near.png", "first/N/a1_0.png")):
        same = of[firsts[twin].rpartition("/")[2]]
        assert (of[name].group, of[name].split) == (same.group, same.split)


def test_a_picture_of_two_classes_in_two_datasets_is_left_out_and_listed(
    two: list[str], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(tmp_path / "first/N/a0_0.png", tmp_path / "second/P/it.png")
    report = fetch(Settings(dataset=tuple(two), data_dir=data))
    assert report.images == 23
    assert set(report.disputed) == {"first/N/a0_0.png", "other/P/it.png"}
    assert report.disputed["other/P/it.png"] == "one picture in two classes: N in first/N/a0_0.png, P in other/P/it.png"
    assert "2 images left out: another dataset gives the same picture another class" in capsys.readouterr().out
    assert report.shared == {}


def test_a_report_of_an_earlier_version_is_read(data: Path) -> None:
    (data / "raw").mkdir(parents=True)
    old = {"dataset": "folder:set", "location": "/x/set", "listing": "f" * 64, "images": 2, "classes": {"N": 1, "T": 1}}
    (data / "raw/fetch_report.json").write_text(json.dumps(old))
    report = read_fetch_report(data)
    assert report is not None
    assert (report.dataset, report.images) == ("folder:set", 2)
    assert report.datasets[0].identity == ("folder:set", "/x/set")


def test_an_external_test_may_have_several_folders(two: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    images = open_datasets(two)
    assert Counter(image.site for image in images) == {"a": 12, "other": 12}
    assert "12 images name no site" in capsys.readouterr().out
