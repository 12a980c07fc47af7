"""The bento's recipe of an image, the health checks, and the tools of ``make bento``."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import pytest
import yaml

from tests.support.server import ROOT
from tests.support.tools import documents, tool

UID = 1034
"""Of the image's user: BentoML's, as a number."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def build(model: str, folder: Path, *arguments: str) -> tuple[str, str]:
    """The Dockerfile and the packages that ``bentoml build`` writes from a copy of the project, without an index."""
    shutil.copytree(ROOT / "bento", folder / "bento")
    (bentofile,) = documents("bentofile.yaml")
    bentofile["python"]["lock_packages"] = False
    (folder / "bentofile.yaml").write_text(yaml.safe_dump(bentofile))
    environment = os.environ | {"CHEST_XRAY_MODEL": model}
    command = [sys.executable, "-m", "bentoml", "build", "--version", folder.name, *arguments]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    bento = Path(os.environ["BENTOML_HOME"]) / "bentos/chest_xray" / folder.name
    return (bento / "env/docker/Dockerfile").read_text(), (bento / "env/python/requirements.txt").read_text()


@pytest.fixture(scope="module")
def dockerfile(stored_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return build(f"chest_xray:{stored_artifact.name}", tmp_path_factory.mktemp("deployment"))[0]


def test_the_bento_asks_for_the_packages_of_the_project_and_no_others() -> None:
    (bentofile,) = documents("bentofile.yaml")
    assert bentofile["python"]["packages"] == PROJECT["dependencies"]
    assert bentofile["include"] == ["bento/**/*.py", "bento/page/**"]
    assert {env["name"] for env in bentofile["envs"]} == {"BENTOML_DO_NOT_TRACK", "ORT_DISABLE_TELEMETRY"}


def test_the_image_has_no_build_tools_and_no_root(dockerfile: str) -> None:
    assert f"FROM python:{sys.version_info.major}.{sys.version_info.minor}-slim" in dockerfile
    assert not re.search(r"build-essential|gcc|git\b|apt-get", dockerfile)
    assert f"BENTO_USER_UID={UID}" in dockerfile
    assert dockerfile.rstrip().splitlines()[-1].startswith("ENTRYPOINT")
    assert re.findall(r"^USER .*", dockerfile, re.MULTILINE) == ["USER bentoml"]


def test_the_image_says_what_it_is_how_it_is_asked_and_how_it_is_stopped(
    dockerfile: str, stored_artifact: Path
) -> None:
    assert f'LABEL chest_xray.model="chest_xray:{stored_artifact.name}"' in dockerfile.splitlines()
    assert "STOPSIGNAL SIGTERM" in dockerfile.splitlines()
    assert re.search(r"^HEALTHCHECK .*/readyz", dockerfile, re.MULTILINE)


def test_labels_are_the_project_s_version_and_the_commit_that_is_checked_out(tmp_path: Path) -> None:
    # In a process of its own: BentoML's import warns of what pydantic has deprecated.
    script = (
        "import pathlib, sys; from bento.packaging.image import service_image; recipe = service_image('chest_xray:1'); "
        "recipe.lock_python_packages = False; print(recipe.freeze(pathlib.Path(sys.argv[1]), []).post_commands[0])"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    instructions = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert f'LABEL org.opencontainers.image.version="{PROJECT["version"]}"' in instructions
    assert re.search(r'LABEL org.opencontainers.image.revision="[0-9a-f]{40}(-dirty)?"', instructions)


def test_packages_come_from_a_pinned_uv_in_a_stage_that_is_not_in_the_image(dockerfile: str) -> None:
    stages = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)[1:]
    assert [stage.split()[-1] for stage in (line.splitlines()[0] for line in stages)] == [
        *("base-container", "packages", "service"),
    ]
    base, packages, service = stages
    assert re.search(r"'uv==[\d.]+( --hash=sha256:[0-9a-f]{64})+'.*--require-hashes", packages)
    # Whichever uv a version of BentoML would install by itself, the pinned one is there first.
    assert packages.index("--require-hashes") < packages.index("command -v uv")
    assert "uv" not in base.replace("uvicorn", "") + service.replace("uvicorn", "")
    assert "COPY --from=packages /app /app" in service
    assert "ENTRYPOINT" in service


@pytest.mark.parametrize("where", ["image", "compose"])
def test_health_checks_do_not_go_through_a_proxy(dockerfile: str, client: httpx.Client, where: str) -> None:
    if where == "image":
        (line,) = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", dockerfile, re.MULTILINE)
        command = json.loads(line)
    else:
        (compose,) = documents("compose.yaml")
        command = compose["services"]["service"]["healthcheck"]["test"][1:]
    script = command[-1].replace("127.0.0.1:3000", client.base_url.netloc.decode())
    proxy = "http://127.0.0.1:9"
    environment = os.environ | dict.fromkeys(("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"), proxy)
    assert command[:-1] == ["python", "-c"]
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


def test_hadolint_finds_nothing_but_what_is_bentoml_s_own(dockerfile: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(dockerfile)
    result = tool("hadolint", str(tmp_path / "Dockerfile"))
    assert result.returncode == 0, result.stdout


def test_one_switch_makes_it_an_image_for_a_gpu(
    dockerfile: str, stored_artifact: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("cuda")
    recipe, packages = build(f"chest_xray:{stored_artifact.name}", folder, "--arg", "image=cuda")
    names = [re.split(r"[^\w-]", line)[0] for line in packages.splitlines()]
    assert "onnxruntime-gpu" in names
    assert "onnxruntime" not in names
    dependencies = {re.split(r"[^\w-]", line)[0] for line in PROJECT["dependencies"]}
    assert dependencies - set(names) == {"onnxruntime"}
    # The same recipe but for one line, which has a container that is given no GPU end at its start.
    further = set(recipe.splitlines()) - set(dockerfile.splitlines())
    assert further == {"ENV CHEST_XRAY_DEVICE=cuda NVIDIA_DRIVER_CAPABILITIES=compute,utility"}
    (folder / "Dockerfile").write_text(recipe)
    result = tool("hadolint", str(folder / "Dockerfile"))
    assert result.returncode == 0, result.stdout


def test_a_locked_list_of_packages_becomes_a_cyclonedx_document(tmp_path: Path) -> None:
    lock, sbom = tmp_path / "requirements.txt", tmp_path / "sbom.json"
    lock.write_text("pillow==12.3.0\nstarlette==1.0.0\n")
    result = tool("cyclonedx-py", "requirements", "--output-reproducible", "--output-file", str(sbom), str(lock))
    assert result.returncode == 0, result.stderr
    document = json.loads(sbom.read_text())
    assert document["bomFormat"] == "CycloneDX"
    assert {part["purl"] for part in document["components"]} == {
        "pkg:pypi/pillow@12.3.0",
        "pkg:pypi/starlette@1.0.0",
    }
