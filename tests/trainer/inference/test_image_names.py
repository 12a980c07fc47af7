"""What a command may be asked about: lists of names, and URLs of files and folders."""

import csv
import functools
import http.server
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from trainer.cli import main
from trainer.errors import UserError
from trainer.inference.image_names import given_images

pytest.importorskip("fsspec", reason="fsspec is not installed: pip install -e '.[ray]'")


@pytest.fixture
def radiographs(tmp_path: Path) -> Path:
    folder = tmp_path / "radiographs"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(noise.integers(0, 256, (64, 80), dtype=np.uint8)).save(folder / name)
    (folder / "notes").write_text("no image")
    return folder


@pytest.fixture
def url(radiographs: Path) -> Iterator[str]:
    """A server of the images."""

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Silent, directory=str(radiographs))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def answers(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


@pytest.mark.parametrize("ending", ["txt", "csv", "parquet"])
def test_a_list_names_images(
    ending: str, radiographs: Path, tmp_path: Path, stored_artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [str(radiographs / name) for name in ("b.png", "a.png", "gone.png")]
    path = tmp_path / f"names.{ending}"
    if ending == "txt":
        path.write_text("\n".join(names) + "\n")
    elif ending == "csv":
        path.write_text("number,file\n" + "".join(f"{number},{name}\n" for number, name in enumerate(names)))
    else:
        parquet.write_table(pa.table({"number": range(3), "file": names}), path)
    assert main(["predict", str(path), "--model", f"chest_xray:{stored_artifact.name}", "--format", "csv"]) == 1
    rows = answers(capsys)
    assert [row["file"] for row in rows] == names
    assert rows[2]["error"] == "unreadable-image: No such file or directory"


def test_the_list_of_what_failed_is_a_list(radiographs: Path, tmp_path: Path, stored_artifact: Path) -> None:
    out, again = tmp_path / "answers.parquet", tmp_path / "again.parquet"
    model = ["--model", f"chest_xray:{stored_artifact.name}"]
    (tmp_path / "names.txt").write_text(f"{radiographs}/a.png\n{radiographs}/late.png\n")
    assert main(["predict", str(tmp_path / "names.txt"), *model, "--out", str(out)]) == 1
    (radiographs / "c.png").rename(radiographs / "late.png")
    assert main(["predict", str(out / "_failed.csv"), *model, "--out", str(again)]) == 0
    assert parquet.read_table(again)["file"].to_pylist() == [f"{radiographs}/late.png"]


def test_an_image_from_a_server_has_the_answer_of_its_file(
    radiographs: Path, url: str, tmp_path: Path, stored_artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", f"chest_xray:{stored_artifact.name}", "--format", "csv"]
    names = tmp_path / "names.txt"
    names.write_text(f"{radiographs}/a.png\n{url}/a.png\n{url}/gone.png\n")
    assert main(["predict", str(names), *words]) == 1
    local, remote, gone = answers(capsys)
    assert remote | {"file": ""} == local | {"file": ""}
    assert gone["error"].startswith("unreadable-image: can't be fetched (")


def test_the_images_of_a_remote_folder_are_found_by_their_names(radiographs: Path) -> None:
    notes: list[str] = []
    found = given_images([f"file://{radiographs}"], notes.append)
    assert found == [f"file://{radiographs}/{name}" for name in ("a.png", "b.png", "c.png")]
    line = "1 files whose names do not end like those of images (a list may name them) left out, e.g. notes"
    assert notes == [f"file://{radiographs}: {line}"]


MISTAKES = [
    # one row a sentence: what is given, what the line must say
    ("gone.txt", "gone.txt: no such file or folder"),
    ("empty.txt", "empty.txt: names no file"),
    ("half.parquet", "half.parquet: no Parquet file of names, or a damaged one"),
    ("other.parquet", "other.parquet: has no column 'file' of names (columns: path)"),
    ("other.csv", "other.csv: has no column 'file' of names (columns: path)"),
    ("short.csv", "short.csv line 2: not a CSV file of as many cells"),
    ("latin.csv", "latin.csv: byte 5 is not UTF-8"),
    ("folder.txt", "folder.txt: can't be read (Is a directory)"),
    ("what://a.png", "what://a.png: can't be opened"),
    ("file:///gone", "file:///gone: no such file or folder"),
]


@pytest.mark.parametrize(("given", "sentence"), MISTAKES)
def test_a_mistake_is_a_line(given: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").write_text("\n\n")
    Path("half.parquet").write_bytes(b"PAR1")
    parquet.write_table(pa.table({"path": ["a.png"]}), "other.parquet")
    Path("other.csv").write_text("path\na.png\n")
    Path("short.csv").write_text("number,file\n1\n")
    Path("latin.csv").write_bytes(b"file\n\xff.png\n")
    Path("folder.txt").mkdir()
    with pytest.raises(UserError) as caught:
        given_images([given], lambda note: None)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
