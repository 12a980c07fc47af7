"""Report and capture: what they say, whose they are, and that the standard's own checker finds nothing wrong."""

import io
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset, uid

from bento.imaging.dicom.codecs import SUPPORTED
from bento.imaging.quality import InputWarning
from bento.inference.answer import ClassMap, ClassPrediction, ExplainedResponse, Flag
from bento.pacs.capture import draw, make_capture
from bento.pacs.encoding import encoded
from bento.pacs.judge import LocalJudge, Model
from bento.pacs.report import Group, make_report, refusal_groups, report_groups
from bento.pacs.report_file import report_file
from bento.pacs.source import LOSSY, read_source
from tests.support.films import CHARACTER_SETS, OPTIONAL, PATIENT_NUMBER, film
from tests.support.orthanc import dicom_errors, need_orthanc
from tests.support.server import ROOT

MADE = datetime(2026, 1, 2, 3, 4, 5)
RADIOGRAPHS = ROOT.parent / "shared/data/dicom"
KINDS: list[dict[str, Any]] = [
    {"PhotometricInterpretation": "MONOCHROME1"},
    {"without": OPTIONAL},
    *({"SpecificCharacterSet": code, "PatientName": name} for code, name in CHARACTER_SETS.values()),
    {"SOPClassUID": uid.DigitalXRayImageStorageForPresentation, "Modality": "DX"},
    {"PatientAge": "61"},
    {"PatientIdentityRemoved": "YES", "DeidentificationMethod": "none", "PatientWeight": 70.5},
]
"""Elements of films that differ in one respect each."""


def results(data: bytes, judge: LocalJudge) -> tuple[ExplainedResponse, Dataset, Dataset]:
    """The answer for a film, its report and its capture, both as they are read back from their files."""
    header = read_source(data)
    answer, model = judge.judge(data)
    capture = pydicom.dcmread(io.BytesIO(encoded(make_capture(header, model, answer, MADE))))
    return answer, report_of(header, model, report_groups(answer)), capture


def report_of(source: Dataset, model: Model, groups: Sequence[Group], made: datetime = MADE) -> Dataset:
    """The report as it is read back from its file."""
    return pydicom.dcmread(io.BytesIO(report_file(source, model, groups, made)))


def found_wrong(folder: Path, *datasets: Dataset) -> list[str]:
    """What dciodvfy says against them."""
    errors = []
    for number, dataset in enumerate(datasets):
        file = folder / f"{number}.dcm"
        dataset.save_as(file, enforce_file_format=True)
        errors += dicom_errors(file)
    return errors


def groups(report: Dataset) -> dict[str, Dataset]:
    """The report's measurement groups by the meaning of their finding."""
    measurements = report.ContentSequence[-1]
    return {
        item.ConceptCodeSequence[0].CodeMeaning: group
        for group in measurements.ContentSequence
        for item in group.ContentSequence
        if item.ValueType == "CODE" and item.ConceptNameCodeSequence[0].CodeMeaning == "Finding"
    }


def numbers(group: Dataset) -> dict[str, float]:
    """A group's measurements by their names."""
    return {
        item.ConceptNameCodeSequence[0].CodeMeaning: float(item.MeasuredValueSequence[0].NumericValue)
        for item in group.ContentSequence
        if item.ValueType == "NUM"
    }


@pytest.mark.parametrize("syntax", sorted(SUPPORTED), ids=lambda one: one.name)
def test_the_checker_finds_nothing_wrong_whatever_the_transfer_syntax(
    judge: LocalJudge, tmp_path: Path, syntax: uid.UID
) -> None:
    need_orthanc()
    _, report, capture = results(film(1, syntax), judge)
    assert found_wrong(tmp_path, report, capture) == []


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_the_checker_finds_nothing_wrong_whatever_the_image_has_or_lacks(
    judge: LocalJudge, tmp_path: Path, kind: int
) -> None:
    need_orthanc()
    _, report, capture = results(film(2, **KINDS[kind]), judge)
    source = read_source(film(2, **KINDS[kind]))
    refusal = report_of(source, judge.model(), refusal_groups("blank", "It is blank"))
    assert found_wrong(tmp_path, report, capture, refusal) == []


def test_the_checker_finds_nothing_wrong_in_the_results_of_real_films(judge: LocalJudge, tmp_path: Path) -> None:
    need_orthanc()
    files = [path for path in sorted(RADIOGRAPHS.glob("*.dcm")) if not path.name.startswith(("neg", "bad", "CT"))]
    if not files:
        pytest.skip("no real films here; generated ones are tried in any case")
    for file in files:
        _, report, capture = results(file.read_bytes(), judge)
        assert found_wrong(tmp_path, report, capture) == [], file.name


WARNINGS = [
    InputWarning("inverted", "It seems to be inverted."),
    InputWarning("blank", "It has little contrast, as one of a phone has, and the text is long."),
]
"""What may speak against an answer."""
CHANGES: list[dict[str, Any]] = [
    {},
    {"input_warnings": WARNINGS},
    {"input_warnings": [InputWarning("inverted", "The same kind, another text.")]},
    {"novelty": None, "in_distribution": None},
    {"flags": []},
    {"predictions": [ClassPrediction(label="Früh", confidence=1 / 3)], "flags": []},
]
"""What answers differ in."""


@pytest.mark.parametrize(("kind", "change"), [(kind, kind % len(CHANGES)) for kind in range(len(KINDS))])
def test_the_file_says_what_highdicom_s_report_of_the_same_image_does(
    judge: LocalJudge, kind: int, change: int
) -> None:
    data = film(2, **KINDS[kind])
    source, (answer, model) = read_source(data), judge.judge(data)
    calibrated = [flag.model_copy(update={"probability": 0.1, "flagged": bool(kind % 2)}) for flag in answer.flags]
    flags = calibrated if change % 2 else answer.flags
    groups = report_groups(answer.model_copy(update={"flags": flags, **CHANGES[change]}))
    both = report_of(source, model, groups), encoded(make_report(source, model, groups, MADE))
    quick, slow = both[0], pydicom.dcmread(io.BytesIO(both[1]))
    for one in (quick, slow):
        del one.InstanceCreationDate, one.InstanceCreationTime
        del one.ContributingEquipmentSequence[0].ContributionDateTime
    assert quick == slow
    assert quick.file_meta == slow.file_meta


@pytest.mark.parametrize("lossy", [(), ("8.5", "ISO_15444_1"), (["8.5", "2"], "ISO_15444_1")])
def test_the_capture_says_that_it_lost_something_after_what_the_image_has_lost(
    judge: LocalJudge, lossy: tuple[str | list[str], ...]
) -> None:
    elements: dict[str, Any] = {"LossyImageCompression": "01"} if lossy else {}
    elements |= dict(zip(LOSSY[1:], lossy, strict=False))
    data = film(2, **elements)
    _, _, capture = results(data, judge)
    consistent = bool(lossy) and isinstance(lossy[0], str)
    assert capture.LossyImageCompression == "01"
    assert capture["LossyImageCompressionMethod"].VM == capture["LossyImageCompressionRatio"].VM == 1 + consistent
    ratios = capture.LossyImageCompressionRatio
    assert (ratios[0] == 8.5) if consistent else ratios > 5


def test_a_panel_of_many_diseases_loses_none(judge: LocalJudge) -> None:
    answer, model = judge.judge(film(2))
    more = [answer.flags[0].model_copy(update={"label": f"DISEASE {number}"}) for number in range(14)]
    flags = [*answer.flags, *more]
    assert draw(answer.model_copy(update={"flags": flags}), model).height > draw(answer, model).height == 546


@pytest.mark.parametrize("probable", ["PNEUMONIA", "TUBERCULOSIS"])
def test_the_map_is_that_of_the_flagged_disease_that_is_most_probable(judge: LocalJudge, probable: str) -> None:
    answer, model = judge.judge(film(2))
    limits = {"PNEUMONIA": (0.97, 0.85), "TUBERCULOSIS": (1.0, 0.9999)}  # odds against normal, threshold
    changed = {
        "flags": [
            one.model_copy(update={"flagged": True, "score": limits[one.label][0], "threshold": limits[one.label][1]})
            for one in answer.flags
        ],
        "predictions": [
            one.model_copy(update={"confidence": 0.99 if one.label == probable else 0.005})
            for one in answer.predictions
        ],
    }
    strength = {"PNEUMONIA": -1.0, "TUBERCULOSIS": 5.0, "NORMAL": -1.0}
    maps = [ClassMap(label=label, values=[[value] * 7] * 7) for label, value in strength.items()]
    changed["explanation"] = answer.explanation.model_copy(update={"maps": maps})
    picture = np.asarray(draw(answer.model_copy(update=changed), model).crop((0, 34, 512, 546)), np.int16)
    coloured = float(np.mean(np.ptp(picture, axis=2) > 30))
    assert coloured > 0.5 if probable == "TUBERCULOSIS" else coloured == 0


def test_the_report_has_each_number_of_the_answer(judge: LocalJudge) -> None:
    answer, report, _ = results(film(3), judge)
    found = groups(report)
    assert list(found) == ["Pneumonia", "Tuberculosis", "Normal", "The image as it went to the model"]
    confidences = {one.label: one.confidence for one in answer.predictions}
    for flag, meaning in zip(answer.flags, ("Pneumonia", "Tuberculosis"), strict=True):
        assert numbers(found[meaning]) == pytest.approx(
            {
                "Probability": confidences[flag.label],
                "Odds of the disease against normal": flag.score,
                "Threshold Value": flag.threshold,
            },
            abs=1e-9,
        )
    assert numbers(found["Normal"]) == pytest.approx({"Probability": confidences["NORMAL"]}, abs=1e-9)
    assert answer.novelty is not None
    about = numbers(found["The image as it went to the model"])
    assert list(about.values()) == pytest.approx([answer.novelty.score, answer.novelty.threshold], abs=1e-9)


@pytest.mark.parametrize("flagged", [True, False])
def test_the_report_says_whether_a_disease_is_flagged(judge: LocalJudge, flagged: bool) -> None:
    data = film(3)
    answer, model = judge.judge(data)
    flags = [Flag(**{**dict(flag), "flagged": flagged}) for flag in answer.flags]
    report = report_of(read_source(data), model, report_groups(answer.model_copy(update={"flags": flags})))
    codes = {element.value for element in report.iterall() if element.keyword == "CodeValue"}
    assert ("FLAGGED" in codes, "NOT-FLAGGED" in codes) == (flagged, not flagged)
    assert "RESEARCH" in codes


def test_both_say_which_model_made_them_and_of_which_image(judge: LocalJudge) -> None:
    data = film(4)
    _, report, capture = results(data, judge)
    model, source = judge.model(), read_source(data)
    texts = [str(element.value) for element in report.iterall() if element.keyword == "TextValue"]
    assert f"{model.version} sha256:{model.sha256}" in texts
    assert "chest-xray-service: research use, not for diagnosis" in texts
    referenced = {str(element.value) for element in report.iterall() if element.keyword == "ReferencedSOPInstanceUID"}
    assert referenced == {source.SOPInstanceUID}
    assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert model.version in capture.DerivationDescription
    assert report.StudyInstanceUID == capture.StudyInstanceUID == source.StudyInstanceUID
    assert len({report.SeriesInstanceUID, capture.SeriesInstanceUID, source.SeriesInstanceUID}) == 3


def test_uids_depend_on_the_image_and_the_model_alone(judge: LocalJudge) -> None:
    data = film(5)
    header = read_source(data)
    answer, model = judge.judge(data)

    def uids(number: int, model: Model, made: datetime) -> set[str]:
        image = read_source(film(number))
        report = report_of(image, model, report_groups(answer), made)
        both = report, make_capture(image, model, answer, made)
        return {str(one[name].value) for one in both for name in ("SOPInstanceUID", "SeriesInstanceUID")}

    first = uids(5, model, MADE)
    assert len(first) == 4
    assert all(uid.UID(one).is_valid for one in first)
    assert uids(5, model, datetime(2027, 1, 1)) == first
    assert not uids(6, model, MADE) & first
    assert not uids(5, Model(model.name, "another", model.sha256), MADE) & first
    reports = [report_of(header, model, report_groups(answer)) for _ in range(2)]
    inner = [[str(element.value) for element in one.iterall() if element.VR == "UI"] for one in reports]
    assert inner[0] == inner[1]


@pytest.mark.parametrize("kind", CHARACTER_SETS)
def test_names_are_written_byte_for_byte_as_they_came(judge: LocalJudge, kind: str) -> None:
    codes, name = CHARACTER_SETS[kind]
    data = film(6, SpecificCharacterSet=codes, PatientName=name, PatientBirthDate="19600102")
    written = pydicom.dcmread(io.BytesIO(data)).get_item("PatientName")
    _, report, capture = results(data, judge)
    for one in (report, capture):
        assert one.get_item("PatientName").value == written.value
        assert one.SpecificCharacterSet == codes
        assert str(one.PatientName) == name
        assert one.PatientBirthDate == "19600102"


def test_an_optional_value_that_is_none_is_left_out(judge: LocalJudge) -> None:
    data = film(6, PatientSize="1.80", PatientWeight="81").replace(b"1.80", b"1,80")
    _, report, capture = results(data, judge)
    for one in (report, capture):
        assert "PatientSize" not in one
        assert one.PatientWeight == 81


@pytest.mark.parametrize("tag", [b"\x10\x00\x10\x00PN", b"\x10\x00\x30\x10DS", b"\x08\x00\x30\x10LO"])
def test_an_element_of_an_unknown_kind_costs_nothing_but_itself(judge: LocalJudge, tag: bytes) -> None:
    data = film(6, PatientWeight="81").replace(tag, tag[:4] + b"XX")
    _, report, capture = results(data, judge)
    for one in (report, capture):
        assert one.PatientID == PATIENT_NUMBER
        assert [bool(one.get(name)) for name in ("PatientName", "PatientWeight", "StudyDescription")].count(False) == 1


def test_what_the_image_does_not_say_is_not_made_up(judge: LocalJudge) -> None:
    _, report, capture = results(film(7, without=(*OPTIONAL, "SpecificCharacterSet", "PatientName")), judge)
    for one in (report, capture):
        assert not one.PatientName
        assert not one.PatientSex
        assert not one.AccessionNumber
        assert "SpecificCharacterSet" not in one
        assert "StudyDescription" not in one


def test_the_capture_shows_the_image_its_heat_map_and_the_warning(judge: LocalJudge) -> None:
    data = film(8, side=200)
    answer, model = judge.judge(data)
    evidence = [[0.0, 0.0], [0.0, 1.0]]  # in the lower right quarter
    maps = [ClassMap(label=one.label, values=evidence) for one in answer.explanation.maps]
    explained = answer.model_copy(update={"explanation": answer.explanation.model_copy(update={"maps": maps})})
    capture = make_capture(read_source(data), model, explained, MADE)
    pixels = pydicom.dcmread(io.BytesIO(encoded(capture))).pixel_array.astype(int)
    assert pixels.shape == (capture.Rows, capture.Columns, 3) == (546, 912, 3)
    coloured = np.ptp(pixels[34:, :512], axis=2) > 20
    assert coloured[256:, 256:].mean() > 0.3
    assert coloured[:200, :200].sum() == 0
    band = pixels[:34, :400]
    assert (band.max(axis=2) > 150).mean() > 0.05  # letters
    assert capture.BurnedInAnnotation == "NO"
    assert capture.Modality == "OT"


def test_a_refusal_says_why(judge: LocalJudge) -> None:
    source = read_source(film(9))
    groups = refusal_groups("outside-what-the-model-knows", "It is unlike the images")
    refusal = report_of(source, judge.model(), groups)
    meanings = [str(element.value) for element in refusal.iterall() if element.keyword == "CodeMeaning"]
    assert "It is unlike the images" in meanings
    assert not [element for element in refusal.iterall() if element.keyword == "NumericValue"]
