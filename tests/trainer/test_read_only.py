"""Folders that can't be written to: one line names the folder, before any work is done for nothing."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pictures import encode, grey
from tests.support.server import ROOT

SAMPLE = ("--dataset", "sample", "--sample-images", "30", "--sample-size", "64")
STORED = ("--model", "chest_xray:served", "--dataset", "{images}")
ROOT_USER = os.geteuid() == 0
POWERS = "-dac_override,-dac_read_search"

pytestmark = pytest.mark.skipif(ROOT_USER and not shutil.which("setpriv"), reason="root may write everywhere")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o555)
    yield folder
    folder.chmod(0o755)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for label in ("NORMAL", "PNEUMONIA", "TUBERCULOSIS"):
        (tmp_path / "images" / label).mkdir(parents=True)
        (tmp_path / "images" / label / "a.png").write_bytes(encode(grey(), "PNG"))
    return tmp_path / "images"


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        # one row a sentence: a command that is to write into a folder, and how its line begins
        (("fetch", *SAMPLE, "--data-dir", "{read_only}"), "{read_only}"),
        (("fetch", *SAMPLE, "--data-dir", "{read_only}/new"), "{read_only}/new"),
        (("evaluate", *STORED, "--out", "{read_only}"), "{read_only}: "),
        (("evaluate", *STORED, "--out", "{read_only}/new"), "{read_only}: "),
        (("robustness", *STORED, "--out", "{read_only}/r.json"), "{read_only}: "),
        (("robustness", *STORED, "--out", "{images}/NORMAL/a.png/r.json"), "{images}/NORMAL/a.png: "),
        (("predict", "{images}", *STORED[:2], "--format", "csv", "--out", "{read_only}/a.csv"), "{read_only}/a.csv: "),
        (("predict", "{images}", *STORED[:2], "--explain", "{read_only}/maps"), "{read_only}/maps: "),
        (("BENTOML_HOME", "predict", "{images}"), "{read_only}/home: "),
        (("BENTOML_HOME", "run", *SAMPLE, "--data-dir", "{images}/../data"), "{read_only}: "),
    ],
)
def test_a_folder_that_can_not_be_written_to_is_named(
    words: tuple[str, ...], folder: str, read_only: Path, images: Path, stored_artifact: Path
) -> None:
    fill = {"read_only": read_only, "images": images}
    environment = dict(os.environ)
    if words[0] == "BENTOML_HOME":
        environment["BENTOML_HOME"], words = str(read_only / "home"), words[1:]
    # A superuser's processes write everywhere, unless they have given up that power.
    drop = ["setpriv", f"--bounding-set={POWERS}", f"--inh-caps={POWERS}"] if ROOT_USER else []
    command = [*drop, sys.executable, "-m", "trainer", *(word.format(**fill) for word in words)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].strip().startswith(f"trainer: {folder.format(**fill)}")
    assert "Traceback" not in done.stderr
    assert "evaluate:" not in done.stderr  # no progress bar: nothing was judged for nothing
    assert "corrupt:" not in done.stderr
    assert not (images.parent / "data").exists()
