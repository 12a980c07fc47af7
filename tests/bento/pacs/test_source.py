"""Which images are for the model, by their header."""

from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, uid
from pydicom.sequence import Sequence

from bento.imaging.errors import ImageError
from bento.pacs.source import read_source, why_not
from tests.support.dicoms import SECRET
from tests.support.films import OPTIONAL, PATIENT_NUMBER, film


def coded_view(meaning: str) -> Sequence:
    """A value of ViewCodeSequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "SCT", meaning
    return Sequence([item])


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"without": OPTIONAL},
        {"ViewPosition": "AP"},
        {"ImageType": ["DERIVED", "PRIMARY"]},
        {"BodyPartExamined": "THORAX"},
        {"ViewCodeSequence": coded_view("postero-anterior")},
        {"SOPClassUID": uid.SecondaryCaptureImageStorage, "Modality": "DX"},
    ],
)
def test_frontal_chest_images_are_for_the_model(elements: dict[str, Any]) -> None:
    assert why_not(read_source(film(1, **elements))) == ""


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Modality": "CT"}, "not a radiograph: its modality is CT"),
        ({"Modality": "SR"}, "not a radiograph: its modality is SR"),
        ({"Modality": "OT"}, "not a radiograph: its modality is another one"),
        ({"Modality": SECRET}, "not a radiograph: its modality is another one"),
        ({"BodyPartExamined": "KNEE"}, "the DICOM file shows another part of the body: KNEE, not the chest"),
        ({"ViewPosition": "LL"}, "a lateral view"),
        ({"PatientOrientation": ["A", "F"]}, "a lateral view"),
        ({"ViewCodeSequence": coded_view("left lateral")}, "a lateral view"),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, "a derived image"),
        (
            {"PresentationIntentType": "FOR PROCESSING"},
            "a detector's raw values; the image for presentation is judged",
        ),
    ],
)
def test_others_are_passed_over_with_a_reason(elements: dict[str, Any], reason: str) -> None:
    assert why_not(read_source(film(1, **elements))) == reason


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nothing of the kind",
        film(1)[:200],
        film(1, SOPInstanceUID=f"1.2.{SECRET}"),
        film(1, without=["StudyInstanceUID"]),
        film(1, StudyInstanceUID=""),
    ],
)
def test_a_file_without_its_uids_is_damaged_and_nothing_of_it_is_quoted(data: bytes) -> None:
    with pytest.raises(ImageError) as raised:
        read_source(data)
    assert SECRET not in str(raised.value)
    assert PATIENT_NUMBER not in str(raised.value)


def test_elements_that_nobody_needs_are_not_read() -> None:
    header = read_source(film(1, InstitutionName="A hospital", PatientName="Meier"))
    assert "InstitutionName" not in header
    assert header.PatientName == "Meier"


def test_no_mutation_of_a_header_does_more_than_be_refused() -> None:
    data, rng = bytearray(film(1)), np.random.default_rng(1)
    refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        for at in rng.integers(128, 1200, 4):
            damaged[at] = rng.integers(256)
        try:
            why_not(read_source(bytes(damaged)))
        except ImageError:
            refused += 1
    assert refused > 10
