"""Prometheus' rules and Grafana's dashboard, against Prometheus' own tools and the metrics of a running service."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support import pictures
from tests.support.answers import assert_problem, post
from tests.support.monitoring import find_missing, monitored
from tests.support.server import ROOT
from tests.support.tools import documents

RULES = "bento/packaging/prometheus-rules.yaml"
DASHBOARD = "bento/packaging/grafana-dashboard.json"
OF_PROMETHEUS = {"le", "job", "instance"}
"""Labels that Prometheus adds, or that a histogram's series have."""

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool on the PATH; `make test` as root on Debian installs it"
)


def promtool(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *words], cwd=ROOT, capture_output=True, text=True, timeout=60, **options)


@pytest.fixture(scope="module")
def exported(service_url: str) -> dict[str, dict[str, set[str]]]:
    """Of each series of a service that has answered and refused: its labels, and the values of each."""
    with httpx.Client(base_url=service_url, timeout=30) as client:
        assert post(client, pictures.GOOD["a grey PNG"]).is_success
        assert post(client, pictures.glaring()).is_success
        assert_problem(post(client, b"garbage"), 415, "not-an-image")
        text = client.get("/metrics").text
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


def expressions() -> Iterator[str]:
    for group in documents(RULES)[0]["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    board = json.loads((ROOT / DASHBOARD).read_text())
    for panel in board["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from (one["definition"] for one in board["templating"]["list"] if one["type"] == "query")


@needs_promtool
def test_prometheus_takes_the_rules_and_each_fires_when_it_should() -> None:
    checked = promtool("check", "rules", RULES)
    assert checked.returncode == 0, checked.stderr
    tested = promtool("test", "rules", str(Path(__file__).with_name("prometheus-rules-test.yaml")))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@needs_promtool
def test_prometheus_takes_the_configuration_that_the_documentation_shows(tmp_path: Path) -> None:
    page = (ROOT / "docs/deployment.md").read_text()
    (shown,) = re.findall(r"```yaml\n(# prometheus.yml.*?)```", page, flags=re.DOTALL)
    (tmp_path / "prometheus.yml").write_text(shown)
    (tmp_path / "bento").symlink_to(ROOT / "bento")
    checked = promtool("check", "config", str(tmp_path / "prometheus.yml"))
    assert checked.returncode == 0, checked.stderr
    assert "6 rules found" in checked.stdout


@needs_promtool
def test_every_alert_is_tested() -> None:
    alerts = {rule["alert"] for group in documents(RULES)[0]["groups"] for rule in group["rules"]}
    text = Path(__file__).with_name("prometheus-rules-test.yaml").read_text()
    assert {alert for alert in alerts if f"alertname: {alert}" in text} == alerts


@needs_promtool
def test_prometheus_takes_the_metrics(service_url: str) -> None:
    checked = promtool("check", "metrics", input=httpx.get(f"{service_url}/metrics").text)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.skipif(bool(find_missing()), reason="Prometheus or Alertmanager is not installed; `make test` does it")
def test_images_unlike_the_reference_raise_an_alert_in_alertmanager(client: httpx.Client, tmp_path: Path) -> None:
    with monitored(str(client.base_url), tmp_path) as notifications:
        for _ in range(200):  # of one and the same image
            assert post(client, pictures.GOOD["a grey PNG"]).is_success
        assert notifications.any.wait(20)
    assert {alert["alertname"] for alert in notifications.alerts} >= {"ChestXrayDrift"}
    assert {alert["job"] for alert in notifications.alerts} == {"chest-xray"}


def test_rules_and_dashboard_name_metrics_labels_and_values_that_the_service_has(
    exported: dict[str, dict[str, set[str]]],
) -> None:
    asked = 0
    for expression in expressions():
        for name, selector in re.findall(r"\b(chest_xray_\w+)(?:{(.*?)})?", expression):
            assert name in exported, f"{name} of {expression}"
            asked += 1
            for label, operator, value in re.findall(r'(\w+)(=~?|!=)"(.*?)"', selector):
                if label in OF_PROMETHEUS:
                    continue
                assert label in exported[name], f"{label} of {name} in {expression}"
                if operator == "=":
                    assert value in exported[name][label], f"{label}={value} of {name} in {expression}"
        for group in re.findall(r"\bby \((.*?)\)", expression):
            labels = set(group.replace(" ", "").split(",")) - OF_PROMETHEUS
            names = re.findall(r"\bchest_xray_\w+", expression)
            assert all(labels <= exported[name].keys() for name in names), expression
    assert asked > 25


def test_the_dashboard_can_be_loaded() -> None:
    board = json.loads((ROOT / DASHBOARD).read_text())
    identities = [panel["id"] for panel in board["panels"]]
    assert len(set(identities)) == len(identities)
    fields = [
        (at["x"] + across, at["y"] + down)
        for at in (panel["gridPos"] for panel in board["panels"])
        for across in range(at["w"])
        for down in range(at["h"])
    ]
    assert len(set(fields)) == len(fields), "two panels overlap"
    assert max(across for across, _ in fields) < 24
    assert all(panel["title"] and panel["description"] for panel in board["panels"])
