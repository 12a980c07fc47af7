"""What people copy: ``compose.yaml`` and the Kubernetes manifests."""

import importlib.util
import json
import os
import subprocess
from pathlib import Path

import pytest

from bento.pacs.settings import PacsSettings, check_pacs_environment
from bento.settings import PACS_PREFIX
from tests.support.server import ROOT
from tests.support.tools import documents, tool

UID = 1034
"""Of the image's user: BentoML's, as a number."""


def compose_client() -> str | None:
    """The compose client that a package of the tests carries; its own wrapper drops the exit code."""
    found = importlib.util.find_spec("compose")
    return str(Path(found.origin).with_name("docker-compose")) if found and found.origin else None


@pytest.mark.parametrize("file", ["kubernetes.yaml", "pacs/kubernetes.yaml"])
def test_kubernetes_takes_the_examples(file: str) -> None:
    result = tool("kubernetes-validate", "--strict", f"bento/packaging/{file}")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_kubernetes_validator_would_tell(tmp_path: Path) -> None:
    broken = (ROOT / "bento/packaging/kubernetes.yaml").read_text().replace("readOnlyRootFilesystem", "readOnlyRootFs")
    (tmp_path / "broken.yaml").write_text(broken)
    assert tool("kubernetes-validate", "--strict", str(tmp_path / "broken.yaml")).returncode != 0


def test_kubernetes_runs_it_hardened_probed_limited_and_cut_off() -> None:
    kinds = {document["kind"]: document["spec"] for document in documents("bento/packaging/kubernetes.yaml")}
    assert set(kinds) == {"Deployment", "Service", "HorizontalPodAutoscaler", "NetworkPolicy"}
    pod = kinds["Deployment"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == UID
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]
    assert "Egress" in kinds["NetworkPolicy"]["policyTypes"]
    assert kinds["NetworkPolicy"]["egress"] == []


def test_the_gateway_runs_hardened_with_settings_that_there_are() -> None:
    (compose,) = documents("bento/packaging/pacs/compose.yaml")
    gateway = compose["services"]["gateway"]
    deployment = next(one for one in documents("bento/packaging/pacs/kubernetes.yaml") if one["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert deployment["spec"]["replicas"] == 1
    assert gateway["read_only"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    check_pacs_environment(gateway["environment"])
    given = {one["name"]: one["value"] for one in container["env"]}
    check_pacs_environment(given)
    for values in (gateway["environment"], given):
        fields = {name.removeprefix(PACS_PREFIX).lower(): value for name, value in values.items()}
        assert PacsSettings(**fields).destinations


def test_compose_runs_it_hardened_checked_and_limited() -> None:
    (compose,) = documents("compose.yaml")
    service = compose["services"]["service"]
    assert service["ports"] == ["3000:3000"]
    assert service["user"] == f"{UID}:{UID}"
    assert service["read_only"]
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["deploy"]["resources"]["limits"] == {"cpus": "2", "memory": "1g", "pids": 128}
    assert "/readyz" in service["healthcheck"]["test"][-1]
    assert compose["services"]["tensorboard"]["profiles"] == ["tensorboard"]


@pytest.mark.skipif(compose_client() is None, reason="it is packed for Linux on x86-64")
def test_docker_compose_takes_the_gateway_beside_it() -> None:
    files = ["-f", "compose.yaml", "-f", "bento/packaging/pacs/compose.yaml"]
    command = [str(compose_client()), *files, "config", "--format", "json"]
    result = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    services = json.loads(result.stdout)["services"]
    assert set(services) == {"service", "gateway", "orthanc"}
    assert services["gateway"]["build"]["context"] == str(ROOT)


def test_hadolint_finds_nothing_in_the_gateway_s_dockerfile() -> None:
    result = tool("hadolint", "bento/packaging/pacs/Dockerfile")
    assert result.returncode == 0, result.stdout


@pytest.mark.skipif(compose_client() is None, reason="it is packed for Linux on x86-64")
@pytest.mark.parametrize("profiles", [[], ["--profile", "tensorboard"]])
def test_docker_compose_takes_the_file(profiles: list[str]) -> None:
    command = [str(compose_client()), *profiles, "config", "--format", "json"]
    result = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert ("tensorboard" in json.loads(result.stdout)["services"]) == bool(profiles)
