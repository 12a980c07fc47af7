"""What a dataset's manifest.csv says is used or said aloud."""

import unicodedata
from pathlib import Path

import pytest

from tests.support.datasets import radiographs
from trainer.data.dataset_table import UNLISTED
from trainer.data.folder import ANNOTATIONS, HOUSEKEEPING
from trainer.data.listing import list_folder, read_listing
from trainer.errors import UserError


def write(root: Path, text: str, encoding: str = "utf-8") -> Path:
    radiographs(root, "x/a.png", "x/b.png")
    (root / "manifest.csv").write_text(text, encoding=encoding)
    return root


@pytest.mark.parametrize("column", ["Patient ID", "patient_id", "PatientID", "patientid", "PATIENT", "patient-id"])
def test_obvious_spellings_of_the_patients_column_are_used(tmp_path: Path, column: str) -> None:
    listing = read_listing(
        write(tmp_path, f"Path;LABEL;Site ;{column};Split\nx/a.png;n;east;7;train\nx/b.png;t;west;8;test\n")
    )
    assert [(image.site, image.patient, image.split) for image in listing.radiographs] == [
        ("east", "7", "train"), ("west", "8", "test"),
    ]  # fmt: skip
    assert listing.lines() == []


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("subject", "patient"), ("Subject ID", "patient"), ("patient_number", "patient"), ("hospital", "site"),
        ("Institution", "site"), ("center", "site"), ("fold", "split"), ("set", "split"), ("class", "label"),
        ("Diagnosis", "label"),
    ],
)  # fmt: skip
def test_a_column_that_looks_as_if_it_mattered_and_is_not_used_is_said(tmp_path: Path, column: str, name: str) -> None:
    lines = read_listing(write(tmp_path, f"path,label,{column}\nx/a.png,n,7\nx/b.png,t,8\n")).lines()
    used = "the label is taken from column 'label'" if name == "label" else f"call it '{name}' if it is the {name}"
    assert lines == [f"manifest.csv: column '{column.lower()}' is not used; {used}"]


def test_a_second_column_for_the_same_is_said(tmp_path: Path) -> None:
    listing = read_listing(write(tmp_path, "path,label,patient,PatientID\nx/a.png,n,7,1\nx/b.png,t,8,2\n"))
    assert [image.patient for image in listing.radiographs] == ["7", "8"]
    assert listing.lines() == [
        "manifest.csv: column 'patientid' is not used; the patient is taken from column 'patient'"
    ]


def test_columns_about_other_things_are_ignored(tmp_path: Path) -> None:
    text = "path,label,licence,Patient Age,patient_sex,View Position\nx/a.png,n,free,7,F,PA\nx/b.png,t,free,8,M,PA\n"
    assert read_listing(write(tmp_path, text)).lines() == []


def test_patients_that_name_nobody_are_no_patient_and_said(tmp_path: Path) -> None:
    listing = read_listing(write(tmp_path, "path,label,patient\nx/a.png,n,nan\nx/b.png,t,nan\n"))
    assert [image.patient for image in listing.radiographs] == ["", ""]
    assert listing.lines() == [
        "2 images have the patient 'nan', which names nobody: each counts as a patient of its own"
    ]


def test_what_the_table_does_not_list_is_said(tmp_path: Path) -> None:
    radiographs(tmp_path, "x/c.png", "x/@eaDir/a.png")
    lines = read_listing(write(tmp_path, "path,label\nx/a.png,n\nx/b.png,t\n")).lines()
    assert lines == [f"1 files {HOUSEKEEPING} left out, e.g. x/@eaDir", f"1 files {UNLISTED} left out, e.g. x/c.png"]


def test_housekeeping_is_no_data_even_where_a_table_lists_it(tmp_path: Path) -> None:
    radiographs(tmp_path, "x/@eaDir/a.png", "x/masks/b.png")
    listing = read_listing(write(tmp_path, "path,label\nx/a.png,n\nx/b.png,t\nx/@eaDir/a.png,n\nx/masks/b.png,t\n"))
    assert [image.path for image in listing.radiographs] == ["x/a.png", "x/b.png", "x/masks/b.png"]
    assert f"1 images that manifest.csv lists lie {ANNOTATIONS}, e.g. x/masks/b.png" in listing.notes
    assert f"1 files {HOUSEKEEPING} left out, e.g. x/@eaDir" in listing.lines()


@pytest.mark.parametrize(("on_disk", "in_table"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_path_in_another_normalisation_is_found_and_labels_are_one_class(
    tmp_path: Path, on_disk: str, in_table: str
) -> None:
    def spelled(form: str, text: str) -> str:
        return unicodedata.normalize("NFC" if form == "NFC" else "NFD", text)

    file = spelled(on_disk, "Köln/é.png")
    radiographs(tmp_path, file)
    rows = [f"{spelled(in_table, 'Köln/é.png')},{spelled('NFD', 'é')}", f"x/a.png,{spelled('NFC', 'é')}", "x/b.png,t"]
    listed = list_folder(write(tmp_path, "path,label\n" + "\n".join(rows) + "\n"))
    assert {image.path for image in listed} == {file, "x/a.png", "x/b.png"}
    assert {image.label for image in listed} == {"\u00c9", "T"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_table_of_powershell_or_excel_keeps_its_first_line_and_its_letters(tmp_path: Path, encoding: str) -> None:
    radiographs(tmp_path, "x/ü.png")
    listed = list_folder(write(tmp_path, "path,label\r\nx/a.png,n\r\nx/ü.png,t\r\n", encoding))
    assert [image.path for image in listed] == ["x/a.png", "x/ü.png"]


def test_a_path_with_a_zero_byte_says_where(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"line 102: path 'x/\\x00.png' has control characters"):
        list_folder(write(tmp_path, "path,label\n" + "\n" * 100 + "x/\x00.png,t\n"))


def test_views_and_licences_are_read_and_only_frontal_views_taken(tmp_path: Path) -> None:
    radiographs(tmp_path, "x/c.png", "x/d.png")
    rows = ["x/a.png,n,pa,CC0", "x/b.png,t,Frontal,CC0", "x/c.png,t,LATERAL,CC0", "x/d.png,t,,"]
    listing = read_listing(write(tmp_path, "path,label,View Position,license\n" + "\n".join(rows) + "\n"))
    assert [(image.view, image.licence) for image in listing.radiographs] == [("PA", "CC0"), ("", "CC0"), ("", "")]
    assert listing.lines() == ["1 files that are no frontal views left out, e.g. x/c.png"]
