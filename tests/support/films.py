"""Films as a hospital's archive holds them: generated chest images with patient, study and series."""

from datetime import date
from typing import Any

import numpy as np
from pydicom import uid

from tests.support.dicoms import SECRET, Pixels, dicom

PATIENT_NUMBER = "48151623"
"""In every element that numbers a patient, and in no other."""
SIDE = 96
CHARACTER_SETS: dict[str, tuple[str | list[str], str]] = {
    "latin": ("ISO_IR 100", f"{SECRET}^Jürgen"),
    "utf-8": ("ISO_IR 192", f"{SECRET}^李^Ω"),
    "japanese": (["", "ISO 2022 IR 87"], f"{SECRET}^Taro=山田^太郎"),
    "korean": (["", "ISO 2022 IR 149"], f"{SECRET}^Gildong=洪^吉洞"),
}
"""Values of SpecificCharacterSet, with a name that needs them."""
OPTIONAL = (
    "BodyPartExamined", "ViewPosition", "PatientOrientation", "StudyDescription", "AccessionNumber", "StudyID",
    "PatientBirthDate", "PatientSex", "PatientAge", "ReferringPhysicianName", "StudyTime", "InstitutionName",
    "PixelSpacing", "ImageType",
)  # fmt: skip
"""Elements that an image may lack."""


def film_uid(*parts: int | str) -> uid.UID:
    """The UID of a test's film, always the same for the same parts."""
    return uid.generate_uid(entropy_srcs=["film", *map(str, parts)])


def picture(number: int, side: int = SIDE, dtype: type[np.generic] = np.uint16) -> Pixels:
    """A grey picture, different for each number, of values in 12 (or 8) bits."""
    rng = np.random.default_rng(number)
    top = 4095 if np.dtype(dtype).itemsize == 2 else 255
    x = np.linspace(0, 1, side)
    ground = np.outer(np.sin(np.pi * x), 0.3 + 0.4 * np.abs(x - 0.5)) + 0.1 * rng.random((side, side))
    return (top * np.clip(ground + 0.2 * rng.random(), 0, 1)).astype(dtype)


def film(number: int, syntax: uid.UID = uid.ExplicitVRLittleEndian, *, side: int = SIDE, **elements: Any) -> bytes:
    """The bytes of a frontal chest image.

    Args:
        number: images of different numbers are of different studies.
        syntax: transfer syntax.
        side: in pixels.
        elements: by keyword, beyond or instead of the usual ones; ``without``, ``bits`` as for :func:`dicom`.
    """
    narrow = syntax in (uid.JPEGBaseline8Bit,)
    pixels = picture(number, side, np.uint8 if narrow else np.uint16)
    usual: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 100", "SOPClassUID": uid.ComputedRadiographyImageStorage, "Modality": "CR",
        "SOPInstanceUID": film_uid("image", number), "StudyInstanceUID": film_uid("study", number),
        "SeriesInstanceUID": film_uid("series", number), "PatientID": PATIENT_NUMBER,
        "PatientSex": "O", "PatientAge": "061Y", "StudyDate": f"{date.today():%Y%m%d}", "StudyTime": "101500",
        "StudyID": "1", "AccessionNumber": f"A{number}", "SeriesNumber": 1, "InstanceNumber": 1,
        "ImageType": ["ORIGINAL", "PRIMARY"], "ViewPosition": "PA", "PatientOrientation": ["L", "F"],
        "PixelSpacing": [0.2, 0.2], "bits": 8 if narrow else 12,
    }  # fmt: skip
    return dicom(pixels, syntax, **(usual | elements))
