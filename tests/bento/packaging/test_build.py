"""``bentoml build``: the bento holds the service and its model, and stays with that model."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from tests.support.artifacts import store_artifact
from tests.support.server import ROOT, running_service


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BentoML home of its own, with one model."""
    home = tmp_path_factory.mktemp("home")
    add_model(home, "first")
    return home


def add_model(home: Path, version: str) -> None:
    target = home / "models" / "chest_xray"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copytree(store_artifact(version, name="build"), target / version)
    description = target / version / "model.yaml"
    description.write_text(description.read_text().replace("name: build", "name: chest_xray"))
    (target / "latest").write_text(version)


def run(home: Path, folder: Path, *command: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "bentoml", *command],
        cwd=folder,
        env=os.environ | {"BENTOML_HOME": str(home)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.fixture(scope="module")
def exported(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bento in a folder, as a container gets it; built from a copy of the project, without an index."""
    project = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "bento", project / "bento")
    bentofile = yaml.safe_load((ROOT / "bentofile.yaml").read_text())
    bentofile["python"]["lock_packages"] = False
    (project / "bentofile.yaml").write_text(yaml.safe_dump(bentofile))
    run(home, project, "build", "--version", "built")
    run(home, project, "export", "chest_xray:built", str(project / "out.bento"))
    shutil.unpack_archive(project / "out.bento", project / "out", "gztar")
    return project / "out"


def test_the_bento_holds_the_service_and_the_model_and_no_torch(exported: Path) -> None:
    files = {path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()}
    assert "src/bento/service.py" in files
    page = {path.relative_to(ROOT).as_posix() for path in (ROOT / "bento/page").rglob("*") if path.is_file()}
    assert page
    assert {f"src/{name}" for name in page} <= files
    assert "models/chest_xray/first/model.onnx" in files
    assert not [name for name in files if name.startswith(("src/trainer", "src/tests"))]
    requirements = (exported / "env/python/requirements.txt").read_text()
    assert "onnxruntime" in requirements
    assert "torch" not in requirements


def test_a_bento_serves_the_model_it_was_built_with_even_where_a_newer_one_is(
    home: Path, exported: Path, tmp_path: Path
) -> None:
    add_model(home, "second")
    targets = {"here": ("chest_xray:built", home), "elsewhere": (str(exported), tmp_path / "empty")}
    for name, (bento, where) in targets.items():
        with running_service(tmp_path / f"{name}.log", bento, BENTOML_HOME=str(where)) as url:
            assert httpx.get(f"{url}/metadata").json()["model_version"] == "first"
