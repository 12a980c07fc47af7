"""MIMIC-CXR-JPG: emergency department of Beth Israel Deaconess in Boston."""

from collections.abc import Iterator

from trainer.data.adapters.chexpert import COLUMNS, NOTE, report_label
from trainer.data.adapters.layout import UNLABELLED, Download, Layout, Row
from trainer.data.dataset_table import SPLIT_NAMES

_VIEWS = ("PA", "AP")
_SPLITS = SPLIT_NAMES | {"validate": "val"}


def _read(download: Download) -> Iterator[Row]:
    """Labels belong to a study, views and splits to an image; an image without a view may be a lateral one."""
    labels = {
        row["study_id"]: report_label(row) for row in download.table("mimic-cxr-2.*-chexpert.csv", "study_id", *COLUMNS)
    }
    splits = {row["dicom_id"]: row["split"] for row in download.table("mimic-cxr-2.*-split.csv", "dicom_id", "split")}
    for row in download.table("mimic-cxr-2.*-metadata.csv", "dicom_id", "subject_id", "study_id", "ViewPosition"):
        name, subject, study = row["dicom_id"], row["subject_id"], row["study_id"]
        label, reason = labels.get(study, ("", UNLABELLED))
        view = row["ViewPosition"] if row["ViewPosition"] in _VIEWS else "other"
        path = f"files/p{subject[:2]}/p{subject}/s{study}/{name}.jpg"
        yield Row(path, label, reason, subject, view, _SPLITS.get(splits.get(name, ""), ""))


LAYOUT = Layout(
    "mimic",
    "MIMIC-CXR-JPG",
    ("mimic-cxr-2.*.csv*", "files/p10/p10*"),
    _read,
    "PhysioNet Credentialed Health Data License 1.5.0 (Johnson et al. 2019, doi:10.13026/8360-t248)",
    NOTE,
)
