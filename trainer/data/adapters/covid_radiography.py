"""COVID-19 Radiography Database: put together from other sets, RSNA's and Kermany's among them."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath

from trainer.data.adapters.layout import NORMAL, OTHER, PNEUMONIA, Download, Layout, Row
from trainer.data.folder import ANNOTATIONS

_CLASSES = {
    "Normal": (NORMAL, ""),
    "Viral Pneumonia": (PNEUMONIA, ""),
    "Lung_Opacity": (PNEUMONIA, ""),
    "COVID": ("", OTHER),
}
_ORIGINS = {"rsna-pneumonia": "nih", "chest-xray-pneumonia": "kermany"}
"""Site by what an image's URL has in it."""


def _read(download: Download) -> Iterator[Row]:
    """``<class>/images/*.png``; a workbook for each class says where each image is from."""
    sites = {label: _sites(download, label) for label in _CLASSES}
    for path in download.images:
        label, _, rest = path.partition("/")
        if label in _CLASSES and "masks" in rest.split("/"):
            yield Row(path, "", ANNOTATIONS)
        elif label in _CLASSES:
            name = PurePosixPath(path).stem.casefold()
            yield Row(path, *_CLASSES[label], site=sites[label].get(name, ""))


def _sites(download: Download, label: str) -> dict[str, str]:
    """Site of each image by its name in lower case, from the workbook's columns FILE NAME and URL."""
    path = download.find(f"{label}.metadata.xlsx")
    if path is None:
        return {}
    with zipfile.ZipFile(path) as book:
        texts = re.findall(r"<si>(.*?)</si>", book.read("xl/sharedStrings.xml").decode(), re.DOTALL)
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    plain = [re.sub(r"<[^>]+>", "", text) for text in texts]
    sites = {}
    for row in re.findall(r"<row .*?</row>", sheet, re.DOTALL):
        cells = [plain[int(number)] for number in re.findall(r't="s"[^>]*><v>(\d+)</v>', row)]
        site = next((site for part, site in _ORIGINS.items() if part in "".join(cells)), "")
        if cells and site:
            sites[cells[0].casefold()] = site
    return sites


LAYOUT = Layout(
    "",
    "COVID-19 Radiography Database",
    ("COVID.metadata.xlsx", "Viral Pneumonia/images"),
    _read,
    "COVID-19 Radiography Database: research, with attribution (Chowdhury et al. 2020, Rahman et al. 2021)",
    "put together from other sets: its images are also in NIH, RSNA and Kermany; patients are not told",
)
