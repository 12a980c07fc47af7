"""What DICOM files look like to the intake: their greys, the sentences of their warnings, or why they are refused."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bento.imaging.errors import ImageError
from bento.imaging.intake import read_radiograph
from tests.support import pictures
from tests.support.dicoms import SECRET

IMAGE = pictures.radiograph()
DEEP = IMAGE.astype(np.uint16) * 16
"""The same in 12 bits."""
WIDE: dict[str, Any] = {"WindowCenter": 2048, "WindowWidth": 4096}
"""The window of all of them."""


def shown(data: bytes) -> npt.NDArray[np.int64]:
    """The image's greys."""
    decoded = read_radiograph(data, 32)
    assert (decoded.radiograph.mode, decoded.stored_format) == ("L", "DICOM")
    return np.asarray(decoded.radiograph).astype(np.int64)


def refusal(data: bytes) -> ImageError:
    """Why the file is refused."""
    with pytest.raises(ImageError) as caught:
        read_radiograph(data, 32)
    assert SECRET not in str(caught.value)
    return caught.value


def warned(data: bytes) -> str:
    """The sentences that the intake says of the header."""
    return " ".join(warning.text for warning in read_radiograph(data, 32).warnings if warning.kind == "dicom")


def difference(data: bytes, expected: npt.NDArray[Any] = IMAGE) -> int:
    """The largest difference of the image's greys from what is expected."""
    return int(np.abs(shown(data) - expected).max())
