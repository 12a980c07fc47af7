"""PadChest: San Juan hospital in Alicante, labels by physicians and by a network that read reports."""

import ast
from collections.abc import Iterator

from trainer.data.adapters.layout import (
    NORMAL,
    PNEUMONIA,
    TUBERCULOSIS,
    Download,
    Layout,
    Row,
    judge,
)  # fmt: skip

_CLASSES = {
    "normal": NORMAL,
    "pneumonia": PNEUMONIA,
    "atypical pneumonia": PNEUMONIA,
    "tuberculosis": TUBERCULOSIS,
}
_INFILTRATES = frozenset((
    "infiltrates", "interstitial pattern", "ground glass pattern", "reticular interstitial pattern",
    "reticulonodular interstitial pattern", "alveolar pattern", "consolidation", "air bronchogram",
    "increased density", "bronchovascular markings", "unchanged",
))  # fmt: skip
_SIGNS = {
    NORMAL: frozenset(("unchanged",)),
    PNEUMONIA: _INFILTRATES,
    TUBERCULOSIS: _INFILTRATES | {
        "cavitation", "nodule", "multiple nodules", "miliary opacities", "granuloma", "calcified granuloma",
        "fibrotic band", "volume loss", "adenopathy", "pleural effusion", "apical pleural thickening",
        "pleural thickening", "bronchiectasis", "pulmonary mass",
    },
}  # fmt: skip
_VIEWS = {"PA": "PA", "AP": "AP", "AP_horizontal": "AP"}


def _read(download: Download) -> Iterator[Row]:
    """Findings are a list as Python writes it, with blanks and empty strings in it; images lie in numbered folders."""
    columns = ("ImageID", "PatientID", "Projection", "Labels")
    for row in download.table("PADCHEST_chest_x_ray_images_labels_*.csv", *columns):
        listed = row["Labels"]
        findings = ast.literal_eval(listed) if listed.startswith("[") else []
        label, reason = judge({text for one in findings if (text := one.strip())}, _CLASSES, _SIGNS)
        view = _VIEWS.get(row["Projection"], "other")
        yield Row(download.named(row["ImageID"]), label, reason, row["PatientID"], view)


LAYOUT = Layout(
    "padchest",
    "PadChest",
    ("PADCHEST_chest_x_ray_images_labels_*.csv*",),
    _read,
    "PadChest: research, with attribution, no redistribution (Bustos et al. 2020, doi:10.1016/j.media.2020.101797)",
    "three quarters of the labels are by a network that read reports",
)
