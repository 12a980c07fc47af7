"""The report as a file, by filling templates that :mod:`bento.pacs.report` makes once for each model and kind of group.

Every byte of structure is highdicom's; an image adds its patient and study, UIDs and values. A test holds the file
against the report that highdicom makes for the same image.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import ComputedRadiographyImageStorage
from pydicom.valuerep import DA, DT, TM

from bento.pacs import codes as coded
from bento.pacs.encoding import Template, decimal, double, encoded, encoded_part, uid
from bento.pacs.judge import Model
from bento.pacs.report import Group, make_group, make_report, report_uid, series_uid, tracking_uid
from bento.pacs.source import NEEDED, PATIENT_AND_STUDY, copy_patient_and_study
from bento.pacs.uids import derived_uid

_EVIDENCE = 0x0040A375
"""Tag of the first element that is a template's: no element of patient, study or series comes after it."""
_OF_ONE_IMAGE = (
    "SOPInstanceUID", "SeriesInstanceUID", "ContentDate", "ContentTime", "InstanceCreationDate", "InstanceCreationTime",
    "ContributingEquipmentSequence",
)  # fmt: skip
_GAP = Dataset()
"""The image that templates are made for."""
for _keyword in NEEDED:
    setattr(_GAP, _keyword, derived_uid("gap", _keyword))
_GAP.SOPClassUID = ComputedRadiographyImageStorage  # highdicom looks up what it is of
_FIRST_VALUE = 77_000_000.5
"""Values of templates are this and the following ones: they occur nowhere else."""
_Coded = tuple[str, ...]
"""A code's fields; codes themselves are equal whatever they mean."""


def report_file(source: Dataset, model: Model, groups: Sequence[Group], made: datetime) -> bytes:
    """The file of the report that :func:`bento.pacs.report.make_report` makes of the same arguments."""
    common = _document(model)
    sop_uid, now = str(source.SOPInstanceUID), datetime.now()
    # What is common to all reports is shared by them, never changed: so each element that is set is a new one.
    contributor, report = Dataset(), Dataset()
    contributor.update(common.contributor)
    contributor.ContributionDateTime = DT(now)
    report.update(common.start)
    report.SOPInstanceUID, report.SeriesInstanceUID = report_uid(sop_uid, model), series_uid(sop_uid, model)
    report.ContentDate, report.ContentTime = DA(made.date()), TM(made.time())
    report.InstanceCreationDate, report.InstanceCreationTime = DA(now.date()), TM(now.time())
    report.ContributingEquipmentSequence = [contributor]
    copy_patient_and_study(source, report)
    report.file_meta = FileMetaDataset()
    report.file_meta.update(common.file_meta)
    report.file_meta.MediaStorageSOPInstanceUID = report.SOPInstanceUID
    content = b"".join(_filled(source, model, group) for group in groups)
    return encoded(report) + common.tail.filled([*(uid(str(source[keyword].value)) for keyword in NEEDED), content])


def _filled(source: Dataset, model: Model, group: Group) -> bytes:
    """A group's encoded item."""
    template = _group(
        model,
        group.name,
        tuple(group.kind),
        tuple(tuple(name) for name, _ in group.numbers),
        tuple((tuple(name), tuple(value)) for name, value in group.results),
    )
    sop_uid = str(source.SOPInstanceUID)
    values = [encode(float(value)) for _, value in group.numbers for encode in (decimal, double)]
    return template.filled(
        [uid(tracking_uid(group, sop_uid, model)), uid(str(source.SOPClassUID)), uid(sop_uid), *values]
    )


@dataclass(frozen=True)
class _Common:
    """What all reports of a model have in common."""

    file_meta: Dataset
    start: Dataset
    """Elements before the evidence."""
    contributor: Dataset
    """The item of ContributingEquipmentSequence."""
    tail: Template
    """The evidence and all after it, with gaps for the image's UIDs and for the groups."""


@functools.lru_cache(maxsize=4)
def _document(model: Model) -> _Common:
    group = Group("gap", coded.QUALITY)
    report = make_report(_GAP, model, [group], datetime(2000, 1, 1))
    start, tail, contributor, meta = Dataset(), Dataset(), report.ContributingEquipmentSequence[0], report.file_meta
    for element in report:
        if element.tag >= _EVIDENCE:
            tail[element.tag] = element
        elif element.keyword not in (*_OF_ONE_IMAGE, *PATIENT_AND_STUDY):
            start[element.tag] = element
    del contributor.ContributionDateTime, meta.MediaStorageSOPInstanceUID
    gaps = [uid(str(_GAP[keyword].value)) for keyword in NEEDED]
    item = encoded_part(make_group(_GAP, model, group)[0], is_item=True)
    return _Common(meta, start, contributor, Template(encoded_part(tail, is_item=False), [*gaps, item]))


@functools.lru_cache(maxsize=1000)
def _group(
    model: Model, name: str, kind: _Coded, numbers: tuple[_Coded, ...], results: tuple[tuple[_Coded, _Coded], ...]
) -> Template:
    """A group's item with gaps for UIDs and values."""
    values = [_FIRST_VALUE + number for number in range(len(numbers))]
    group = Group(
        name,
        Code(*kind),
        tuple((Code(*number), value) for number, value in zip(numbers, values, strict=True)),
        tuple((Code(*concept), Code(*value)) for concept, value in results),
    )
    gaps = [uid(tracking_uid(group, str(_GAP.SOPInstanceUID), model))]
    gaps += [uid(str(_GAP.SOPClassUID)), uid(str(_GAP.SOPInstanceUID))]
    gaps += [encode(value) for value in values for encode in (decimal, double)]
    return Template(encoded_part(make_group(_GAP, model, group)[0], is_item=True), gaps)
