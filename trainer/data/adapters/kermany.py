"""Kermany et al. 2018: children of one to five years in Guangzhou."""

from collections.abc import Iterator

from trainer.data.adapters.layout import NORMAL, PNEUMONIA, Download, Layout, Row
from trainer.data.dataset_table import SPLIT_NAMES
from trainer.data.patients import patient_from_name


def _read(download: Download) -> Iterator[Row]:
    """``train``, ``val`` and ``test`` with folders of classes; the patient is part of a name."""
    for path in download.images:
        part, _, rest = path.partition("/")
        label, _, name = rest.partition("/")
        if part in SPLIT_NAMES and label in (NORMAL, PNEUMONIA) and "/" not in name:
            patient = patient_from_name(path) or ""
            yield Row(path, label, patient=patient, view="AP", split=SPLIT_NAMES[part])


LAYOUT = Layout(
    "kermany",
    "Kermany et al. 2018 (chest_xray)",
    ("train/NORMAL/*IM-*.jpeg", "train/NORMAL/NORMAL-*.jpeg"),
    _read,
    "CC BY 4.0 (Kermany et al. 2018, doi:10.17632/rscbjbr9sj)",
    "children; their pneumonia does not look as that of adults",
)
