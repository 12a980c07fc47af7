"""What is no image of a dataset is left out, counted and said: thumbnails of network drives, masks, hidden files."""

import shutil
from pathlib import Path

import pytest

from tests.support.datasets import radiograph, radiographs, settings
from trainer.data.fetch import fetch
from trainer.data.fetch_report import read_fetch_report
from trainer.data.folder import ANNOTATIONS, HOUSEKEEPING, NO_FILE, LeftOut, files_under
from trainer.data.housekeeping import is_annotation, is_name
from trainer.data.listing import BESIDE_CLASSES, list_folder, read_listing
from trainer.errors import UserError

HOUSEKEEPING_FILES = (
    "@eaDir/a.png/SYNOPHOTO_THUMB_S.jpg", "#recycle/a.png", ".@__thumb/defaulta.png", "$RECYCLE.BIN/$R1.png",
    "System Volume Information/x.png", "lost+found/#1234", "__MACOSX/._a.png", ".AppleDouble/a.png", "._a.png",
    "Thumbs.db", "ehthumbs.db", ".DS_Store", "desktop.ini", ".ipynb_checkpoints/a-checkpoint.png", ".git/x.png",
    "~$a.png", ".Trash-1000/files/a.png", "Network Trash Folder/a.png", "@Recently-Snapshot/a.png", "@Recycle/a.png",
    ".snapshot/a.png", "~snapshot/a.png", "thumbnails/a.png", "a.png@SynoEAStream", "a.png:Zone.Identifier",
)  # fmt: skip
ANNOTATION_FOLDERS = (
    "masks", "mask", "labels", "annotations", "segmentations", "heatmaps", "Lung_Masks", "leftMask", "ground truth",
)  # fmt: skip


@pytest.mark.parametrize("place", ["", "NORMAL/", "NORMAL/deep/"])
@pytest.mark.parametrize("name", HOUSEKEEPING_FILES)
def test_housekeeping_of_drives_desktops_and_archives_is_no_data(tmp_path: Path, name: str, place: str) -> None:
    radiographs(tmp_path, "NORMAL/a.png", "TB/b.png")
    radiograph(tmp_path / "copy.png", 7)
    (tmp_path / place / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "copy.png").rename(tmp_path / place / name)
    listing = read_listing(tmp_path)
    assert [image.path for image in listing.radiographs] == ["NORMAL/a.png", "TB/b.png"]
    assert [(item.reason, item.files) for item in listing.left_out] == [(HOUSEKEEPING, 1)]


def test_a_network_drives_thumbnails_are_counted_aloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"{label}/{number}.png" for label in ("NORMAL", "TB") for number in range(20)]
    folder = radiographs(tmp_path / "set", *names)
    for name in names:
        thumbnails = (folder / name).parent / "@eaDir" / Path(name).name
        thumbnails.mkdir(parents=True)
        for size in "SMX":
            shutil.copy(folder / name, thumbnails / f"SYNOPHOTO_THUMB_{size}.jpg")
    assert fetch(settings(folder, tmp_path / "data")).images == 40
    assert f"120 files {HOUSEKEEPING} left out, e.g. NORMAL/@eaDir" in capsys.readouterr().out
    report = read_fetch_report(tmp_path / "data")
    assert report is not None
    assert report.left_out == {f"{label}/@eaDir": f"60 files {HOUSEKEEPING}" for label in ("NORMAL", "TB")}


@pytest.mark.parametrize("name", ANNOTATION_FOLDERS)
def test_masks_are_no_images_and_said(tmp_path: Path, name: str) -> None:
    radiographs(
        tmp_path, "COVID/images/a.png", f"COVID/{name}/a.png", "TB/images/b.png", f"TB/{name}/b.png", f"{name}/x.png"
    )
    listing = read_listing(tmp_path)
    assert [image.path for image in listing.radiographs] == ["COVID/images/a.png", "TB/images/b.png"]
    assert [(item.reason, item.files) for item in listing.left_out] == [(ANNOTATIONS, 1)] * 3


def test_what_is_not_called_a_mask_is_an_image() -> None:
    assert not any(map(is_annotation, ("images", "masked", "unlabeled", "NORMAL", "p1", "segment 3", "day 2")))


def test_a_file_beside_the_classes_is_said(tmp_path: Path) -> None:
    radiographs(tmp_path, "NORMAL/a.png", "TB/b.png", "loose.png")
    assert read_listing(tmp_path).lines() == [f"1 files {BESIDE_CLASSES} left out, e.g. loose.png"]


def test_links_to_nothing_are_listed(tmp_path: Path) -> None:
    radiographs(tmp_path, "NORMAL/a.png", "TB/b.png")
    (tmp_path / "TB/gone.png").symlink_to(tmp_path / "nowhere.png")
    assert read_listing(tmp_path).left_out == [LeftOut("TB/gone.png", NO_FILE)]


def test_names_and_suffixes_decide_nothing(tmp_path: Path) -> None:
    names = ["IM000001", "a.jfif", "b.dat", "c.png.bak"]
    assert [file.name for file in files_under(radiographs(tmp_path, *names)).files] == sorted(names)


@pytest.mark.parametrize("top", ["", "train/"])
def test_an_empty_class_folder_is_an_error(tmp_path: Path, top: str) -> None:
    radiographs(tmp_path, f"{top}NORMAL/a.png", f"{top}TB/b.png")
    (tmp_path / top / "PNEUMONIA").mkdir()
    (tmp_path / top / "PNEUMONIA/@eaDir").mkdir()
    with pytest.raises(
        UserError, match=r"class PNEUMONIA: no image in its folder .*PNEUMONIA; fill the folder or remove"
    ):
        list_folder(tmp_path)


def test_a_class_that_only_one_part_lacks_is_said(tmp_path: Path) -> None:
    radiographs(tmp_path, "train/N/a.png", "train/T/b.png", "test/N/c.png")
    (tmp_path / "test/T").mkdir()
    assert read_listing(tmp_path).notes == ["no image in test/T"]


@pytest.mark.parametrize("character", ["\u202f", "\u00a0", "\u200c", "\u3000", "\u2028"])
def test_any_character_but_control_characters_may_be_in_a_name(tmp_path: Path, character: str) -> None:
    folder = radiographs(tmp_path / "set", f"NOR{character}MAL/10.41{character}AM.png", "TB/b.png")
    report = fetch(settings(folder, tmp_path / "data"))
    assert report.classes == {f"NOR{character}MAL": 1, "TB": 1}
    assert not report.unreadable


@pytest.mark.parametrize(
    ("text", "good"), [("a\u202fb", True), ("肺", True), ("a\tb", False), ("a\x85b", False), ("\udcff", False)]
)
def test_control_characters_and_surrogates_are_no_names(text: str, good: bool) -> None:
    assert is_name(text) is good


def test_class_folders_that_differ_in_normalisation_only_are_one_class(tmp_path: Path) -> None:
    radiographs(tmp_path, "Pneumonie\u0301/a.png", "Pneumoni\u00e9/b.png", "Norm/c.png")
    assert {image.label for image in list_folder(tmp_path)} == {"PNEUMONI\u00c9", "NORM"}
