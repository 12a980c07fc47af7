"""NIH ChestX-ray14: adults of the Clinical Center in Maryland, labels by text mining."""

from collections.abc import Iterator

from trainer.data.adapters.layout import NORMAL, PNEUMONIA, Download, Layout, Row, judge

_CLASSES = {"No Finding": NORMAL, "Pneumonia": PNEUMONIA}
_SIGNS = {PNEUMONIA: frozenset(("Infiltration", "Consolidation"))}


def _read(download: Download) -> Iterator[Row]:
    """Findings with bars between; the patient is a number, which begins the file's name with zeros before it."""
    splits = download.splits({"train_val_list.txt": "train", "test_list.txt": "test"})
    for row in download.table("Data_Entry_2017*.csv", "Image Index", "Finding Labels", "View Position"):
        name = row["Image Index"]
        label, reason = judge(row["Finding Labels"].split("|"), _CLASSES, _SIGNS)
        patient = name.partition("_")[0]
        yield Row(download.named(name), label, reason, patient, row["View Position"], splits.get(name, ""))


LAYOUT = Layout(
    "nih",
    "NIH ChestX-ray14",
    ("Data_Entry_2017*.csv*", "images_001", "images/00000001_000.png"),
    _read,
    "NIH: free, with attribution (Wang et al. 2017, doi:10.1109/CVPR.2017.369)",
    "labels by text mining, noisy: of what it calls pneumonia much is not",
)
