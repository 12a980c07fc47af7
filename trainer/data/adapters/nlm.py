"""The two sets of the National Library of Medicine: Shenzhen (China) and Montgomery County (USA)."""

import re
from collections.abc import Iterator

from trainer.data.adapters.layout import NORMAL, TUBERCULOSIS, Download, Layout, Row

_NAME = re.compile(r"(?:.*/)?CXR_png/((?:CHNCXR|MCUCXR)_\d+)_([01])\.png")
_LICENCE = "NLM: public, with attribution (Jaeger et al. 2014, doi:10.3978/j.issn.2223-4292.2014.11.20)"


def _read(download: Download) -> Iterator[Row]:
    """The last digit of a name says whether there is tuberculosis; one image a patient, all of them PA."""
    for path in download.images:
        if named := _NAME.fullmatch(path):
            yield Row(path, TUBERCULOSIS if named[2] == "1" else NORMAL, patient=named[1], view="PA")


SHENZHEN = Layout("shenzhen", "NLM Shenzhen", ("CXR_png/CHNCXR_*.png",), _read, _LICENCE)
MONTGOMERY = Layout("montgomery", "NLM Montgomery", ("CXR_png/MCUCXR_*.png",), _read, _LICENCE)
