"""A small search on the data of the small run."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.runs import FLAGS, Trained
from trainer.cli import main

SMALL = [*FLAGS, "--epochs-a", "1", "--epochs-b", "2", "--fresh-seeds", "2"]
"""As few epochs as a search needs."""


@dataclass(frozen=True)
class Searched:
    """What ``search`` has left behind."""

    folder: Path
    output: str


@pytest.fixture(scope="session")
def searched(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """Seven trials, of which the first are the settings that the small run was trained with."""
    runs = tmp_path_factory.mktemp("searched")
    words = ["search", *FLAGS, "--data-dir", str(trained.data_dir), "--runs-dir", str(runs)]
    with pytest.MonkeyPatch.context() as patch, (runs / "output").open("w") as stream:
        patch.setattr("sys.stdout", stream)
        assert main([*words, "--run", "s", "--trials", "7", "--fresh-seeds", "2"]) == 0
    return Searched(runs / "s", (runs / "output").read_text())


@pytest.fixture
def without_test_images(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the small run's split data, with its cache, from which every file of a test image is gone."""
    data = tmp_path / "data"
    shutil.copytree(trained.data_dir, data)
    shutil.rmtree(data / "test")
    lines = (data / "manifest.csv").read_text().splitlines()
    gone = [line.split(",")[0] for line in lines if ",test," in line]
    assert len(gone) > 5
    for path in gone:
        (data / path).unlink()
    return data
