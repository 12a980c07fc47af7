from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bento.imaging.intake import read_radiograph
from tests.support import pictures
from tests.support.dicoms import dicom
from trainer.data.file_properties import FileProperties, file_properties, kinds_of_files, read_file_properties


def properties(file: Path) -> FileProperties:
    return file_properties("raw/N/a", file, read_radiograph(file, 32))


def kind(**changed: object) -> FileProperties:
    plain = FileProperties(
        path="a", format="PNG", mode="L", bits=8, width=10, height=10, bytes=99, luminance=0, chrominance=0,
        left=0, top=0, right=0, bottom=0,
    )  # fmt: skip
    return plain.model_copy(update=changed)


def test_a_jpegs_size_and_quantisation_tables(tmp_path: Path) -> None:
    grey = Image.fromarray(pictures.radiograph(90, 120))
    grey.save(tmp_path / "fine.jpg", quality=95)
    grey.convert("RGB").save(tmp_path / "coarse.jpg", quality=60)
    fine, coarse = properties(tmp_path / "fine.jpg"), properties(tmp_path / "coarse.jpg")
    assert (fine.format, fine.mode, fine.bits, fine.width, fine.height) == ("JPEG", "L", 8, 120, 90)
    assert fine.bytes == (tmp_path / "fine.jpg").stat().st_size
    assert (fine.chrominance, coarse.mode) == (0, "RGB")
    assert coarse.luminance > 4 * fine.luminance
    assert coarse.chrominance > coarse.luminance


@pytest.mark.parametrize(("mode", "bits"), [("L", 8), ("RGB", 8), ("1", 1), ("I;16", 16)])
def test_a_pngs_mode_and_bits(tmp_path: Path, mode: str, bits: int) -> None:
    pixels = pictures.radiograph()
    image = Image.fromarray(pixels.astype(np.uint16) * 257) if bits == 16 else Image.fromarray(pixels).convert(mode)
    image.save(tmp_path / "a.png")
    found = properties(tmp_path / "a.png")
    assert (found.format, found.mode, found.bits, found.luminance) == ("PNG", mode, bits, 0)


def test_dicom_has_its_size_alone(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(dicom(pictures.radiograph(90, 120)))
    found = properties(tmp_path / "a.dcm")
    assert (found.format, found.mode, found.bits, found.width, found.height) == ("DICOM", "", 0, 120, 90)


def test_uniform_borders_are_measured_whatever_their_grey(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (128, 256), dtype=np.uint8)
    pixels[:, :32], pixels[-16:] = 200, 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = properties(tmp_path / "a.png")
    assert (found.left, found.top, found.right, found.bottom) == (0.125, 0, 0, 0.125)


def test_kinds_of_files_are_told_apart_by_what_many_share() -> None:
    odd = [kind(format="JPEG", width=700 + number, luminance=500 + number) for number in range(40)]
    files = [*[kind(width=1024, height=1024)] * 40, *[kind(width=512, height=512)] * 40, *odd, kind(width=77)]
    names = kinds_of_files(files)
    assert names[:80] == ["PNG L 8 1024×1024"] * 40 + ["PNG L 8 512×512"] * 40
    assert set(names[80:120]) == {"JPEG L 8"}
    assert names[120] == "PNG L 8"
    assert kinds_of_files([kind(format="JPEG", luminance=736)] * 3) == ["JPEG L 8 quantised 736/0 10×10"] * 3


def test_a_folder_of_an_earlier_version_has_none(tmp_path: Path) -> None:
    assert read_file_properties(tmp_path) == {}
