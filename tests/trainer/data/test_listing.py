from pathlib import Path

import pytest

from trainer.data.datasets import open_datasets
from trainer.data.listing import BESIDE_SPLITS, list_folder, read_listing
from trainer.errors import UserError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def test_each_subfolder_is_a_class_and_images_may_lie_deeper(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "normal/a.png",
        "normal/p1/day 2/b.png",
        "Covid 19/c.jpg",
        "normal/.hidden",
        ".git/x",
        "notes.txt",
    )
    touch(tmp_path, "normal/Thumbs.db", "__MACOSX/normal/a.png")
    radiographs = list_folder(tmp_path)
    assert [(radiograph.path, radiograph.label) for radiograph in radiographs] == [
        ("Covid 19/c.jpg", "COVID 19"),
        ("normal/a.png", "NORMAL"),
        ("normal/p1/day 2/b.png", "NORMAL"),
    ]
    assert radiographs[0].file == tmp_path.resolve() / "Covid 19/c.jpg"
    assert {(radiograph.site, radiograph.patient, radiograph.split) for radiograph in radiographs} == {("", "", "")}


@pytest.mark.parametrize("top", ["", "chest_xray/", "a/b/"])
def test_an_official_layout_is_recognised_and_case_merges_across_its_parts(tmp_path: Path, top: str) -> None:
    touch(
        tmp_path,
        f"{top}Train/normal/a.png",
        f"{top}test/NORMAL/a.png",
        f"{top}valid/tb/c.png",
        f"{top}extra/x/y",
    )
    assert [(radiograph.label, radiograph.split) for radiograph in list_folder(tmp_path)] == [
        ("NORMAL", "train"), ("NORMAL", "test"), ("TB", "val"),
    ]  # fmt: skip
    beside = [item.path for item in read_listing(tmp_path).left_out if item.reason == BESIDE_SPLITS]
    assert beside == [f"{top}extra"]


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "store", "a.png")
    touch(tmp_path / "set", "tb/b.png")
    (tmp_path / "set" / "normal").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "loop").symlink_to(tmp_path / "store")
    assert [radiograph.path for radiograph in list_folder(tmp_path / "set")] == ["normal/a.png", "tb/b.png"]


def test_a_manifest_goes_before_folders_and_its_extra_columns_are_ignored(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.png", "x/b.png", "x/unlisted.png")
    (tmp_path / "manifest.csv").write_text(
        "licence,path,label,site,patient,split\nfree,x\\a.png,normal,east,7,Validation\n,./x/b.png,tb,,,\n"
    )
    radiographs = list_folder(tmp_path)
    assert [(f.path, f.label, f.site, f.patient, f.split) for f in radiographs] == [
        ("x/a.png", "NORMAL", "east", "7", "val"),
        ("x/b.png", "TB", "", "", ""),
    ]


def test_the_column_source_of_older_manifests_is_the_site(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.png", "x/b.png")
    (tmp_path / "manifest.csv").write_text("path,label,source\nx/a.png,n,east\nx/b.png,t,west\n")
    assert [radiograph.site for radiograph in list_folder(tmp_path)] == ["east", "west"]


def test_every_image_of_an_opened_dataset_has_a_patient(tmp_path: Path) -> None:
    touch(tmp_path, "n/IM-0115-0001.png", "n/p3_1.png", "t/x.png", "t/y.png")
    (tmp_path / "manifest.csv").write_text(
        "path,label,patient\nn/IM-0115-0001.png,n,\nn/p3_1.png,n,\nt/x.png,t,\nt/y.png,t,7\n"
    )
    assert [radiograph.patient for radiograph in open_datasets([str(tmp_path)], r"^(p\d+)_")] == [
        "IM-0115",
        "p3",
        "t/x.png",
        "7",
    ]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "no image in it"),
        (["a.png"], "no image in it"),
        (["normal/a.png"], "only one class, NORMAL"),
        (["normal/p1/a.png", "normal/p2/a.png"], "only one class, NORMAL"),
        (["train/normal/a.png", "test/normal/a.png"], "only one class"),
        (["normal/a.png", "Normal/b.png", "tb/c.png"], "classes Normal and normal differ in case only"),
        (["a\x07b/a.png", "tb/c.png"], "unprintable"),
    ],
)
def test_a_folder_that_is_no_data_set_says_why(tmp_path: Path, names: list[str], says: str) -> None:
    touch(tmp_path, *names)
    with pytest.raises(UserError, match=says):
        list_folder(tmp_path)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("path\nx/a.png\n", "column 'label'"),
        ("path,label\n", "lists no image"),
        ("path,label\nx/a.png,n\nx/c.png,t\nx/d.png,t\n", r"line 3: x/c.png does not exist \(2 such rows\)"),
        ("path,label\n../x/a.png,n\n", "line 2: path '../x/a.png' does not lie inside"),
        ("path,label\n/etc/passwd,n\n", "does not lie inside"),
        ("path,label\nC:\\x\\a.png,n\n", "does not lie inside"),
        ("path,label\n,n\n", "line 2: path '' does not"),
        ("path,label\nx/a.png,n\nx/./a.png,t\n", "line 3: x/a.png is listed twice"),
        ("path,label,split\nx/a.png,n,later\n", "line 2: split 'later' is none of train, val and test"),
        ("path,label\nx/a.png,\n", "label '' can't be the name of a folder"),
        ("path,label\nx/a.png,a/b\n", "label 'a/b' can't"),
        ("path,label\nx/a.png,..\n", "label '..' can't"),
        ("path,label\nx/a.png,n\nx/b.png,N\n", "N and n differ in case only"),
        ("path,label\nx/a.png,n\nx/b.png,n\n", "only one class"),
    ],
)
def test_a_manifest_that_cannot_be_used_says_where(tmp_path: Path, rows: str, says: str) -> None:
    touch(tmp_path, "x/a.png", "x/b.png")
    (tmp_path / "manifest.csv").write_text(rows)
    with pytest.raises(UserError, match=says) as caught:
        list_folder(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_path_that_is_no_folder(tmp_path: Path) -> None:
    touch(tmp_path, "file.zip")
    with pytest.raises(UserError, match="no such folder"):
        list_folder(tmp_path / "nowhere")
    with pytest.raises(UserError, match="a file; give the folder"):
        list_folder(tmp_path / "file.zip")
