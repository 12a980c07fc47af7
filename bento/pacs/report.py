"""The report: an SR document of template TID 1500 (PS3.16), about one image.

For each disease a group with its probability, its odds, the threshold and whether it is flagged; a group about the
image itself with novelty and input warnings. Texts of our own are ASCII, so that they fit every character set.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from highdicom.sr import (
    AlgorithmIdentification,
    DeviceObserverIdentifyingAttributes,
    EnhancedSR,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import UID

from bento.inference.answer import Flag, PredictResponse
from bento.pacs import codes as coded
from bento.pacs.judge import Model
from bento.pacs.source import NEEDED, copy_patient_and_study
from bento.pacs.uids import derived_uid

MANUFACTURER = "chest-xray-service"
NOT_FOR_DIAGNOSIS = "Research use, not for diagnosis"
SERIES_NUMBER = 9001
DESCRIPTION = "Chest X-ray classifier (research use, not for diagnosis)"
_MATCHES_NOBODY = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID")


@dataclass(frozen=True)
class Group:
    """What one measurement group says."""

    name: str
    kind: Code
    """Its finding."""
    numbers: tuple[tuple[Code, float], ...] = ()
    results: tuple[tuple[Code, Code], ...] = ()


def report_groups(answer: PredictResponse) -> list[Group]:
    """What the report of an image says that was judged."""
    flagged = {flag.label for flag in answer.flags}
    others = [
        Group(one.label, coded.finding(one.label), ((coded.PROBABILITY, one.confidence),))
        for one in answer.predictions
        if one.label not in flagged
    ]
    return [*(_disease(answer, flag) for flag in answer.flags), *others, _image(answer)]


def refusal_groups(slug: str, reason: str) -> list[Group]:
    """What the report of an image says that the service refuses.

    Args:
        slug: machine-readable name of the reason.
        reason: the reason in a sentence.
    """
    return [Group("image", coded.QUALITY, (), ((coded.REFUSAL, coded.private(slug.upper(), reason or slug)),))]


def _disease(answer: PredictResponse, flag: Flag) -> Group:
    confidences = {prediction.label: prediction.confidence for prediction in answer.predictions}
    numbers = [(coded.ODDS_SCORE, flag.score), (coded.THRESHOLD, flag.threshold)]
    if flag.label in confidences:
        numbers.insert(0, (coded.PROBABILITY, confidences[flag.label]))
    if flag.probability is not None:
        numbers.append((coded.SITE_PROBABILITY, flag.probability))
    result = (coded.RESULT, coded.FLAGGED if flag.flagged else coded.NOT_FLAGGED)
    return Group(flag.label, coded.finding(flag.label), tuple(numbers), (result,))


def _image(answer: PredictResponse) -> Group:
    novelty = answer.novelty
    numbers = () if novelty is None else ((coded.NOVELTY, novelty.score), (coded.NOVELTY_THRESHOLD, novelty.threshold))
    results = tuple(
        (coded.INPUT_WARNING, coded.private(warning.kind.upper(), warning.text)) for warning in answer.input_warnings
    )
    return Group("image", coded.QUALITY, numbers, results)


def make_group(source: Dataset, model: Model, group: Group) -> MeasurementsAndQualitativeEvaluations:
    """A measurement group in the content tree."""
    use = QualitativeEvaluation(coded.INTENDED_USE, coded.RESEARCH)
    plain = group.name.encode("ascii", "replace").decode()
    return MeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(tracking_uid(group, str(source.SOPInstanceUID), model), plain),
        finding_type=group.kind,
        algorithm_id=AlgorithmIdentification(model.name, model.version, [f"sha256={model.sha256}"]),
        measurements=[Measurement(name, float(value), coded.NO_UNIT) for name, value in group.numbers] or None,
        qualitative_evaluations=[*(QualitativeEvaluation(name, value) for name, value in group.results), use],
        source_images=[SourceImageForMeasurementGroup(str(source.SOPClassUID), str(source.SOPInstanceUID))],
    )


def report_uid(sop_uid: str, model: Model) -> UID:
    """The SOP Instance UID of the report about an image."""
    return derived_uid("report", sop_uid, *model.identity)


def series_uid(sop_uid: str, model: Model) -> UID:
    """The UID of the series that holds this report alone."""
    return derived_uid("report series", sop_uid, *model.identity)


def tracking_uid(group: Group, sop_uid: str, model: Model) -> UID:
    """What a group is known by: the same whenever this model judges this image."""
    return derived_uid("group", group.name, sop_uid, *model.identity)


def make_report(source: Dataset, model: Model, groups: Sequence[Group], made: datetime) -> Dataset:
    """The report about an image.

    Args:
        source: the image's header.
        model: that judged it.
        groups: what it says.
        made: when.
    """
    device = DeviceObserverIdentifyingAttributes(
        derived_uid("device", *model.identity),
        name=f"{MANUFACTURER}: {NOT_FOR_DIAGNOSIS.lower()}",
        manufacturer_name=MANUFACTURER,
        model_name=model.name,
        serial_number=f"{model.version} sha256:{model.sha256}",
    )
    context = ObservationContext(observer_device_context=ObserverContext(codes.DCM.Device, device))
    measured = [make_group(source, model, one) for one in groups]
    content = MeasurementReport(context, coded.CHEST_XRAY, measured, codes.DCM.ImagingMeasurementReport)
    report = EnhancedSR(
        [_evidence(source)],
        content[0],
        series_instance_uid=series_uid(str(source.SOPInstanceUID), model),
        series_number=SERIES_NUMBER,
        sop_instance_uid=report_uid(str(source.SOPInstanceUID), model),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=model.name,
        software_versions=model.version,
        series_description=DESCRIPTION,
        is_complete=True,
        content_date=made.date(),
        content_time=made.time(),
    )
    copy_patient_and_study(source, report)
    return report


def _evidence(source: Dataset) -> Dataset:
    """What highdicom needs of the image; patient and study are copied as they are afterwards, odd values included."""
    evidence = Dataset()
    for keyword in NEEDED:
        setattr(evidence, keyword, source[keyword].value)
    for keyword in (*_MATCHES_NOBODY, "StudyDate", "StudyTime"):
        setattr(evidence, keyword, None)
    return evidence
