"""An archive on a real Ray cluster of two nodes: a node and the command are killed, no row is lost or twice."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from tests.support.ray_nodes import TOKEN, Node, two_nodes
from tests.support.server import ROOT
from trainer.cli import main

IMAGES = 300
SIDE = 1600
PICTURES = 6
"""Different images; each name is a link to one of them."""
BROKEN = 7
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install -e '.[ray]'")
# Rows are written after half a second, so that few images are enough to be in the middle.
PROGRAM = """
import sys
from trainer.inference import parquet_answers
parquet_answers.PART_SECONDS = 0.5
from trainer.__main__ import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that take some 50 ms each, one of them broken."""
    folder = tmp_path_factory.mktemp("archive")
    noise = np.random.default_rng(0)
    for number in range(IMAGES):
        path = folder / f"{number:04d}.png"
        if number == BROKEN:
            path.write_bytes(b"\x89PNG\r\n\x1a\n no image")
        elif number < PICTURES:
            Image.fromarray(noise.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)).save(path, compress_level=1)
        else:
            os.link(folder / f"{number % PICTURES:04d}.png", path)
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, Node]]:
    with two_nodes() as nodes:
        yield nodes


@pytest.fixture(scope="module")
def plain(archive: Path, stored_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """What the command without ``--ray`` writes."""
    out = tmp_path_factory.mktemp("plain") / "answers.parquet"
    assert main(["predict", str(archive), "--model", f"chest_xray:{stored_artifact.name}", "--out", str(out)]) == 1
    return rows_of(out)


def rows_of(out: Path) -> pa.Table:
    """All rows of a folder of answers, by their names."""
    tables = [parquet.read_table(part) for part in sorted(out.glob("part-*.parquet"))]
    return pa.concat_tables(tables).sort_by("file")


def rows_in(out: Path) -> int:
    return sum(parquet.read_metadata(part).num_rows for part in out.glob("part-*.parquet"))


@pytest.fixture
def start(archive: Path, stored_artifact: Path) -> Callable[[str, Path], subprocess.Popen[str]]:
    """Starts the command."""

    def start(address: str, out: Path) -> subprocess.Popen[str]:
        words = [str(archive), "--model", f"chest_xray:{stored_artifact.name}", "--out", str(out), "--ray", address]
        program = [sys.executable, "-c", PROGRAM, "predict", *words]
        environment = os.environ | TOKEN
        return subprocess.Popen(program, cwd=ROOT, env=environment, stdout=-1, stderr=-1, text=True)

    return start


def wait_for_rows(process: subprocess.Popen[str], out: Path, rows: int) -> None:
    while not out.exists() or rows_in(out) < rows:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


@needs_ray
def test_a_node_is_killed_in_the_middle_and_every_row_is_that_of_the_plain_command(
    cluster: tuple[str, Node],
    start: Callable[[str, Path], subprocess.Popen[str]],
    plain: pa.Table,
    tmp_path: Path,
) -> None:
    address, second = cluster
    out = tmp_path / "answers.parquet"
    process = start(address, out)
    wait_for_rows(process, out, 60)
    assert second.works()
    second.kill()
    told, errors = process.communicate(timeout=240)
    assert (process.returncode, told) == (1, ""), errors
    # Whether the death is told depends on how soon Ray sees it; nothing else is.
    lines = [line for line in errors.splitlines() if not line.startswith("1 of 2 nodes died")]
    assert lines == [
        f"{IMAGES} files: below 10,000, the command without --ray is done sooner",
        "trainer: 1 of the files can't be read; their lines say why",
    ]
    assert rows_of(out).equals(plain)
    failed = (out / "_failed.csv").read_text().splitlines()
    assert [line.split(",")[0].endswith(f"{BROKEN:04d}.png") for line in failed] == [False, True]


@needs_ray
def test_a_command_that_is_stopped_goes_on_where_it_was(
    cluster: tuple[str, Node],
    start: Callable[[str, Path], subprocess.Popen[str]],
    plain: pa.Table,
    tmp_path: Path,
) -> None:
    address, _ = cluster
    out = tmp_path / "answers.parquet"
    kept = 0
    for stop in (signal.SIGINT, signal.SIGKILL):
        process = start(address, out)
        wait_for_rows(process, out, kept + 40)
        process.send_signal(stop)
        told, errors = process.communicate(timeout=120)
        kept = rows_in(out)
        assert kept < IMAGES
        if stop == signal.SIGINT:
            line = f"trainer: interrupted; {out} has what is finished, and the same command goes on with the rest"
            assert (process.returncode, told, errors.splitlines()[-1]) == (130, "", line), errors
    process = start(address, out)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 1, errors
    assert f"{out}: has {kept} of the {IMAGES} files already; they are skipped" in errors
    assert rows_of(out).equals(plain)


MISTAKES = [
    # one row a sentence: words after the images, what the line must say
    (["--ray", "127.0.0.1:9"], "--ray writes Parquet: give --out NAME.parquet"),
    (["--ray", "local", "--out", "a.csv", "--format", "csv"], "--ray writes Parquet: give --out NAME.parquet"),
    (["--ray", "local", "--out", "a.parquet", "--explain", "maps"], "--ray draws no heat maps"),
    (["--ray", "127.0.0.1:9", "--out", "a.parquet"], "--ray 127.0.0.1:9: no cluster answers there"),
    (["--ray", "ray://127.0.0.1:10001", "--out", "a.parquet"], "give HOST:PORT of the cluster's head"),
    (["--ray", "head", "--out", "a.parquet"], "give HOST:PORT of the cluster's head"),
]


@needs_ray
@pytest.mark.parametrize(("words", "sentence"), MISTAKES)
def test_a_mistake_is_one_line(
    words: list[str],
    sentence: str,
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["predict", str(archive), *words]) == 2
    errors = capsys.readouterr().err
    assert sentence in errors
    assert len(errors.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_without_the_extra_a_line_names_it(archive: Path) -> None:
    for absent, words in (("pyarrow", []), ("ray", ["--ray", "local"])):
        program = (
            f"import sys; sys.modules[{absent!r}] = None; from trainer.cli import main; sys.exit(main(sys.argv[1:]))"
        )
        words = ["predict", str(archive), "--out", "a.parquet", *words]
        done = subprocess.run(
            [sys.executable, "-c", program, *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert "chest-xray-service[ray]" in done.stderr
        assert len(done.stderr.splitlines()) == 1
