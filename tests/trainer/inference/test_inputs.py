"""What users give to ``predict``: folders with files of any name, lists from any shell, paths in any normalisation."""

import codecs
import csv
import io
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from tests.support.artifacts import store_artifact
from tests.support.dicoms import dicom
from tests.support.pictures import encode, grey, radiograph
from tests.support.server import ROOT
from trainer.cli import main
from trainer.files import find_path

JPEG, PNG = encode(grey(), "JPEG"), encode(grey(), "PNG")


@pytest.fixture
def tag(stored_artifact: Path) -> str:
    return f"chest_xray:{stored_artifact.name}"


@pytest.fixture(scope="module")
def chinese() -> str:
    return f"chest_xray:{store_artifact('chinese', classes=['正常', 'PNEUMONIA', 'TUBERCULOSIS']).name}"


def files_of(out: str) -> list[str]:
    return [Path(row["file"]).name for row in csv.DictReader(io.StringIO(out))]


def test_content_decides_which_files_of_a_folder_are_images(
    tmp_path: Path, tag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    images = {
        "IM000001": dicom(radiograph()),
        "saved.jfif": JPEG,
        "scan.tif": PNG,
        "no suffix": PNG,
        "cut.jpg": JPEG[:300],
        "damaged": PNG[:60],
        "empty.png": b"",
    }
    others = {"notes.txt": b"no image", "DICOMDIR.bak": b"\0" * 200, "empty": b""}
    for name, content in (images | others).items():
        (tmp_path / name).write_bytes(content)
    Image.new("L", (64, 64)).save(tmp_path / "other.bmp")
    assert main(["predict", str(tmp_path), "--model", tag, "--format", "csv"]) == 1
    captured = capsys.readouterr()
    assert files_of(captured.out) == sorted(images)
    assert f"{tmp_path}: 4 files that are no JPEG, PNG or DICOM images left out, e.g. " in captured.err
    rows = csv.DictReader(io.StringIO(captured.out))
    assert {Path(row["file"]).name for row in rows if row["error"]} == {"cut.jpg", "damaged", "empty.png"}


@pytest.mark.parametrize(
    ("mark", "encoding", "end"),
    [
        pytest.param(codecs.BOM_UTF16_LE, "utf-16-le", "\r\n", id="PowerShell 5"),
        pytest.param(codecs.BOM_UTF16_BE, "utf-16-be", "\r\n", id="UTF-16, the other way round"),
        pytest.param(codecs.BOM_UTF8, "utf-8", "\r\n", id="UTF-8 with a mark"),
        pytest.param(b"", "utf-8", "\n", id="a shell"),
        pytest.param(b"", "utf-8", "\0", id="find -print0"),
    ],
)
def test_a_list_of_files_is_read_whoever_wrote_it(
    mark: bytes,
    encoding: str,
    end: str,
    tmp_path: Path,
    tag: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ["first.png", "肺 é.png"]
    for name in names:
        (tmp_path / name).write_bytes(PNG)
    given = mark + "".join(f"{tmp_path / name}{end}" for name in names).encode(encoding)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    assert main(["predict", "-", "--model", tag, "--format", "csv"]) == 0
    assert files_of(capsys.readouterr().out) == names


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
@pytest.mark.parametrize("given", ["NFC", "NFD"])
def test_a_path_is_found_in_whichever_normalisation_it_is_given(
    stored: str, given: str, tmp_path: Path, tag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "Poumons é/Capture d’écran à 3.04.05\u202fPM.png"  # a no-break space, as macOS names its screenshots
    file = tmp_path / unicodedata.normalize(stored, name)  # type: ignore[arg-type]
    file.parent.mkdir()
    file.write_bytes(PNG)
    asked = tmp_path / unicodedata.normalize(given, name)  # type: ignore[arg-type]
    assert find_path(asked) == file
    for path in (asked, asked.parent):
        assert main(["predict", str(path), "--model", tag, "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["file"] == str(file)


def test_a_path_that_does_not_exist_or_can_not_be_one_stays_as_it_is(tmp_path: Path) -> None:
    for path in (tmp_path / "none" / "é.png", tmp_path / ("x" * 300), Path("é"), Path("-")):
        assert find_path(path) == path


@pytest.mark.parametrize(("form", "encoding"), [("table", "ascii"), ("csv", "cp1252"), ("json", "ascii")])
def test_names_that_the_pipe_can_not_say_are_escaped(form: str, encoding: str, chinese: str, tmp_path: Path) -> None:
    (tmp_path / "肺é.png").write_bytes(PNG)
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(PNG)
    words = [str(tmp_path), "--model", chinese, "--format", form]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "trainer", "predict", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""
    lines = done.stdout.decode(encoding, "surrogateescape")
    if form == "json":
        assert {Path(json.loads(line)["file"]).name for line in lines.splitlines()} == {"肺é.png", "\udcff.png"}
    else:
        assert "\\u6b63\\u5e38" in lines
        assert "/\udcff.png" in lines or encoding == "cp1252"
    if form == "csv":  # a file is UTF-8, whatever the terminal is
        out = tmp_path.with_suffix(".csv")
        done = subprocess.run(
            [*command, "--out", str(out)], cwd=ROOT, env=environment, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        written = out.read_text("utf-8", "surrogateescape")
        assert "正常" in written
        assert "/肺é.png" in written
        assert "/\udcff.png" in written
