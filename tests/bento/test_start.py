"""What ``bentoml serve`` says where it can't serve, and what the service imports."""

import ast
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import httpx
import onnxruntime
import pytest
import yaml

from bento.artifact import FORMAT_VERSION, MANIFEST_FILE, ONNX_FILE
from bento.inference.device import CUDA
from tests.support import pictures
from tests.support.artifacts import store_artifact, write_site
from tests.support.server import ROOT, free_port, running_service, serve_command

without_cuda = pytest.mark.skipif(
    CUDA in onnxruntime.get_available_providers(), reason="this ONNX Runtime is built for CUDA"
)
MODULES = sorted((ROOT / "bento").rglob("*.py"))


def serve(**environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``bentoml serve`` to its end, which must come by itself."""
    return subprocess.run(
        serve_command(free_port()),
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_without_a_model_one_line_says_how_to_make_one(tmp_path: Path) -> None:
    result = serve(BENTOML_HOME=str(tmp_path))
    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "No model chest_xray:latest" in result.stderr
    assert "python -m trainer" in result.stderr


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (
            "tampered",
            lambda folder: (folder / ONNX_FILE).write_bytes(b"other"),
            "model.onnx: SHA-256 differs",
        ),
        ("missing", lambda folder: (folder / ONNX_FILE).unlink(), "model.onnx: missing"),
        (
            "newer",
            lambda folder: (folder / MANIFEST_FILE).write_text('{"format_version": 99}'),
            f"is newer than {FORMAT_VERSION}",
        ),
        (
            "foreign",
            lambda folder: write_site(folder, "another-model-1"),
            "the thresholds are of the model v1, not of another-model-1; calibrate the model again",
        ),
    ],
)
def test_a_damaged_model_stops_the_start_with_one_line(
    name: str, damage: Callable[[Path], object], message: str
) -> None:
    damage(store_artifact("v1", name=name))
    result = serve(CHEST_XRAY_MODEL=f"{name}:v1")
    assert result.returncode == 1
    assert len((result.stdout + result.stderr).splitlines()) == 1
    assert message in result.stderr


@pytest.mark.parametrize(("variable", "value"), [("CHEST_XRAY_THREADS", "many"), ("CHEST_XRAY_MODEL", "not a tag!")])
def test_a_senseless_setting_stops_the_start_with_one_line(variable: str, value: str) -> None:
    result = serve(**{variable: value})
    assert result.returncode == 1
    assert len((result.stdout + result.stderr).splitlines()) == 1
    assert value in result.stderr


@without_cuda
def test_a_gpu_asked_for_and_not_there_stops_the_start_with_one_line(stored_artifact: Path) -> None:
    result = serve(CHEST_XRAY_MODEL=f"chest_xray:{stored_artifact.name}", CHEST_XRAY_DEVICE="cuda")
    assert result.returncode == 1
    assert len((result.stdout + result.stderr).splitlines()) == 1
    assert result.stderr.startswith("CHEST_XRAY_DEVICE=cuda: the installed ONNX Runtime has no CUDA")


@without_cuda
def test_the_log_and_the_metadata_say_which_device_auto_has_taken(stored_artifact: Path, tmp_path: Path) -> None:
    model, log = f"chest_xray:{stored_artifact.name}", tmp_path / "log"
    with running_service(log, CHEST_XRAY_MODEL=model, CHEST_XRAY_DEVICE="auto") as url:
        assert httpx.get(f"{url}/metadata").json()["device"] == "cpu"
        assert 'device="cpu"' in httpx.get(f"{url}/metrics").text
    assert "on the CPU (CHEST_XRAY_DEVICE=auto: the installed ONNX Runtime has no CUDA" in log.read_text()


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("CHEST_XRAY_API_KEY_HASH", "no such setting; did you mean CHEST_XRAY_API_KEY_HASHES?"),
        ("CHEST_XRAY_API_KEY_HASHES", "CHEST_XRAY_API_KEY_HASHES is empty"),
        ("CHEST_XRAY_API_KEY_FILE", "CHEST_XRAY_API_KEY_FILE is empty"),
    ],
)
def test_keys_that_would_be_overlooked_stop_the_start_with_one_line(variable: str, message: str) -> None:
    result = serve(**{variable: "0" * 64 if message.startswith("no such") else ""})
    assert result.returncode == 1
    assert len((result.stdout + result.stderr).splitlines()) == 1
    assert message in result.stderr


def test_the_service_never_loads_torch_or_the_trainer(stored_artifact: Path) -> None:
    script = (
        "import sys, bento.service\n"
        "found = {name.partition('.')[0] for name in sys.modules} & {'torch', 'torchvision', 'ignite', 'trainer'}\n"
        "sys.exit(', '.join(found) or 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"CHEST_XRAY_MODEL": f"chest_xray:{stored_artifact.name}"},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_no_module_of_the_service_imports_torch_or_the_trainer(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add((node.module or "").partition(".")[0])
    assert not imported & {"torch", "torchvision", "ignite", "trainer"}


def test_the_bentos_packages_are_the_projects_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bentofile = yaml.safe_load((ROOT / "bentofile.yaml").read_text(encoding="utf-8"))
    assert bentofile["python"]["packages"] == project["dependencies"]


def test_a_model_that_can_not_tell_what_it_knows_can_not_be_set_to_refuse() -> None:
    folder = store_artifact("format-3-refusing", format_version=3)
    result = serve(CHEST_XRAY_MODEL=f"chest_xray:{folder.name}", CHEST_XRAY_REFUSE_UNKNOWN="true")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "CHEST_XRAY_REFUSE_UNKNOWN: the model chest_xray:format-3-refusing can't tell" in result.stderr


def test_a_model_without_a_reference_is_served_unwatched_and_the_log_says_so_once(tmp_path: Path) -> None:
    folder = store_artifact("format-6", format_version=6)
    log = tmp_path / "log"
    with running_service(log, CHEST_XRAY_MODEL=f"chest_xray:{folder.name}", CHEST_XRAY_WORKERS="2") as url:
        answer = httpx.post(f"{url}/predict", files={"file": pictures.GOOD["a grey PNG"]}, timeout=30)
        assert answer.is_success
        metrics = httpx.get(f"{url}/metrics").text
        deadline = time.monotonic() + 30
        while "drift is not watched" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.1)  # the first of the workers says so, and the other one may have answered
    assert "chest_xray_predictions_total" in metrics
    assert "chest_xray_drift" not in metrics
    assert log.read_text().count("drift is not watched") == 1


def test_a_server_without_the_header_limits_never_serves(stored_artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import uvicorn.config\n"
        "class Elsewhere(dict):\n"
        "    def __setitem__(self, key, value): pass\n"
        "uvicorn.config.HTTP_PROTOCOLS = Elsewhere(uvicorn.config.HTTP_PROTOCOLS)\n"
    )
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            serve_command(port := free_port()),
            cwd=ROOT,
            env=os.environ | {"CHEST_XRAY_MODEL": f"chest_xray:{stored_artifact.name}", "PYTHONPATH": str(tmp_path)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 60
        while "not in force" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert "limits on a request's headers are not in force" in log.read_text()
        assert "Traceback" not in log.read_text()
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/livez", timeout=2)
    finally:
        process.terminate()
        process.wait(30)
