"""The Kaggle set ``muhammadrehan00/chest-xray-dataset``: put together so that every class has its own origin."""

from collections.abc import Iterator

from trainer.data.adapters.layout import Download, Layout, Row
from trainer.data.dataset_table import SPLIT_NAMES

_CLASSES = ("normal", "pneumonia", "tuberculosis")


def _read(download: Download) -> Iterator[Row]:
    """``train``, ``val`` and ``test`` with folders of classes; neither patients nor sites are told."""
    for path in download.images:
        part, _, rest = path.partition("/")
        label = rest.partition("/")[0]
        if part in SPLIT_NAMES and label in _CLASSES:
            yield Row(path, label.upper(), split=SPLIT_NAMES[part])


LAYOUT = Layout(
    "",
    "the Kaggle set muhammadrehan00/chest-xray-dataset",
    ("train/tuberculosis/tuberculosis-*.jpg",),
    _read,
    "not stated; put together from other sets, which are to be cited",
    "every class has its own origin: a model that tells the origins apart looks as if it told the diseases",
)
