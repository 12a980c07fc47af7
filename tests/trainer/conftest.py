"""A real, small training run and a small disk, which the tests of this room share."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.models import ModelStore

from bento.artifact import STORE_NAME
from tests.support.runs import FLAGS, Trained, trainer
from tests.support.server import ROOT
from trainer.running.runs import Run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Everything in a row, on generated images, in a few seconds of training."""
    folder = tmp_path_factory.mktemp("trained")
    data_dir, runs_dir = folder / "data", folder / "runs"
    # Relative, as a user gives them.
    folders = ["--data-dir", os.path.relpath(data_dir, ROOT), "--runs-dir", os.path.relpath(runs_dir, ROOT)]
    done = trainer(*FLAGS, *folders, "--run", "first", "--keep-checkpoints")  # some tests go on from them
    assert done.returncode == 0, done.stdout + done.stderr
    return Trained(Run(runs_dir / "first"), data_dir, done.stdout)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a folder on a disk of so many megabytes."""
    folders: list[Path] = []

    def make(megabytes: int) -> Path:
        folder = tmp_path / f"disk{len(folders)}"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        if os.geteuid() or subprocess.run(mount, check=False).returncode:
            pytest.skip("only root can mount a small disk")
        folders.append(folder)
        return folder

    yield make
    for folder in folders:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty model store of the test's own, in this process and those that it starts; the folder of the versions."""
    home = tmp_path / "bentoml"
    (home / "models").mkdir(parents=True)
    monkeypatch.setenv("BENTOML_HOME", str(home))
    # Private: BentoML reads the variable once.
    with BentoMLContainer.model_store.patch(ModelStore(home / "models")):
        yield home / "models" / STORE_NAME
