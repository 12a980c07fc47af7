"""Answers in Parquet: the rows of CSV with types, kept whole file by whole file, and never mixed with others."""

import csv
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from bento.artifact import ONNX_FILE, load_manifest
from tests.support.artifacts import CLASSES, store_artifact
from tests.support.server import ROOT
from trainer.cli import main
from trainer.inference.parquet_answers import shown_name

MANY = 1000


@pytest.fixture
def radiographs(tmp_path: Path) -> Path:
    """Three images and a broken one; a name that is not UTF-8."""
    folder = tmp_path / "radiographs"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for name in ("a.png", "b.jpg", os.fsdecode(b"\xff.png")):
        Image.fromarray(noise.integers(0, 256, (64, 80), dtype=np.uint8)).save(folder / name)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no image")
    return folder


@pytest.fixture
def words(radiographs: Path, stored_artifact: Path, tmp_path: Path) -> list[str]:
    model = f"chest_xray:{stored_artifact.name}"
    return ["predict", str(radiographs), "--model", model, "--out", str(tmp_path / "answers.parquet")]


def test_rows_are_those_of_csv_with_types_and_the_graphs_hash(
    words: list[str], stored_artifact: Path, tmp_path: Path
) -> None:
    out = tmp_path / "answers.parquet"
    assert main(words) == 1
    assert main([*words[:-1], str(tmp_path / "answers.csv"), "--format", "csv"]) == 1
    table = parquet.read_table(out)
    with (tmp_path / "answers.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        wanted = [row | {"file": shown_name(row["file"])} for row in csv.DictReader(stream)]
    assert table.column_names == [*wanted[0], "model_sha256"]
    for name in ("flagged_PNEUMONIA", "flagged_TUBERCULOSIS"):
        assert table.schema.field(name).type == pa.bool_()
    for name in (*CLASSES, "novelty"):
        assert table.schema.field(name).type == pa.float64()
    graph = load_manifest(stored_artifact).files[ONNX_FILE]
    for row, cells in zip(table.to_pylist(), wanted, strict=True):
        assert row.pop("model_sha256") == graph
        text = {name: str(cell).lower() if isinstance(cell, bool) else cell for name, cell in row.items()}
        assert {name: "" if cell is None else str(cell) for name, cell in text.items()} == cells
    with (out / "_failed.csv").open(newline="") as stream:
        failed = [(row["file"], row["error"]) for row in csv.DictReader(stream)]
    assert failed == [(row["file"], row["error"]) for row in wanted if row["error"]]
    assert len(failed) == 1


def test_what_has_a_row_is_not_done_again(
    words: list[str], radiographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(words[-1])
    assert main(words) == 1
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    capsys.readouterr()
    assert main(words) == 1
    assert "has 4 of the 4 files already; they are skipped" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    Image.new("L", (80, 64), 90).save(radiographs / "new.png")
    (out / ".part-000001.parquet.tmp").write_bytes(b"half")  # of a killed command
    assert main(words) == 1
    assert sorted(path.name for path in out.iterdir()) == [
        ".lock", "_failed.csv", "part-000000.parquet", "part-000001.parquet",
    ]  # fmt: skip
    assert parquet.read_table(out / "part-000001.parquet")["file"].to_pylist() == [str(radiographs / "new.png")]


MISTAKES = [
    # one row a sentence: what the folder holds, what the line must say
    ("a file", "a file; Parquet answers are a folder"),
    ("another file", "has other files, e.g. notes.txt"),
    ("no Parquet", "part-000000.parquet is no file of answers, or damaged"),
    ("other columns", "part-000000.parquet has other columns than this model's answers"),
    ("another model", "made by the model version another, not served"),
    ("the same version of another graph", "made by another model than this one of the version served"),
    ("a lock", "another command is writing into it"),
]


@pytest.mark.parametrize(("holds", "sentence"), MISTAKES)
def test_a_folder_of_other_things_is_left_alone(
    holds: str, sentence: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(words[-1])
    part = out / "part-000000.parquet"
    lock = None
    if holds == "a file":
        out.write_text("mine")
    else:
        out.mkdir()
    if holds == "another file":
        (out / "notes.txt").write_text("mine")
    elif holds == "no Parquet":
        part.write_bytes(b"mine")
    elif holds == "other columns":
        parquet.write_table(pa.table({"file": ["a.png"], "error": ["x"]}), part)
    elif holds == "another model":
        model = f"chest_xray:{store_artifact('another').name}"
        assert main([*words[:2], "--model", model, "--out", str(out)]) == 1
    elif holds == "the same version of another graph":
        assert main(words) == 1
        table = parquet.read_table(part)
        about = table.schema.metadata | {b"model_sha256": b"0" * 64}
        parquet.write_table(table.replace_schema_metadata(about), part)
    elif holds == "a lock":
        lock = (out / ".lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    before = out.read_bytes() if out.is_file() else {path: path.read_bytes() for path in out.iterdir()}
    capsys.readouterr()
    assert main(words) == 2
    errors = capsys.readouterr().err
    assert sentence in errors
    assert len(errors.splitlines()) == 1
    after = out.read_bytes() if out.is_file() else {path: path.read_bytes() for path in out.iterdir()}
    if isinstance(after, dict):
        after.pop(out / ".lock", None)
    if isinstance(before, dict):
        before.pop(out / ".lock", None)
    assert after == before
    if lock:
        lock.close()


def test_a_format_and_a_name_that_differ_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--format", "csv"]) == 2
    assert "a name in .parquet, but --format csv; give one of them" in capsys.readouterr().err
    assert not Path(words[-1]).exists()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_command_keeps_whole_files_and_goes_on(
    stop: signal.Signals, words: list[str], tmp_path: Path
) -> None:
    many, out = tmp_path / "many", Path(words[-1])
    many.mkdir()
    for number in range(MANY):
        os.link(Path(words[1], "a.png"), many / f"{number:04d}.png")
    words[1] = str(many)
    # Files are written after some milliseconds, so that few images are enough to be in the middle.
    program = (
        "import sys; from trainer.inference import parquet_answers; parquet_answers.PART_SECONDS = 0.02\n"
        "from trainer.__main__ import main; sys.exit(main())"
    )
    process = subprocess.Popen(["nice", sys.executable, "-c", program, *words], cwd=ROOT, stderr=-1, text=True)
    while not list(out.glob("part-*")):
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(stop)
    _, errors = process.communicate(timeout=60)
    kept = parquet.read_table(out).num_rows
    assert 0 < kept < MANY
    if stop == signal.SIGINT:
        assert process.returncode == 130
        line = f"trainer: interrupted; {out} has what is finished, and the same command goes on with the rest"
        assert errors.strip() == line
    assert main(words) == 0
    assert sorted(parquet.read_table(out)["file"].to_pylist()) == sorted(map(str, many.iterdir()))
