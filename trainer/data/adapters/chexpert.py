"""CheXpert: Stanford, labels by a program that reads reports; MIMIC-CXR-JPG has the same fourteen columns."""

from collections.abc import Iterator, Mapping

from trainer.data.adapters.layout import (
    NORMAL,
    PNEUMONIA,
    UNCERTAIN,
    Download,
    Layout,
    Row,
    judge,
)  # fmt: skip

COLUMNS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
    "Support Devices",
)  # fmt: skip
_CLASSES = {"No Finding": NORMAL, "Pneumonia": PNEUMONIA}
_SIGNS = {
    NORMAL: frozenset(("Support Devices",)),
    PNEUMONIA: frozenset(("Lung Opacity", "Consolidation", "Support Devices")),
}
NOTE = "labels by a program that reads reports, noisy; normal means that none of thirteen findings was reported"


def report_label(row: Mapping[str, str]) -> tuple[str, str]:
    """``Row``'s label and reason by the fourteen columns: 1 is named, 0 denied, -1 uncertain, empty not mentioned."""
    values = {name: float(row[name] or 0) for name in COLUMNS}
    named = {name for name, value in values.items() if value > 0}
    doubtful = {name for name, value in values.items() if value < 0}
    label, reason = judge(named, _CLASSES, _SIGNS)
    if "Pneumonia" in doubtful or (doubtful and not named) or (label and doubtful - _SIGNS[label]):
        return "", UNCERTAIN
    return label, reason


def _read(download: Download) -> Iterator[Row]:
    """``train.csv`` and ``valid.csv``; their paths begin with the name of the archive."""
    for name, split in (("train", "train"), ("valid", "val")):
        if name == "valid" and not download.find("valid.csv*"):
            continue
        for row in download.table(f"{name}.csv", "Path", "Frontal/Lateral", "AP/PA", *COLUMNS):
            path = row["Path"].partition("/")[2]
            view = row["AP/PA"] if row["Frontal/Lateral"] == "Frontal" else "lateral"
            label, reason = report_label(row)
            yield Row(path, label, reason, path.split("/")[1], view, split)


LAYOUT = Layout(
    "chexpert",
    "CheXpert",
    ("train/patient*", "valid/patient*"),
    _read,
    "Stanford: research only, no redistribution (Irvin et al. 2019, arXiv:1901.07031)",
    NOTE,
)
