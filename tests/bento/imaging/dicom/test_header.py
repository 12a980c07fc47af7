"""Reading a header: what is missing, damaged or far too large, and that nobody's name comes out."""

import contextlib
import logging
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from pydicom import uid

from bento.imaging.dicom import header
from bento.imaging.errors import ImageError
from bento.imaging.intake import take_in
from bento.imaging.preprocessing import Preprocessing
from tests.support.dicom_reading import IMAGE, refusal, warned
from tests.support.dicoms import LOSSLESS, LOSSY, SECRET, dicom
from tests.support.server import ROOT

PRIVATE_SEQUENCE = b"\x09\x00\x02\x10SQ\x00\x00\xff\xff\xff\xff"
ITEM = b"\xfe\xff\x00\xe0\x00\x00\x00\x00"


def test_missing_elements_are_a_warning_or_damage() -> None:
    assert not warned(dicom(IMAGE, without=["BodyPartExamined"]))
    assert warned(dicom(IMAGE, without=["Modality"]))
    for keyword in ("Rows", "Columns", "BitsAllocated", "PixelData", "PixelRepresentation"):
        assert refusal(dicom(IMAGE, without=[keyword])).slug == "damaged-image"


@pytest.mark.parametrize(
    ("data", "slug"),
    [
        (dicom(IMAGE, stream=bytes(10), syntax=uid.UID("1.2.840.10008.1.2.4.100")), "unsupported-dicom"),
        (dicom(IMAGE, stream=bytes(10), syntax=uid.UID("1.2.840.10008.1.2.4.201")), "unsupported-dicom"),
        (dicom(IMAGE, PhotometricInterpretation="PALETTE COLOR"), "unsupported-dicom"),
        (dicom(IMAGE, BitsAllocated=1, BitsStored=1), "unsupported-dicom"),
        (dicom(IMAGE, BitsAllocated=32, BitsStored=32), "unsupported-dicom"),
        (dicom(IMAGE, SamplesPerPixel=2), "unsupported-dicom"),
        (dicom(IMAGE, Rows=65535, Columns=65535), "too-many-pixels"),
        (dicom(IMAGE, Rows=0), "damaged-image"),
        (dicom(IMAGE, Rows=5000, Columns=5000), "damaged-image"),
        (dicom(IMAGE)[136:], "not-an-image"),
        (dicom(IMAGE)[128:-200], "damaged-image"),
        (dicom(IMAGE)[:200], "damaged-image"),
        (dicom(IMAGE)[:-200], "damaged-image"),
        (dicom(IMAGE).replace(b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x10\x00US\x03\x00\x01"), "damaged-image"),
        (dicom(IMAGE).replace(b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00XX"), "damaged-image"),
        (bytes(128) + b"DICM", "damaged-image"),
        (bytes(128) + b"DICM" + bytes(500), "damaged-image"),
        (bytes(128) + b"DICM" + random.Random(0).randbytes(5000), "damaged-image"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_why(data: bytes, slug: str) -> None:
    assert refusal(data).slug == slug


def bombs() -> dict[str, bytes]:
    """Files whose header would keep pydicom busy for long, or take gigabytes."""
    plain, rle = dicom(IMAGE), dicom(IMAGE, uid.RLELossless)
    start = plain.index(b"\x08\x00\x60\x00")
    pixels = rle.index(b"\xe0\x7f\x10\x00") + 12
    deflated = dicom(IMAGE, uid.DeflatedExplicitVRLittleEndian)[:400]
    return {
        "elements": plain[:start] + b"\x09\x00\x01\x10LO\x00\x00" * 500_000 + plain[start:],
        "items": plain[:start] + PRIVATE_SEQUENCE + ITEM * 500_000 + plain[start:],
        "nesting": plain[:start] + (PRIVATE_SEQUENCE + ITEM[:4] + b"\xff" * 4) * 5_000 + plain[start:],
        "a word": plain[:start] + b"\x28\x00\x50\x10UN\x00\x00" + struct.pack("<L", 4_000_000) + b"1\\" * 2_000_000,
        "character sets": plain[:start] + PRIVATE_SEQUENCE + ITEM[:4] + b"\xff" * 4
        + b"\x08\x00\x05\x00CS\xff\xff" + b"A\\" * 32_767 + plain[start:],
        "pieces": rle[:pixels] + ITEM * 500_000,
        "deflated": deflated + zlib.compress(bytes(10**8), 9)[2:],
    }  # fmt: skip


@pytest.mark.timeout(20)
def test_no_small_file_costs_much() -> None:
    slugs = {name: refusal(data).slug for name, data in bombs().items()}
    assert set(slugs.values()) == {"damaged-image", "unsupported-dicom"}


@pytest.mark.parametrize(
    ("syntax", "tag"),
    [
        (uid.ImplicitVRLittleEndian, b"\x08\x00\x60\x00"),
        (uid.ExplicitVRLittleEndian, b"\x08\x00\x60\x00"),
        (uid.ExplicitVRBigEndian, b"\x00\x08\x00\x60"),
    ],
)
def test_pydicom_still_reads_the_beginning_of_an_element_in_one_call_for_eight_bytes(
    syntax: uid.UID, tag: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags: set[bytes] = set()

    class Recorder(header.LimitedStream):
        def read(self, size: int | None = -1, /) -> bytes:
            content = super().read(size)
            tags.add(self._tag)
            return content

    monkeypatch.setattr(header, "LimitedStream", Recorder)
    header.read_header(dicom(IMAGE, syntax))
    assert tag in tags


def test_a_name_in_the_header_comes_out_nowhere(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    for syntax in [*LOSSLESS, *LOSSY]:
        data = dicom(IMAGE, syntax)
        intake = take_in(data, Preprocessing(image_size=32))
        intake.radiograph.save(tmp_path / "image.png")
        assert SECRET.encode() not in (tmp_path / "image.png").read_bytes()
        for cut in (100, len(data) // 2, 300):
            with contextlib.suppress(ImageError):
                take_in(data[:-cut], Preprocessing(image_size=32))
    written = capfd.readouterr()
    assert SECRET not in written.out + written.err + caplog.text


def test_a_program_that_meets_bad_dicom_prints_nothing(tmp_path: Path) -> None:
    name = f"{SECRET}\\{SECRET}^{'x' * 100}"
    with pytest.warns(UserWarning, match="."):
        odd = dicom(IMAGE, PatientName=name, PatientBirthDate=SECRET, PatientAge=SECRET)
    for number, data in enumerate((odd, odd[:-500], odd.replace(b"DX", b"D\\"), odd.replace(b"US", b"PN"))):
        (tmp_path / f"{number}.dcm").write_bytes(data)
    script = (
        "import sys, pathlib\n"
        "from bento.imaging.errors import ImageError\n"
        "from bento.imaging.intake import read_radiograph\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).glob('*.dcm')):\n"
        "    try: read_radiograph(path, 32)\n"
        "    except ImageError as error: print(error)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert SECRET not in done.stdout
