"""RSNA Pneumonia Detection Challenge: images of NIH ChestX-ray14, read again by radiologists."""

import json
from collections.abc import Iterator

from trainer.data.adapters.layout import NORMAL, OTHER, PNEUMONIA, Download, Layout, Row

_CLASSES = {
    "Normal": (NORMAL, ""),
    "Lung Opacity": (PNEUMONIA, ""),
    "No Lung Opacity / Not Normal": ("", OTHER),
}


def _read(download: Download) -> Iterator[Row]:
    """A row for each box, so several for an image. The patient is known where the makers' mapping to NIH lies by."""
    patients: dict[str, str] = {}
    if mapping := download.find("*mappings*.json"):
        entries = json.loads(mapping.read_text(encoding="utf-8"))
        patients = {entry["subset_img_id"]: entry["img_id"].partition("_")[0] for entry in entries}
    seen: set[str] = set()
    for row in download.table("stage_2_detailed_class_info.csv", "patientId", "class"):
        image = row["patientId"]
        if image not in seen:
            seen.add(image)
            yield Row(download.named(image), *_CLASSES.get(row["class"], ("", OTHER)), patient=patients.get(image, ""))


LAYOUT = Layout(
    "nih",
    "RSNA Pneumonia",
    ("stage_2_train_labels.csv*", "stage_2_detailed_class_info.csv*", "stage_2_train_images"),
    _read,
    "RSNA: research and education, with attribution (Shih et al. 2019, doi:10.1148/ryai.2019180041)",
    "pneumonia is an opacity that radiologists hold for it, without the patient's history",
)
