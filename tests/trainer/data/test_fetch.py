import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import kaggle_standin
from tests.support.datasets import contents, radiograph, radiographs, settings, tree
from trainer.data.fetch import describe_dataset, fetch
from trainer.data.fetch_report import RAW
from trainer.data.listing import list_folder
from trainer.data.raw import read_raw
from trainer.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return radiographs(tmp_path / "set", "normal/a.png", "normal/b.png", "tb/a.png", "tb/deep/c.png")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_folder_comes_as_hard_links_in_upper_case_classes_with_its_provenance(folder: Path, data: Path) -> None:
    report = fetch(settings(folder, data))
    assert report.classes == {"NORMAL": 2, "TB": 2}
    assert (data / "raw/TB/c.png").samefile(folder / "tb/deep/c.png")
    assert [(raw.path, raw.label, raw.original) for raw in read_raw(data)] == [
        ("raw/NORMAL/a.png", "NORMAL", "normal/a.png"),
        ("raw/NORMAL/b.png", "NORMAL", "normal/b.png"),
        ("raw/TB/a.png", "TB", "tb/a.png"),
        ("raw/TB/c.png", "TB", "tb/deep/c.png"),
    ]
    assert describe_dataset(data) == "folder:set"
    assert [entry.name for entry in data.iterdir()] == [RAW]


def test_a_second_fetch_changes_nothing_even_when_the_folder_is_gone(
    folder: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = fetch(settings(folder, data))
    before = tree(data)
    assert fetch(settings(folder, data)) == first
    folder.rename(folder.with_name("elsewhere"))
    assert fetch(settings(folder, data)) == first
    assert tree(data) == before
    assert capsys.readouterr().out.count("has the 4 images of folder:set already") == 2


def test_two_datasets_are_never_mixed(folder: Path, data: Path, tmp_path: Path) -> None:
    other = radiographs(tmp_path / "other", "x/a.png", "y/b.png")
    fetch(settings(folder, data))
    before = tree(data)
    with pytest.raises(UserError, match=r"holds folder:set .*another --data-dir, or --replace"):
        fetch(settings(other, data))
    assert tree(data) == before
    for name in ("train", "val", "test", "cache"):
        (data / name).mkdir()
    (data / "manifest.csv").write_text("of the old set")
    fetch(settings(other, data, replace=True))
    assert sorted(entry.name for entry in (data / RAW).iterdir() if entry.is_dir()) == ["X", "Y"]
    # The old set's split goes with it; what is not ours stays.
    assert sorted(entry.name for entry in data.iterdir()) == ["cache", RAW]


def test_the_old_set_stays_until_the_new_one_is_ready(folder: Path, data: Path, tmp_path: Path) -> None:
    fetch(settings(folder, data))
    before = tree(data / RAW)
    broken = radiographs(tmp_path / "broken", "x/a.png", "y/b.png")
    (broken / "y/b.png").write_bytes(b"broken")
    with pytest.raises(UserError, match="class Y"):
        fetch(settings(broken, data, replace=True))
    assert tree(data / RAW) == before


def test_a_folder_that_has_changed_is_noticed(folder: Path, data: Path) -> None:
    fetch(settings(folder, data))
    radiograph(folder / "tb/new.png", 99)
    with pytest.raises(UserError, match="its list of images has changed"):
        fetch(settings(folder, data))
    assert fetch(settings(folder, data, replace=True)).classes == {"NORMAL": 2, "TB": 3}


def test_an_image_lost_from_raw_is_fetched_again(folder: Path, data: Path) -> None:
    fetch(settings(folder, data))
    before = contents(data)
    (data / "raw/TB/c.png").unlink()
    fetch(settings(folder, data))
    assert contents(data) == before


def test_what_no_fetch_has_made_is_not_touched(folder: Path, data: Path) -> None:
    radiograph(data / "train/normal/mine.png", 1)
    with pytest.raises(UserError, match="train: was not made by fetch"):
        fetch(settings(folder, data, replace=True))
    assert (data / "train/normal/mine.png").is_file()


@pytest.mark.parametrize(("dataset", "data_dir"), [("set", "set"), ("set", "set/data"), ("set/raw", "set")])
def test_a_dataset_and_the_data_folder_lie_apart(folder: Path, dataset: str, data_dir: str) -> None:
    with pytest.raises(UserError, match="lie one in the other"):
        fetch(settings(folder.parent / dataset, folder.parent / data_dir))


def test_a_data_folder_that_cannot_be_made_is_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file.*fetch can be run again"):
        fetch(settings(folder, tmp_path / "file"))


def test_the_kaggle_layout_with_its_official_split(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kaggle_standin.use_standin(monkeypatch, tmp_path)
    root = radiographs(
        tmp_path / "zip",
        *(f"chest/{s}/{c}/{c}-1.png" for s in ("train", "val", "test") for c in ("normal", "tb")),
    )
    archive = kaggle_standin.zipped({entry.path: entry.file.read_bytes() for entry in list_folder(root)})
    wanted = settings("kaggle", data, kaggle_handle="owner/images")
    with kaggle_standin.serve(archive):
        report = fetch(wanted)
    assert report.classes == {"NORMAL": 3, "TB": 3}
    assert [(raw.original, raw.split) for raw in read_raw(data)][:2] == [
        ("chest/test/normal/normal-1.png", "test"),
        ("chest/test/tb/tb-1.png", "test"),
    ]
    assert describe_dataset(data) == "kaggle:owner/images"
    assert fetch(wanted) == report  # without a server: nothing is asked of Kaggle


def test_the_sample_set_is_named_by_what_made_it(data: Path) -> None:
    wanted = settings("sample", data, sample_images=30, sample_size=64, sample_hospitals=2, seed=5)
    report = fetch(wanted)
    assert report.images == 30
    assert report.licences == {"generated by this program, free of rights": 30}
    assert describe_dataset(data) == "sample:images=30,size=64,hospitals=2,seed=5,confounded=false"
    assert all(raw.patient and raw.site for raw in read_raw(data))
    assert [entry.name for entry in data.iterdir()] == [RAW]
    with pytest.raises(UserError, match=r"holds sample:.*seed=5.* and can't take sample:.*seed=6"):
        fetch(settings("sample", data, sample_images=30, sample_size=64, sample_hospitals=2, seed=6))


def test_killed_at_any_time_and_run_again_it_ends_the_same(tmp_path: Path) -> None:
    folder = radiographs(tmp_path / "set", *(f"{label}/{number}.png" for label in ("n", "t") for number in range(300)))
    fetch(settings(folder, tmp_path / "whole"))
    program = "import sys; from trainer.settings import Settings; from trainer.data.fetch import fetch;\n"
    program += "print('ready', flush=True); fetch(Settings(dataset=sys.argv[1], data_dir=sys.argv[2]))"
    data = tmp_path / "data"
    killed = 0
    for delay in (0.03, 0.1, 0.2):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(folder), str(data)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        process.stdout.close()
        # Complete or not there.
        assert not (data / RAW).exists() or contents(data / RAW) == contents(tmp_path / "whole/raw")
    assert killed
    fetch(settings(folder, data))
    assert contents(data) == contents(tmp_path / "whole")
