import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import uid

from bento.imaging.intake import load_array
from bento.imaging.preprocessing import Preprocessing
from tests.support import kaggle_standin, pictures
from tests.support.dicoms import SECRET, dicom
from trainer.data.fetch import describe_dataset, fetch
from trainer.data.listing import list_folder
from trainer.data.raw import RAW, read_raw
from trainer.errors import UserError
from trainer.settings import Settings


def radiograph(path: Path, seed: int, *, kind: str = "PNG") -> Path:
    """Write a small image of noise, which no other seed gives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (16, 16), dtype=np.uint8)
    Image.fromarray(pixels).save(path, kind)
    return path


def radiographs(root: Path, *names: str) -> Path:
    for seed, name in enumerate(names):
        radiograph(root / name, seed)
    return root


def tree(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Content, inode and time of every file: equal trees mean that nothing was written."""
    return {
        file.relative_to(folder).as_posix(): (file.read_bytes(), file.stat().st_ino, file.stat().st_mtime_ns)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {name: content for name, (content, _, _) in tree(folder).items()}


def settings(source: Path | str, data: Path, **more: object) -> Settings:
    return Settings.model_validate({"dataset": str(source), "data_dir": data, **more})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return radiographs(tmp_path / "set", "normal/a.png", "normal/b.png", "tb/a.png", "tb/deep/c.png")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_folder_comes_as_hard_links_in_upper_case_classes_with_its_provenance(source: Path, data: Path) -> None:
    report = fetch(settings(source, data))
    assert report.classes == {"NORMAL": 2, "TB": 2}
    assert (data / "raw/TB/c.png").samefile(source / "tb/deep/c.png")
    assert [(raw.path, raw.label, raw.original) for raw in read_raw(data)] == [
        ("raw/NORMAL/a.png", "NORMAL", "normal/a.png"),
        ("raw/NORMAL/b.png", "NORMAL", "normal/b.png"),
        ("raw/TB/a.png", "TB", "tb/a.png"),
        ("raw/TB/c.png", "TB", "tb/deep/c.png"),
    ]
    assert describe_dataset(data) == "folder:set"
    assert [entry.name for entry in data.iterdir()] == [RAW]


def test_copies_do_where_links_are_not_possible(source: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    fetch(settings(source, data))
    assert (data / "raw/TB/c.png").read_bytes() == (source / "tb/deep/c.png").read_bytes()
    assert not (data / "raw/TB/c.png").samefile(source / "tb/deep/c.png")


def test_a_second_fetch_changes_nothing_even_when_the_site_is_gone(
    source: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = fetch(settings(source, data))
    before = tree(data)
    assert fetch(settings(source, data)) == first
    source.rename(source.with_name("elsewhere"))
    assert fetch(settings(source, data)) == first
    assert tree(data) == before
    assert capsys.readouterr().out.count("has the 4 images of folder:set already") == 2


def test_images_that_do_not_decode_are_listed_and_left_out(
    source: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (source / "tb/a.png").read_bytes()
    (source / "tb/cut.png").write_bytes(whole[: len(whole) // 2])
    (source / "tb/empty.png").write_bytes(b"")
    (source / "normal/notes.txt").write_text("no image")
    Path(os.fsdecode(os.fsencode(source / "tb") + b"/\xff.png")).write_bytes(whole)
    report = fetch(settings(source, data))
    assert report.images == 4
    assert {name.encode("ascii", "replace"): reason for name, reason in report.unreadable.items()} == {
        b"normal/notes.txt": "not an image in an accepted format (JPEG, PNG, DICOM)",
        b"tb/cut.png": "the image is truncated or damaged",
        b"tb/empty.png": "the file is empty",
        b"tb/?.png": "the file's name is not UTF-8 or has control characters",
    }
    assert len(json.loads((data / "raw/fetch_report.json").read_text())["unreadable"]) == 4
    assert "4 unreadable files left out" in capsys.readouterr().out


def test_dicom_images_become_pictures_without_a_header(
    source: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = pictures.radiograph().astype(np.uint16) * 16
    (source / "tb/image.dcm").write_bytes(dicom(deep, bits=12, PhotometricInterpretation="MONOCHROME1"))
    (source / "tb/FILM2.DICOM").write_bytes(dicom(deep // 2, uid.JPEGLSLossless, Modality="OT"))
    (source / "tb/ct.dcm").write_bytes(dicom(deep, Modality="CT"))
    (source / "tb/cut.dcm").write_bytes(dicom(deep)[:5000])
    report = fetch(settings(source, data))
    assert report.classes == {"NORMAL": 2, "TB": 4}
    assert report.unreadable.keys() == {"tb/ct.dcm", "tb/cut.dcm"}
    assert list(report.doubtful) == ["tb/FILM2.DICOM"]
    assert "1 images that their DICOM header leaves in doubt" in capsys.readouterr().out
    spec = Preprocessing(image_size=64, crop="anatomy", contrast="clahe")
    for name in ("image.dcm", "FILM2.DICOM"):
        picture = data / f"raw/TB/{name}.png"
        np.testing.assert_array_equal(load_array(picture, spec), load_array(source / "tb" / name, spec))
    assert not [name for name, content in contents(data).items() if SECRET.encode() in content]
    assert sorted(entry.name for entry in data.iterdir()) == [RAW]
    assert fetch(settings(source, data)) == report


def test_a_class_without_a_readable_image_ends_it_and_leaves_no_data_set(source: Path, data: Path) -> None:
    for file in (source / "tb").rglob("*.png"):
        file.write_bytes(b"broken")
    with pytest.raises(UserError, match=r"class TB: no readable image, e.g. tb/a.png: not an image"):
        fetch(settings(source, data))
    assert not (data / RAW).exists()


def test_images_of_one_name_get_distinct_names_and_suffixes_that_imagefolder_knows(tmp_path: Path, data: Path) -> None:
    root = radiographs(
        tmp_path / "set", "train/n/x.png", "test/N/x.png", "test/N/X.PNG", "train/t/z.png", "test/t/y.png"
    )
    radiograph(root / "train/t/plain", 7)
    radiograph(root / "train/t/scan.dat", 8, kind="JPEG")
    fetch(settings(root, data))
    names = {raw.original: raw.path for raw in read_raw(data)}
    assert names["train/t/plain"] == "raw/T/plain.png"
    assert names["train/t/scan.dat"] == "raw/T/scan.dat.jpg"
    same = [names["train/n/x.png"], names["test/N/x.png"], names["test/N/X.PNG"]]
    assert len({name.casefold() for name in same}) == 3
    assert all((data / name).read_bytes() == (root / original).read_bytes() for original, name in names.items())
    fetch(settings(root, tmp_path / "again"))
    assert contents(tmp_path / "again") == contents(data)


def test_duplicates_are_counted_and_those_in_two_classes_named(source: Path, data: Path) -> None:
    (source / "normal/same.png").write_bytes((source / "normal/a.png").read_bytes())
    (source / "tb/also.png").write_bytes((source / "normal/a.png").read_bytes())
    report = fetch(settings(source, data))
    assert report.images == 6
    assert report.duplicates == 2
    assert report.conflicts == [["normal/a.png", "normal/same.png", "tb/also.png"]]


def test_two_data_sets_are_never_mixed(source: Path, data: Path, tmp_path: Path) -> None:
    other = radiographs(tmp_path / "other", "x/a.png", "y/b.png")
    fetch(settings(source, data))
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


def test_the_old_set_stays_until_the_new_one_is_ready(source: Path, data: Path, tmp_path: Path) -> None:
    fetch(settings(source, data))
    before = tree(data / RAW)
    broken = radiographs(tmp_path / "broken", "x/a.png", "y/b.png")
    (broken / "y/b.png").write_bytes(b"broken")
    with pytest.raises(UserError, match="class Y"):
        fetch(settings(broken, data, replace=True))
    assert tree(data / RAW) == before


def test_a_site_that_has_changed_is_noticed(source: Path, data: Path) -> None:
    fetch(settings(source, data))
    radiograph(source / "tb/new.png", 99)
    with pytest.raises(UserError, match="its list of images has changed"):
        fetch(settings(source, data))
    assert fetch(settings(source, data, replace=True)).classes == {"NORMAL": 2, "TB": 3}


def test_an_image_lost_from_raw_is_fetched_again(source: Path, data: Path) -> None:
    fetch(settings(source, data))
    before = contents(data)
    (data / "raw/TB/c.png").unlink()
    fetch(settings(source, data))
    assert contents(data) == before


def test_what_no_fetch_has_made_is_not_touched(source: Path, data: Path) -> None:
    radiograph(data / "train/normal/mine.png", 1)
    with pytest.raises(UserError, match="train: was not made by fetch"):
        fetch(settings(source, data, replace=True))
    assert (data / "train/normal/mine.png").is_file()


@pytest.mark.parametrize(("dataset", "data_dir"), [("set", "set"), ("set", "set/data"), ("set/raw", "set")])
def test_a_data_set_and_the_data_folder_lie_apart(source: Path, dataset: str, data_dir: str) -> None:
    with pytest.raises(UserError, match="lie one in the other"):
        fetch(settings(source.parent / dataset, source.parent / data_dir))


def test_a_data_folder_that_cannot_be_made_is_one_line(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file.*fetch can be run again"):
        fetch(settings(source, tmp_path / "file"))


def test_a_damaged_report_says_what_to_do(source: Path, data: Path) -> None:
    fetch(settings(source, data))
    (data / "raw/fetch_report.json").write_text("{")
    with pytest.raises(UserError, match=r"damaged; remove .*raw"):
        fetch(settings(source, data))


def test_asking_before_fetching_says_so(data: Path) -> None:
    for ask in (describe_dataset, read_raw):
        with pytest.raises(UserError, match="run `python -m trainer fetch` first"):
            ask(data)


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
    assert describe_dataset(data) == "sample:images=30,size=64,hospitals=2,seed=5,confounded=false"
    assert all(raw.patient and raw.site for raw in read_raw(data))
    assert [entry.name for entry in data.iterdir()] == [RAW]
    with pytest.raises(UserError, match=r"holds sample:.*seed=5.* and can't take sample:.*seed=6"):
        fetch(settings("sample", data, sample_images=30, sample_size=64, sample_hospitals=2, seed=6))


def test_killed_at_any_time_and_run_again_it_ends_the_same(tmp_path: Path) -> None:
    source = radiographs(tmp_path / "set", *(f"{label}/{number}.png" for label in ("n", "t") for number in range(300)))
    fetch(settings(source, tmp_path / "whole"))
    program = "import sys; from trainer.settings import Settings; from trainer.data.fetch import fetch;\n"
    program += "print('ready', flush=True); fetch(Settings(dataset=sys.argv[1], data_dir=sys.argv[2]))"
    data = tmp_path / "data"
    killed = 0
    for delay in (0.03, 0.1, 0.2):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(source), str(data)],
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
    fetch(settings(source, data))
    assert contents(data) == contents(tmp_path / "whole")
