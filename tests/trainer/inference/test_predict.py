"""Prediction from the shell: the service's answers, files that keep them, interrupts, heat maps."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from bento.imaging.intake import take_in
from bento.imaging.preprocessing import Preprocessing
from bento.inference.overlays import overlay
from tests.support.artifacts import CLASSES, store_artifact
from tests.support.server import ROOT
from trainer.cli import main
from trainer.inference.predict import picture_name

MANY = 4000


def radiograph(path: Path, seed: int = 0, size: tuple[int, int] = (80, 64)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


@pytest.fixture
def radiographs(tmp_path: Path) -> Path:
    """Three images, one of them in a folder below, and a broken one."""
    folder = tmp_path / "radiographs"
    for seed, name in enumerate(("a.png", "b.jpg", "below/a.png")):
        radiograph(folder / name, seed)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no image")
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """So many images that a process can be stopped in the middle; one of them is broken."""
    folder = tmp_path / "many"
    originals = [radiograph(tmp_path / f"{seed}.png", seed) for seed in range(3)]
    folder.mkdir()
    for number in range(MANY):
        os.link(originals[number % 3], folder / f"{number:05d}.png")
    (folder / "00010.png").unlink()
    (folder / "00010.png").write_bytes(b"x")
    return folder


@pytest.fixture
def tag(stored_artifact: Path) -> str:
    return f"chest_xray:{stored_artifact.name}"


@pytest.fixture(scope="module")
def other() -> str:
    return f"chest_xray:{store_artifact('other').name}"


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "trainer", "predict", *words]


def test_json_is_the_services_answer_with_the_file(
    radiographs: Path, tag: str, client: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(radiographs), "--model", tag, "--format", "json"]) == 1
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert [Path(line["file"]).name for line in lines] == ["a.png", "b.jpg", "broken.png", "a.png"]
    for line in lines:
        path = Path(line.pop("file"))
        answer = client.post("/predict", files={"file": (path.name, path.read_bytes(), "image/png")})
        if path.name == "broken.png":
            problem = answer.json()
            assert problem["type"] == f"/problems/{line['error']['slug']}"
            assert problem["detail"] == line["error"]["detail"]
        else:
            assert line == answer.json()
    left_out = f"{radiographs}: 1 files that are no JPEG, PNG or DICOM images left out, e.g. notes.txt"
    assert captured.err == f"{left_out}\ntrainer: 1 of the files can't be read; their lines say why\n"


def test_csv_has_a_probability_a_class_and_a_flag_an_operating_point(
    radiographs: Path, tag: str, stored_artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["predict", str(radiographs), "--model", tag, "--format", "json"])
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    main(["predict", str(radiographs), "--model", tag, "--format", "csv"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    flags = ["flagged_PNEUMONIA", "flagged_TUBERCULOSIS"]
    doubts = ["novelty", "input_warnings"]
    assert list(rows[0]) == ["file", "error", "label", *flags, *CLASSES, *doubts, "model_version"]
    for row, value in zip(rows, objects, strict=True):
        assert row["file"] == value["file"]
        assert row["model_version"] == stored_artifact.name
        if "error" in value:
            assert row["error"] == f"{value['error']['slug']}: {value['error']['detail']}"
            assert {row[name] for name in ("label", *flags, *CLASSES, *doubts)} == {""}
        else:
            assert {p["label"]: p["confidence"] for p in value["predictions"]} == {
                name: float(row[name]) for name in CLASSES
            }
            assert row["label"] == value["predictions"][0]["label"]
            assert float(row["novelty"]) == value["novelty"]["score"]
            assert row["input_warnings"].split() == [one["kind"] for one in value["input_warnings"]]
            assert [row[f"flagged_{flag['label']}"] for flag in value["flags"]] == [
                str(flag["flagged"]).lower() for flag in value["flags"]
            ]


def test_the_table_has_a_line_a_file(radiographs: Path, tag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(radiographs), "--model", tag]) == 1
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["file", "label", *CLASSES, "flagged,", "!doubted"]
    assert len(lines) == 4
    assert "the image's header is damaged" in lines[2] or "not an image" in lines[2]


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\0"])
def test_names_come_from_standard_input(
    radiographs: Path,
    tag: str,
    separator: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = [os.fsencode(radiographs / name) for name in ("b.jpg", "a.png", "gone.png")]
    given = io.BytesIO(separator.join(names) + separator)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(given))
    assert main(["predict", "-", "--model", tag, "--format", "csv"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [Path(row["file"]).name for row in rows] == ["b.jpg", "a.png", "gone.png"]
    assert rows[2]["error"] == "unreadable-image: No such file or directory"


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_file_name_need_not_be_utf8_nor_one_line(form: str, tmp_path: Path, tag: str) -> None:
    out = tmp_path / "out"
    folder = radiograph(tmp_path / "radiographs" / os.fsdecode(b'\xff "a",\nb.png')).parent
    words = ["predict", str(folder), "--model", tag, "--format", form, "--out", str(out)]
    assert main(words) == 0
    before = out.read_bytes()
    assert (b"\xff" if form == "csv" else b"\\udcff") in before
    assert main(words) == 0
    assert out.read_bytes() == before


MISTAKES = [
    # one row a sentence: words after the model, what the line must say
    (["gone.png"], "gone.png: no such file or folder"),
    (["empty"], "empty: no JPEG, PNG or DICOM file in this folder"),
    (["radiographs", "--out", "x.csv"], "give --format csv or json with it"),
    (["radiographs", "--format", "csv", "--out", "other.csv"], "its first line is not the one"),
    (["radiographs", "--format", "json", "--out", "other.csv"], "is no answer of this form"),
    (["radiographs", "--format", "csv", "--out", "half.csv"], "no answers of predict"),
    (["radiographs", "--format", "json", "--out", "half.csv"], "no answers of predict"),
    (["radiographs", "--format", "csv", "--out", "empty"], "Is a directory"),
    (["radiographs", "--explain", "radiographs/maps"], "lies in radiographs, whose images are read"),
]


@pytest.mark.parametrize(("words", "sentence"), MISTAKES)
def test_a_mistake_is_one_line_and_leaves_every_file_alone(
    words: list[str],
    sentence: str,
    radiographs: Path,
    tag: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("other.csv").write_text("path,label\nx,y\n")
    Path("half.csv").write_text("my only copy")
    assert main(["predict", *words, "--model", tag]) == 2
    errors = capsys.readouterr().err
    assert sentence in errors
    assert len(errors.splitlines()) == 1
    assert Path("other.csv").read_text() == "path,label\nx,y\n"
    assert Path("half.csv").read_text() == "my only copy"


@pytest.mark.parametrize("form", ["csv", "json"])
def test_answers_of_another_model_are_not_mixed_in(
    form: str, radiographs: Path, tag: str, other: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(radiographs), "--format", form, "--out", str(tmp_path / "out")]
    assert main([*words, "--model", tag]) == 1
    before = (tmp_path / "out").read_bytes()
    capsys.readouterr()
    assert main([*words, "--model", other]) == 2
    assert "made by the model version served, not other" in capsys.readouterr().err
    assert (tmp_path / "out").read_bytes() == before


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_finished_file_is_left_as_it_is_and_its_errors_still_count(
    form: str, radiographs: Path, tag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["predict", str(radiographs), "--format", form, "--out", str(out), "--model", tag]
    assert main(words) == 1
    before = out.read_bytes()
    capsys.readouterr()
    assert main(words) == 1
    assert "has 4 of the 4 files already; they are skipped\ntrainer: 1 of the files" in capsys.readouterr().err
    assert out.read_bytes() == before
    # Whatever part of the last line a killed process has written, and of the first one.
    for size in (1, 5, len(before) // 2, len(before) - 1):
        out.write_bytes(before[:size])
        assert main(words) == 1
        assert out.read_bytes() == before


@pytest.mark.parametrize(("form", "stop"), [("csv", signal.SIGKILL), ("json", signal.SIGINT)])
def test_a_run_stopped_in_the_middle_goes_on_with_the_same_command(
    form: str, stop: signal.Signals, many: Path, tag: str, tmp_path: Path
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    words = command(str(many), "--model", tag, "--format", form)
    # On a busy machine the one who watches must come first.
    slow = ["nice", "-n", "19", *words, "--out", str(out)]
    process = subprocess.Popen(slow, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while not out.is_file() or out.stat().st_size < 20_000:
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(stop)
    errors = process.communicate(timeout=60)[1]
    found = out.read_bytes().count(b"\n")
    assert 10 < found < MANY
    if stop == signal.SIGINT:
        assert process.returncode == 130
        assert errors.strip() == (
            f"trainer: interrupted; {out} has what is finished, and the same command goes on with the rest"
        )
    else:
        assert process.returncode == -stop
    done = subprocess.run([*words, "--out", str(out)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    skipped = found - (form == "csv")
    assert f"{out}: has {skipped:,} of the {MANY:,} files already; they are skipped" in done.stderr
    assert subprocess.run([*words, "--out", str(whole)], cwd=ROOT, check=False).returncode == 1
    assert out.read_bytes() == whole.read_bytes()


def test_a_reader_that_leaves_is_no_error(many: Path, tag: str) -> None:
    words = command(str(many), "--model", tag, "--format", "csv")
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"file,error,label")
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_explain_writes_a_picture_an_image_and_none_for_a_broken_one(
    radiographs: Path, tag: str, tmp_path: Path
) -> None:
    maps = tmp_path / "maps"
    assert main(["predict", str(radiographs), "--model", tag, "--explain", str(maps)]) == 1
    names = {picture_name(radiographs / name) for name in ("a.png", "b.jpg", "below/a.png")}
    assert {path.name for path in maps.iterdir()} == names
    assert len(names) == 3
    for path in maps.iterdir():
        with Image.open(path) as picture:
            assert (picture.mode, picture.size) == ("RGB", (80, 64))


def test_the_heat_lies_on_the_image_where_the_frame_says() -> None:
    # A wide image in the model's square: the first and the last row of the map's 4×4 cells lie beyond it.
    taken = take_in(_png(Image.new("L", (400, 200), 60)), Preprocessing(image_size=64))
    cam = np.zeros((4, 4), np.float32)
    cam[1, 2] = 5.0
    heat = np.asarray(overlay(taken.radiograph, cam, taken.frame)).astype(int).sum(axis=2)
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert (x / taken.radiograph.width, y / taken.radiograph.height) == pytest.approx((0.625, 0.25), abs=0.03)
    assert heat[:, : taken.radiograph.width // 4].max() == heat[-1].max() == 180


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
