from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import downloads
from tests.support.datasets import radiographs, settings
from trainer.data.adapters import LAYOUTS
from trainer.data.adapters.layout import MISSING, OTHER, SEVERAL, UNCERTAIN, UNLABELLED, UNLISTED
from trainer.data.adapters.tbx11k import EXTRA
from trainer.data.fetch import fetch
from trainer.data.folder import ANNOTATIONS, NOT_FRONTAL, Listing
from trainer.data.listing import list_images
from trainer.data.raw import read_raw
from trainer.errors import UserError
from trainer.settings import Settings
from trainer.tables import read_table

N, P, T = "NORMAL", "PNEUMONIA", "TUBERCULOSIS"


def known(listing: Listing) -> list[tuple[str, ...]]:
    """Name, class, site, patient, view and split of each image."""
    return [
        (image.path.rpartition("/")[2], image.label, image.site, image.patient, image.view, image.split)
        for image in listing.radiographs
    ]


def left_out(listing: Listing) -> dict[str, int]:
    return {item.reason: item.files for item in listing.left_out}


def test_shenzhen(tmp_path: Path) -> None:
    listing = list_images(downloads.shenzhen(tmp_path))
    assert listing.layout == "NLM Shenzhen"
    assert listing.radiographs[0].path == "ChinaSet_AllFiles/CXR_png/CHNCXR_0001_0.png"
    assert known(listing) == [
        ("CHNCXR_0001_0.png", N, "shenzhen", "CHNCXR_0001", "PA", ""),
        ("CHNCXR_0327_1.png", T, "shenzhen", "CHNCXR_0327", "PA", ""),
    ]
    assert not listing.left_out


def test_montgomery(tmp_path: Path) -> None:
    listing = list_images(downloads.montgomery(tmp_path))
    assert listing.layout == "NLM Montgomery"
    assert known(listing) == [
        ("MCUCXR_0001_0.png", N, "montgomery", "MCUCXR_0001", "PA", ""),
        ("MCUCXR_0104_1.png", T, "montgomery", "MCUCXR_0104", "PA", ""),
    ]
    assert left_out(listing) == {UNLISTED: 1}  # the mask


def test_tbx11k(tmp_path: Path) -> None:
    listing = list_images(downloads.tbx11k(tmp_path))
    assert listing.layout == "TBX11K"
    assert known(listing) == [
        ("h0001.png", N, "tbx11k", "h0001", "", "train"),
        ("h0002.png", N, "tbx11k", "h0002", "", "val"),
        ("tb0003.png", T, "tbx11k", "tb0003", "", "train"),
    ]
    assert left_out(listing) == {OTHER: 1, UNLABELLED: 1, EXTRA: 1}


def test_kermany(tmp_path: Path) -> None:
    listing = list_images(downloads.kermany(tmp_path))
    assert listing.layout == "Kermany et al. 2018 (chest_xray)"
    assert known(listing) == [
        ("BACTERIA-1008087-0001.jpeg", P, "kermany", "1008087", "AP", "test"),
        ("IM-0115-0001.jpeg", N, "kermany", "IM-0115", "AP", "train"),
        ("NORMAL2-IM-1427-0001.jpeg", N, "kermany", "IM-1427", "AP", "train"),
        ("person12_bacteria_47.jpeg", P, "kermany", "person12", "AP", "train"),
        ("person12_virus_48.jpeg", P, "kermany", "person12", "AP", "train"),
        ("NORMAL2-IM-1430-0001.jpeg", N, "kermany", "IM-1430", "AP", "val"),
    ]
    assert left_out(listing) == {UNLISTED: 1}  # the copy inside, as Kaggle's archive has it


def test_rsna(tmp_path: Path) -> None:
    listing = list_images(downloads.rsna(tmp_path))
    assert listing.layout == "RSNA Pneumonia"
    assert known(listing) == [
        (f"{downloads.RSNA[2]}.dcm", N, "nih", "", "", ""),
        (f"{downloads.RSNA[1]}.dcm", P, "nih", "00000061", "", ""),  # as NIH calls the patient
    ]
    assert left_out(listing) == {OTHER: 1, MISSING: 1, UNLISTED: 1}


def test_nih(tmp_path: Path) -> None:
    listing = list_images(downloads.nih(tmp_path))
    assert listing.layout == "NIH ChestX-ray14"
    assert known(listing) == [
        ("00000002_000.png", N, "nih", "00000002", "PA", "train"),
        ("00000061_015.png", P, "nih", "00000061", "AP", "train"),
        ("00000218_000.png", P, "nih", "00000218", "PA", "test"),
    ]
    assert left_out(listing) == {OTHER: 1, SEVERAL: 1, MISSING: 1}


def test_chexpert(tmp_path: Path) -> None:
    listing = list_images(downloads.chexpert(tmp_path))
    assert listing.layout == "CheXpert"
    assert known(listing) == [
        ("view1_frontal.jpg", N, "chexpert", "patient00001", "AP", "train"),
        ("view1_frontal.jpg", N, "chexpert", "patient00004", "PA", "train"),
        ("view1_frontal.jpg", P, "chexpert", "patient00021", "AP", "train"),
        ("view1_frontal.jpg", N, "chexpert", "patient64541", "AP", "val"),
    ]
    assert left_out(listing) == {NOT_FRONTAL: 2, UNCERTAIN: 2, SEVERAL: 1, OTHER: 1, UNLABELLED: 1}


def test_mimic(tmp_path: Path) -> None:
    listing = list_images(downloads.mimic(tmp_path))
    assert listing.layout == "MIMIC-CXR-JPG"
    assert known(listing) == [
        ("02aa804e.jpg", N, "mimic", "10000032", "PA", "train"),
        ("2a2277a9.jpg", P, "mimic", "10000032", "AP", "test"),
    ]
    assert left_out(listing) == {NOT_FRONTAL: 2, UNCERTAIN: 1, UNLABELLED: 1}


def test_padchest(tmp_path: Path) -> None:
    listing = list_images(downloads.padchest(tmp_path))
    assert listing.layout == "PadChest"
    assert known(listing) == [
        ("a_k6ga29.png", N, "padchest", "839860488694292331637988235681460987", "PA", ""),
        ("c.png", P, "padchest", "p3", "AP", ""),
        ("d.png", T, "padchest", "p4", "AP", ""),
    ]
    assert left_out(listing) == {NOT_FRONTAL: 2, OTHER: 1, SEVERAL: 2, UNLABELLED: 1}


def test_vindr(tmp_path: Path) -> None:
    listing = list_images(downloads.vindr(tmp_path))
    assert listing.layout == "VinDr-CXR"
    assert known(listing) == [
        ("0aee9c2f1f8a4d3d8ba5c0f8f1a0f2b1.dicom", P, "vindr", "", "PA", "test"),
        ("21a10246a5ec7af151081d0cd6d65dc9.dicom", T, "vindr", "", "PA", "train"),
        ("50a418190bc3fb1ef1633bf9678929b3.dicom", N, "vindr", "", "PA", "train"),
    ]
    assert left_out(listing) == {UNCERTAIN: 2, SEVERAL: 1, OTHER: 1}


def test_covid_radiography(tmp_path: Path) -> None:
    listing = list_images(downloads.covid_radiography(tmp_path))
    assert listing.layout == "COVID-19 Radiography Database"
    assert known(listing) == [
        ("Lung_Opacity-1.png", P, "", "", "", ""),  # has no workbook
        ("Normal-1.png", N, "nih", "", "", ""),
        ("Normal-2.png", N, "kermany", "", "", ""),
        ("Viral Pneumonia-1.png", P, "kermany", "", "", ""),
    ]
    assert left_out(listing) == {ANNOTATIONS: 3, OTHER: 1}


def test_the_kaggle_set(tmp_path: Path) -> None:
    listing = list_images(downloads.kaggle_set(tmp_path))
    assert listing.layout == "the Kaggle set muhammadrehan00/chest-xray-dataset"
    assert known(listing)[:3] == [
        ("normal-1310.jpg", N, "", "", "", "test"),
        ("pneumonia-1310.jpg", P, "", "", "", "test"),
        ("tuberculosis-1310.jpg", T, "", "", "", "test"),
    ]
    assert len(listing.radiographs) == 9


BUILDERS: list[Callable[[Path], Path]] = [
    downloads.shenzhen, downloads.montgomery, downloads.tbx11k, downloads.kermany, downloads.rsna, downloads.nih,
    downloads.chexpert, downloads.mimic, downloads.padchest, downloads.vindr, downloads.covid_radiography,
    downloads.kaggle_set,
]  # fmt: skip


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with each public set's download, by its name."""
    top = tmp_path_factory.mktemp("downloads")
    for build in BUILDERS:
        build(top / build.__name__)
    return top


def test_each_layout_is_recognised_by_itself_alone(every: Path) -> None:
    for folder in every.iterdir():
        inner = [folder, *(path for path in folder.iterdir() if path.is_dir())]
        titles = {layout.title for layout in LAYOUTS for place in inner if layout.fits(place)}
        assert titles == {list_images(folder).layout}, folder.name
    assert len(LAYOUTS) == len(list(every.iterdir()))


def test_all_of_them_come_in_one_fetch_with_their_licences(
    every: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = sorted(folder.name for folder in every.iterdir())
    report = fetch(Settings(dataset=tuple(str(every / name) for name in names), data_dir=tmp_path / "data"))
    assert (report.unreadable, report.shared, report.disputed) == ({}, {}, {})
    assert sorted(dataset.name for dataset in report.datasets) == names
    assert all(dataset.layout and len(dataset.licences) == 1 for dataset in report.datasets)
    told = capsys.readouterr().out
    assert "padchest: recognised as PadChest; licence: PadChest: research, with attribution" in told
    assert "nih: labels by text mining, noisy" in told
    assert f"chexpert: 2 files {NOT_FRONTAL} left out, e.g. CheXpert-v1.0-small/train/patient00004/" in told
    assert f"mimic: 2 files {NOT_FRONTAL} left out, e.g. files/p10/" in told
    nih = {(record.site, record.patient) for record in read_raw(tmp_path / "data") if record.dataset in ("nih", "rsna")}
    assert ("nih", "00000061") in nih


def test_a_table_that_is_missing_is_one_line(tmp_path: Path) -> None:
    (downloads.nih(tmp_path) / "Data_Entry_2017_v2020.csv").unlink()
    with pytest.raises(UserError, match=r"like NIH ChestX-ray14, but has no Data_Entry_2017\*\.csv; put it there"):
        list_images(tmp_path)


def test_a_table_without_its_column_is_one_line(tmp_path: Path) -> None:
    (downloads.nih(tmp_path) / "Data_Entry_2017_v2020.csv").write_text("Image Index,Labels\na.png,No Finding\n")
    with pytest.raises(UserError, match=r"v2020\.csv: has no column 'Finding Labels'; it is not the table"):
        list_images(tmp_path)


@pytest.mark.parametrize("size", [40, 700])
def test_a_table_that_is_cut_off_is_one_line(tmp_path: Path, size: int) -> None:
    table = downloads.padchest(tmp_path) / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"
    table.write_bytes(table.read_bytes()[: min(size, table.stat().st_size - 20)])
    with pytest.raises(UserError, match=r"looks like PadChest, but one of its tables is damaged .*; download it again"):
        list_images(tmp_path)


def test_tables_without_images_are_one_line(tmp_path: Path) -> None:
    for image in downloads.nih(tmp_path).rglob("*.png"):
        image.unlink()
    with pytest.raises(UserError, match=r"like NIH ChestX-ray14, but no image can be used: .*4 that the labels list"):
        list_images(tmp_path)


def test_several_downloads_in_one_folder_are_not_taken_for_classes(every: Path) -> None:
    with pytest.raises(UserError, match=r"holds downloads of public sets: .*nih \(NIH ChestX-ray14\).* own --dataset"):
        list_images(every)


def test_a_manifest_goes_before_the_layout(tmp_path: Path) -> None:
    downloads.shenzhen(tmp_path)
    (tmp_path / "manifest.csv").write_text("path,label\nChinaSet_AllFiles/CXR_png/CHNCXR_0001_0.png,MINE\n")
    listing = list_images(tmp_path)
    assert (listing.layout, [image.label for image in listing.radiographs]) == ("", ["MINE"])


def test_folders_of_classes_are_no_public_set(tmp_path: Path) -> None:
    root = radiographs(tmp_path / "set", "train/NORMAL/a.png", "train/PNEUMONIA/b.png", "test/NORMAL/c.png")
    assert list_images(root).layout == ""
    assert fetch(settings(root, tmp_path / "data")).images == 3


REAL = Path(__file__).parents[4] / "shared/data"
"""Real images beside the project, where there are any: see its README."""


@pytest.mark.skipif(not REAL.is_dir(), reason="no real images beside the project")
@pytest.mark.parametrize(
    ("source", "site", "place", "counts"),
    [
        ("cxr_multi", "shenzhen", "CXR_png/{}.png", {N: 326, T: 336}),
        ("other_hospital", "montgomery", "CXR_png/{}.png", {N: 47, T: 29}),
        ("cxr_multi", "tbx11k", "imgs/tb/{}.png", {T: 799}),
    ],
)
def test_real_images_under_their_own_names(
    tmp_path: Path, source: str, site: str, place: str, counts: dict[str, int]
) -> None:
    for _, row in read_table(REAL / source / "manifest.csv", ("path", "label", "site", "patient")):
        if row["site"] == site:
            link = tmp_path / place.format(row["patient"].removeprefix(f"{site}-"))
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(REAL / source / row["path"])
    listing = list_images(tmp_path)
    assert Counter(image.label for image in listing.radiographs) == counts
    assert {image.site for image in listing.radiographs} == {site}
