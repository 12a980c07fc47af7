import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import uid

from bento.imaging.errors import ImageError
from bento.imaging.intake import load_array, take_in
from bento.imaging.preprocessing import Preprocessing
from tests.support import pictures
from tests.support.datasets import contents, radiograph, radiographs, settings
from tests.support.dicoms import SECRET, dicom
from trainer.data.fetch import describe_dataset, fetch
from trainer.data.fetch_report import RAW
from trainer.data.raw import read_raw
from trainer.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return radiographs(tmp_path / "set", "normal/a.png", "normal/b.png", "tb/a.png", "tb/deep/c.png")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_copies_do_where_links_are_not_possible(folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    fetch(settings(folder, data))
    assert (data / "raw/TB/c.png").read_bytes() == (folder / "tb/deep/c.png").read_bytes()
    assert not (data / "raw/TB/c.png").samefile(folder / "tb/deep/c.png")


def test_images_that_do_not_decode_are_listed_and_left_out(
    folder: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (folder / "tb/a.png").read_bytes()
    (folder / "tb/cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "tb/empty.png").write_bytes(b"")
    (folder / "normal/notes.txt").write_text("no image")
    Path(os.fsdecode(os.fsencode(folder / "tb") + b"/\xff.png")).write_bytes(whole)
    report = fetch(settings(folder, data))
    assert report.images == 4
    assert {name.encode("ascii", "replace"): reason for name, reason in report.unreadable.items()} == {
        b"normal/notes.txt": "not an image in an accepted format (JPEG, PNG, DICOM)",
        b"tb/cut.png": "the image is truncated or damaged",
        b"tb/empty.png": "the file is empty",
        b"tb/\\udcff.png": "the file's name is not UTF-8 or has control characters",
    }
    assert len(json.loads((data / "raw/fetch_report.json").read_text())["unreadable"]) == 4
    assert "4 unreadable files left out" in capsys.readouterr().out


def test_dicom_images_become_pictures_without_a_header(
    folder: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = pictures.radiograph().astype(np.uint16) * 16
    (folder / "tb/image.dcm").write_bytes(dicom(deep, bits=12, PhotometricInterpretation="MONOCHROME1"))
    (folder / "tb/FILM2.DICOM").write_bytes(dicom(deep // 2, uid.JPEGLSLossless, Modality="OT"))
    (folder / "tb/ct.dcm").write_bytes(dicom(deep, Modality="CT"))
    (folder / "tb/cut.dcm").write_bytes(dicom(deep)[:5000])
    report = fetch(settings(folder, data))
    assert report.classes == {"NORMAL": 2, "TB": 4}
    assert report.unreadable.keys() == {"tb/ct.dcm", "tb/cut.dcm"}
    assert list(report.input_warnings) == ["tb/FILM2.DICOM"]
    assert "1 images with input warnings" in capsys.readouterr().out
    spec = Preprocessing(image_size=64, crop="anatomy", contrast="clahe")
    for name in ("image.dcm", "FILM2.DICOM"):
        picture = data / f"raw/TB/{name}.png"
        np.testing.assert_array_equal(load_array(picture, spec), load_array(folder / "tb" / name, spec))
    assert not [name for name, content in contents(data).items() if SECRET.encode() in content]
    assert sorted(entry.name for entry in data.iterdir()) == [RAW]
    assert fetch(settings(folder, data)) == report


def test_every_kind_of_file_is_taken_refused_and_warned_of_as_the_service_does(folder: Path, data: Path) -> None:
    spec = Preprocessing(image_size=64)
    files = {f"tb/{number:02}.dat": content for number, content in enumerate(pictures.GOOD.values())}
    files |= {f"normal/{number:02}.dat": content for number, (content, _) in enumerate(pictures.BAD.values())}
    refused, warned, taken = {}, {}, {}
    for name, content in files.items():
        (folder / name).write_bytes(content)
        try:
            taken[name] = take_in(content, spec)
        except ImageError as error:
            refused[name] = str(error)
            continue
        if sentences := tuple(warning.text for warning in taken[name].warnings):
            warned[name] = sentences
    report = fetch(settings(folder, data))
    assert len(files) > 40
    assert report.unreadable == refused
    assert report.input_warnings == warned
    paths = {raw.original: data / raw.path for raw in read_raw(data)}
    for name, intake in taken.items():
        np.testing.assert_array_equal(load_array(paths[name], spec), intake.image)


def test_a_class_without_a_readable_image_ends_it_and_leaves_no_dataset(folder: Path, data: Path) -> None:
    for file in (folder / "tb").rglob("*.png"):
        file.write_bytes(b"broken")
    with pytest.raises(UserError, match=r"class TB: no readable image, e.g. tb/a.png: not an image"):
        fetch(settings(folder, data))
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


def test_duplicates_are_counted_and_those_in_two_classes_named(folder: Path, data: Path) -> None:
    (folder / "normal/same.png").write_bytes((folder / "normal/a.png").read_bytes())
    (folder / "tb/also.png").write_bytes((folder / "normal/a.png").read_bytes())
    report = fetch(settings(folder, data))
    assert report.images == 6
    assert report.duplicates == 2
    assert report.conflicts == [["normal/a.png", "normal/same.png", "tb/also.png"]]


def test_a_damaged_report_says_what_to_do(folder: Path, data: Path) -> None:
    fetch(settings(folder, data))
    (data / "raw/fetch_report.json").write_text("{")
    with pytest.raises(UserError, match=r"damaged; remove .*raw"):
        fetch(settings(folder, data))


def test_asking_before_fetching_says_so(data: Path) -> None:
    for ask in (describe_dataset, read_raw):
        with pytest.raises(UserError, match="run `python -m trainer fetch` first"):
            ask(data)


def test_a_phones_multi_picture_jpeg_and_a_jfif_become_files_that_imagefolder_knows(folder: Path, data: Path) -> None:
    pair = [Image.new("L", (20, 20), grey) for grey in (40, 90)]
    for grey, name in ((0, "phone.jpg"), (10, "phone.mpo"), (20, "scan")):
        pair[0].paste(grey, (3, 3, 9, 9))
        pair[0].save(folder / "tb" / name, "MPO", save_all=True, append_images=pair[1:])
    radiograph(folder / "tb/page.jfif", 9, kind="JPEG")
    report = fetch(settings(folder, data))
    assert not report.unreadable
    names = {raw.original: raw.path for raw in read_raw(data)}
    assert names["tb/phone.jpg"] == "raw/TB/phone.jpg"
    assert names["tb/phone.mpo"] == "raw/TB/phone.mpo.jpg"
    assert names["tb/scan"] == "raw/TB/scan.jpg"
    assert names["tb/page.jfif"] == "raw/TB/page.jfif.jpg"


def test_a_name_that_leaves_no_room_for_a_suffix_is_cut(folder: Path, data: Path) -> None:
    radiograph(folder / "tb" / ("\u00e9" * 127), 9)
    fetch(settings(folder, data))
    (name,) = [raw.path for raw in read_raw(data) if "\u00e9" in raw.path]
    assert len(Path(name).name.encode()) <= 255
    assert (data / name).is_file()


def test_a_full_disk_ends_it_with_the_files_name_and_makes_no_image_unreadable(
    folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "tb/image.dcm").write_bytes(dicom(pictures.radiograph()))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(UserError, match=r"\.converted/\w+\.png: No space left on device; fetch can be run again"):
        fetch(settings(folder, data))
    assert not data.exists()


def test_an_image_lost_from_what_an_earlier_version_fetched_is_fetched_again(folder: Path, data: Path) -> None:
    fetch(settings(folder, data))
    before = contents(data)
    table = data / "raw/manifest.csv"
    table.write_text("\n".join(line.rpartition(",")[0] for line in table.read_text().splitlines()) + "\n")
    (data / "raw/TB/c.png").unlink()
    fetch(settings(folder, data))
    assert contents(data) == before


def test_blanks_around_a_files_name_belong_to_it(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for number, label in enumerate("NT"):
        radiograph(root / label / "good.png", number)
    radiograph(root / "N" / " a.png ", 7)
    fetch(settings(root, tmp_path / "data"))
    assert {record.original for record in read_raw(tmp_path / "data")} == {"N/ a.png ", "N/good.png", "T/good.png"}
