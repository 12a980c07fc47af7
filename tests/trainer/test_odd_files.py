"""One folder of odd files: ``fetch``, ``split``, ``evaluate``, ``predict`` and the service agree about each of them."""

import csv
import io
import json
import zipfile
from pathlib import Path

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom import uid

from tests.support.dicoms import dicom
from tests.support.pictures import animated, encode, huge, many_scans, turned, with_alpha
from trainer.cli import main
from trainer.data.fetch_report import read_fetch_report
from trainer.data.raw import read_raw


def archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        target.writestr("image.png", PNG)
    return stream.getvalue()


def wrong_checksum(png: bytes) -> bytes:
    place = png.index(b"IDAT") + 20
    return png[:place] + bytes([png[place] ^ 255]) + png[place + 1 :]


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (90, 120), dtype=np.uint8))


def png(seed: int) -> bytes:
    return encode(picture(seed), "PNG")


def jpeg(seed: int) -> bytes:
    return encode(picture(seed), "JPEG")


def pixels(seed: int) -> npt.NDArray[np.uint8]:
    return np.asarray(picture(seed))


def colour(seed: int) -> Image.Image:
    return Image.merge("RGB", [picture(seed + i) for i in range(3)])


JPEG, PNG, DICOM = jpeg(0), png(0), dicom(pixels(0))
FILES = {
    "grey.png": png(11),
    "grey.jpg": jpeg(17),
    "upper.JPG": jpeg(18),
    "old name.jpe": jpeg(19),
    "browser.jfif": jpeg(20),
    "no-suffix": jpeg(21),
    "is a png.jpg": png(12),
    "is a jpeg.png": jpeg(22),
    "is a png.dcm": png(13),
    "is a png.tif": png(14),
    "is a dicom.png": dicom(pixels(23)),
    "IM000001": dicom(pixels(24)),
    "rle.dcm": dicom(pixels(25), uid.RLELossless),
    "signed.dcm": dicom((pixels(26).astype(np.int16) - 100) * 8),
    "inverted.dcm": dicom(pixels(27), PhotometricInterpretation="MONOCHROME1"),
    "no window.dicom": dicom(pixels(28).astype(np.uint16) * 16, bits=12),
    "colour.png": encode(colour(30), "PNG"),
    "colour.jpg": encode(colour(31), "JPEG"),
    "print.jpg": encode(colour(32).convert("CMYK"), "JPEG"),
    "palette.png": encode(colour(33).quantize(64), "PNG"),
    "one bit.png": encode(picture(34).convert("1"), "PNG"),
    "sixteen bits.png": encode(Image.fromarray(pixels(90).astype(np.uint16) * 256), "PNG"),
    "clear.png": encode(with_alpha("LA", 0), "PNG"),
    "opaque.png": encode(with_alpha("RGBA", 255), "PNG"),
    "turned.jpg": turned(),
    "animated.png": animated(),
    "progressive.jpg": encode(picture(35), "JPEG", progressive=True),
    "one pixel.png": encode(Image.new("L", (1, 1)), "PNG"),
    "one row.png": encode(Image.new("L", (200, 1)), "PNG"),
    "more after the end.jpg": JPEG + b"trailing bytes" * 100,
    "emoji 🫁 肺.png": png(15),
    "quote \" and 'comma',.png": png(16),
    "cut.jpg": JPEG[: len(JPEG) // 2],
    "cut.png": PNG[: len(PNG) // 2],
    "cut.dcm": DICOM[: len(DICOM) // 2],
    "header.png": PNG[:20],
    "checksum.png": wrong_checksum(PNG),
    "bomb.png": huge(60_000, 60_000),
    "scans.jpg": many_scans(2000),
    "lateral.dcm": dicom(pixels(29), BodyPartExamined="HAND"),
    "empty.png": b"",
    "empty": b"",
    "page.jpg": b"<!doctype html><title>404</title>",
    "notes.txt": b"to be done",
    "moving.gif": encode(picture(36), "GIF"),
    "scan.tiff": encode(picture(37), "TIFF"),
    "windows.bmp": encode(picture(38), "BMP"),
    "web.webp": encode(picture(39), "WEBP"),
    "archive.zip": archive(),
}
"""Of the class NORMAL; those from ``cut.jpg`` on can't be read."""
READABLE = list(FILES)[: list(FILES).index("cut.jpg")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("odd")
    for label in ("NORMAL", "PNEUMONIA"):
        (root / label).mkdir()
    for name, content in FILES.items():
        (root / "NORMAL" / name).write_bytes(content)
    for number in range(12):
        picture(1000 + number).save(root / "PNEUMONIA" / f"{number}.png")
    (root / "NORMAL" / ".hidden.png").write_bytes(PNG)
    (root / "NORMAL" / "Thumbs.db").write_bytes(PNG)
    return root


@pytest.fixture(scope="module")
def answers(folder: Path, service_url: str) -> dict[str, str]:
    """What the service says of each file: empty, or why it can't be read."""
    said = {}
    with httpx.Client(base_url=service_url, timeout=30) as client:
        for name, content in FILES.items():
            answer = client.post("/predict", files={"file": (name, content, "application/octet-stream")})
            assert answer.status_code < 500, name
            said[name] = "" if answer.status_code == 200 else answer.json()["detail"]
    return said


def test_the_service_reads_what_can_be_read(answers: dict[str, str]) -> None:
    assert [name for name, reason in answers.items() if not reason] == READABLE


def test_fetch_and_split_agree_with_it(folder: Path, answers: dict[str, str], tmp_path: Path) -> None:
    words = ["--dataset", str(folder), "--data-dir", str(tmp_path / "data")]
    assert main(["fetch", *words]) == 0
    report = read_fetch_report(tmp_path / "data")
    assert report is not None
    unreadable = {name.removeprefix("NORMAL/"): reason for name, reason in report.unreadable.items()}
    assert unreadable == {name: reason for name, reason in answers.items() if reason}
    fetched = {record.original for record in read_raw(tmp_path / "data")}
    assert {name for name in fetched if name.startswith("NORMAL/")} == {f"NORMAL/{name}" for name in READABLE}
    assert main(["split", *words]) == 0
    with (tmp_path / "data" / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        assert sum(row["label"] == "NORMAL" for row in csv.DictReader(stream)) == len(READABLE)


def test_evaluate_agrees_with_it(folder: Path, answers: dict[str, str], stored_artifact: Path, tmp_path: Path) -> None:
    tag = f"chest_xray:{stored_artifact.name}"
    assert main(["evaluate", "--model", tag, "--dataset", str(folder), "--out", str(tmp_path)]) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert {Path(name).name: reason for name, reason in metrics["unreadable"].items()} == {
        name: reason for name, reason in answers.items() if reason
    }
    assert metrics["test"]["per_class"]["NORMAL"]["support"] == len(READABLE)


def test_predict_agrees_with_it_and_says_what_it_leaves_out(
    folder: Path, answers: dict[str, str], stored_artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tag = f"chest_xray:{stored_artifact.name}"
    assert main(["predict", str(folder / "NORMAL"), "--model", tag, "--format", "json"]) == 1
    captured = capsys.readouterr()
    lines = {Path(line["file"]).name: line for line in map(json.loads, captured.out.splitlines())}
    left_out = set(FILES) - set(lines)
    assert left_out == {
        "empty",
        "notes.txt",
        "moving.gif",
        "scan.tiff",
        "windows.bmp",
        "web.webp",
        "archive.zip",
    }
    assert "7 files that are no JPEG, PNG or DICOM images left out" in captured.err
    for name, line in lines.items():
        assert line.get("error", {"detail": ""})["detail"] == answers[name], name
    # A file that is named is not left out, whatever it is; a text file is a list of names.
    words = [str(folder / "NORMAL" / name) for name in sorted(left_out - {"notes.txt"})]
    assert main(["predict", *words, "--model", tag, "--format", "json"]) == 1
    for line in map(json.loads, capsys.readouterr().out.splitlines()):
        assert line["error"]["detail"] == answers[Path(line["file"]).name]
