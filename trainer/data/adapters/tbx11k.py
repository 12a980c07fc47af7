"""TBX11K: tuberculosis screening in China, with four older sets beside it."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from trainer.data.adapters.layout import NORMAL, OTHER, TUBERCULOSIS, UNLABELLED, Download, Layout, Row

EXTRA = "of the older sets that come with it (give those as datasets of their own)"
_CLASSES = {
    "imgs/health": (NORMAL, ""),
    "imgs/tb": (TUBERCULOSIS, ""),
    "imgs/sick": ("", OTHER),
    "imgs/test": ("", UNLABELLED),
}


def _read(download: Download) -> Iterator[Row]:
    """An image's folder is its class; the makers' lists are its split. One image a patient."""
    splits = download.splits({"lists/TBX11K_train.txt": "train", "lists/TBX11K_val.txt": "val"})
    for path in download.images:
        folder = str(PurePosixPath(path).parent)
        if path.startswith("imgs/extra/"):
            yield Row(path, "", EXTRA)
        elif folder in _CLASSES:
            name = path.removeprefix("imgs/")
            yield Row(path, *_CLASSES[folder], patient=PurePosixPath(path).stem, split=splits.get(name, ""))


LAYOUT = Layout(
    "tbx11k",
    "TBX11K",
    ("imgs/tb", "imgs/health", "lists/TBX11K_*.txt"),
    _read,
    "TBX11K: CC BY-NC-SA 2.0, not for commerce (Liu et al. 2020, doi:10.1109/CVPR42600.2020.00272)",
    "tuberculosis is active or latent",
)
