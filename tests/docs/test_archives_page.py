"""What people copy from the page about archives: the job of KubeRay and the script of Slurm."""

import subprocess
from pathlib import Path

import yaml

from tests.support.server import ROOT
from tests.support.tools import documents, tool
from trainer.cli import load_settings
from trainer.settings import PredictSettings

JOB = "docs/archives-rayjob.yaml"
SCRIPT = ROOT / "docs/archives-slurm.sh"


def test_kubernetes_takes_the_jobs_pods(tmp_path: Path) -> None:
    # RayJob itself is KubeRay's; its pods are Kubernetes'.
    (job,) = documents(JOB)
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    pods = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{number}"}, **group["template"]}
        for number, group in enumerate(groups)
    ]
    assert len(pods) == 2
    (tmp_path / "pods.yaml").write_text(yaml.safe_dump_all(pods))
    result = tool("kubernetes-validate", "--strict", str(tmp_path / "pods.yaml"))
    assert result.returncode == 0, result.stdout + result.stderr
    for pod in pods:
        (container,) = pod["spec"]["containers"]
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]


def test_the_jobs_command_is_one() -> None:
    (job,) = documents(JOB)
    words = job["spec"]["entrypoint"].partition("||")[0].split()
    assert words[:4] == ["python", "-m", "trainer", "predict"]
    settings = load_settings(PredictSettings, "predict", words[4:])
    assert (settings.ray, str(settings.out)) == ("auto", "/answers/answers.parquet")


def test_the_script_is_bash_and_its_command_is_one() -> None:
    assert subprocess.run(["bash", "-n", SCRIPT], check=False).returncode == 0
    line = next(line for line in SCRIPT.read_text().splitlines() if line.startswith("python -m trainer predict"))
    settings = load_settings(PredictSettings, "predict", line.partition("||")[0].split()[4:])
    assert str(settings.out) == "answers.parquet"
