"""What people copy: ``compose.yaml`` and the Kubernetes manifests."""

import importlib.util
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.server import ROOT
from tests.support.tools import documents, tool

UID = 1034
"""Of the image's user: BentoML's, as a number."""


def compose_client() -> str | None:
    """The compose client that a package of the tests carries; its own wrapper drops the exit code."""
    found = importlib.util.find_spec("compose")
    return str(Path(found.origin).with_name("docker-compose")) if found and found.origin else None


def test_kubernetes_takes_the_example() -> None:
    result = tool("kubernetes-validate", "--strict", "bento/packaging/kubernetes.yaml")
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
@pytest.mark.parametrize("profiles", [[], ["--profile", "tensorboard"]])
def test_docker_compose_takes_the_file(profiles: list[str]) -> None:
    command = [str(compose_client()), *profiles, "config", "--format", "json"]
    result = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert ("tensorboard" in json.loads(result.stdout)["services"]) == bool(profiles)
