"""VinDr-CXR: two hospitals in Hanoi, each image read by three radiologists (five for the test images)."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from trainer.data.adapters.layout import NORMAL, PNEUMONIA, TUBERCULOSIS, UNCERTAIN, Download, Layout, Row, judge
from trainer.errors import UserError

_CLASSES = {"No finding": NORMAL, "Pneumonia": PNEUMONIA, "Tuberculosis": TUBERCULOSIS}
_DISEASES = ("COPD", "Lung tumor", "Other disease")
"""Beginnings of the columns of other diseases; all other columns are signs, which a disease may have."""


def _read(download: Download) -> Iterator[Row]:
    """A row for each image and reader. What most readers say counts; our class that a minority names is uncertain."""
    folder = "annotations/" if (download.folder / "annotations").is_dir() else ""
    tables = [split for split in ("train", "test") if download.find(f"{folder}image_labels_{split}.csv*")]
    if not tables:
        raise UserError(f"{download.folder}: looks like VinDr-CXR, but has no image_labels_train.csv; put it there")
    for split in tables:
        votes, readers = defaultdict[str, Counter[str]](Counter), Counter[str]()
        for row in download.table(f"{folder}image_labels_{split}.csv", "image_id", *_CLASSES):
            image = row.pop("image_id")
            row.pop("rad_id", None)
            readers[image] += 1
            votes[image].update(name for name, value in row.items() if float(value or 0) > 0)
        for image, named in votes.items():
            found = {name for name, count in named.items() if 2 * count > readers[image]}
            signs = frozenset(name for name in found if not name.startswith(_DISEASES))
            label, reason = judge(found, _CLASSES, {PNEUMONIA: signs, TUBERCULOSIS: signs})
            if (named.keys() & {"Pneumonia", "Tuberculosis"}) - found or not found:
                label, reason = "", UNCERTAIN
            yield Row(download.named(image), label, reason, view="PA", split=split)


LAYOUT = Layout(
    "vindr",
    "VinDr-CXR",
    ("annotations/image_labels_*.csv*", "image_labels_*.csv*"),
    _read,
    "PhysioNet Credentialed Health Data License 1.5.0 (Nguyen et al. 2022, doi:10.1038/s41597-022-01498-w)",
    "patients are not told: each image counts as one; site vindr is two hospitals",
)
