"""The report: an SR document of template TID 1500 (PS3.16), about one image.

For each disease a group with its probability, its odds, the threshold and whether it is flagged; a group about the
image itself with novelty and input warnings. Texts of our own are ASCII, so that they fit every character set.
"""

from collections.abc import Sequence
from datetime import datetime

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
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


def make_report(source: Dataset, model: Model, answer: PredictResponse, made: datetime) -> Dataset:
    """The report for an image that was judged.

    Args:
        source: the image's header.
        model: that judged it.
        answer: the service's answer.
        made: when.
    """
    diseases = [_disease(source, model, answer, flag) for flag in answer.flags]
    flagged = {flag.label for flag in answer.flags}
    others = [
        _group(source, model, one.label, coded.finding(one.label), [_number(coded.PROBABILITY, one.confidence)], [])
        for one in answer.predictions
        if one.label not in flagged
    ]
    return _document(source, model, [*diseases, *others, _image(source, model, answer)], made)


def make_refusal(source: Dataset, model: Model, slug: str, reason: str, made: datetime) -> Dataset:
    """The report for an image that the service refuses.

    Args:
        source, model, made: as for :func:`make_report`.
        slug: machine-readable name of the reason.
        reason: the reason in a sentence.
    """
    result = QualitativeEvaluation(coded.REFUSAL, coded.private(slug.upper(), reason or slug))
    return _document(source, model, [_group(source, model, "image", coded.QUALITY, [], [result])], made)


def _disease(
    source: Dataset, model: Model, answer: PredictResponse, flag: Flag
) -> MeasurementsAndQualitativeEvaluations:
    confidences = {prediction.label: prediction.confidence for prediction in answer.predictions}
    measurements = [_number(coded.ODDS_SCORE, flag.score), _number(coded.THRESHOLD, flag.threshold)]
    if flag.label in confidences:
        measurements.insert(0, _number(coded.PROBABILITY, confidences[flag.label]))
    if flag.probability is not None:
        measurements.append(_number(coded.SITE_PROBABILITY, flag.probability))
    result = QualitativeEvaluation(coded.RESULT, coded.FLAGGED if flag.flagged else coded.NOT_FLAGGED)
    return _group(source, model, flag.label, coded.finding(flag.label), measurements, [result])


def _image(source: Dataset, model: Model, answer: PredictResponse) -> MeasurementsAndQualitativeEvaluations:
    measurements = []
    if answer.novelty is not None:
        measurements.append(_number(coded.NOVELTY, answer.novelty.score))
        measurements.append(_number(coded.NOVELTY_THRESHOLD, answer.novelty.threshold))
    results = [
        QualitativeEvaluation(coded.INPUT_WARNING, coded.private(warning.kind.upper(), warning.text))
        for warning in answer.input_warnings
    ]
    return _group(source, model, "image", coded.QUALITY, measurements, results)


def _number(name: CodedConcept, value: float) -> Measurement:
    return Measurement(name, float(value), coded.NO_UNIT)


def _group(
    source: Dataset,
    model: Model,
    name: str,
    kind: CodedConcept,
    measurements: Sequence[Measurement],
    results: Sequence[QualitativeEvaluation],
) -> MeasurementsAndQualitativeEvaluations:
    use = QualitativeEvaluation(coded.INTENDED_USE, coded.RESEARCH)
    plain = name.encode("ascii", "replace").decode()
    return MeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(derived_uid("group", name, str(source.SOPInstanceUID), *model.identity), plain),
        finding_type=kind,
        algorithm_id=AlgorithmIdentification(model.name, model.version, [f"sha256={model.sha256}"]),
        measurements=list(measurements) or None,
        qualitative_evaluations=[*results, use],
        source_images=[SourceImageForMeasurementGroup(str(source.SOPClassUID), str(source.SOPInstanceUID))],
    )


def _document(
    source: Dataset, model: Model, groups: Sequence[MeasurementsAndQualitativeEvaluations], made: datetime
) -> Dataset:
    device = DeviceObserverIdentifyingAttributes(
        derived_uid("device", *model.identity),
        name=f"{MANUFACTURER}: {NOT_FOR_DIAGNOSIS.lower()}",
        manufacturer_name=MANUFACTURER,
        model_name=model.name,
        serial_number=f"{model.version} sha256:{model.sha256}",
    )
    context = ObservationContext(observer_device_context=ObserverContext(codes.DCM.Device, device))
    content = MeasurementReport(context, coded.CHEST_XRAY, list(groups), codes.DCM.ImagingMeasurementReport)
    report = EnhancedSR(
        [_evidence(source)],
        content[0],
        series_instance_uid=derived_uid("report series", str(source.SOPInstanceUID), *model.identity),
        series_number=SERIES_NUMBER,
        sop_instance_uid=derived_uid("report", str(source.SOPInstanceUID), *model.identity),
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
