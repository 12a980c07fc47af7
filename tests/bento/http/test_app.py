import httpx
import pytest

from bento.artifact import ORIENTATIONS
from bento.http.problems import KINDS
from tests.conftest import MAX_UPLOAD_BYTES, SERVED_VERSION
from tests.support.artifacts import CLASSES, NOVELTY_THRESHOLD, WARNINGS


def test_health_and_metadata(client: httpx.Client) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    body = client.get("/metadata").json()
    assert body["model_name"] == "efficientnet_lite0"
    assert body["model_version"] == SERVED_VERSION
    assert body["device"] == "cpu"
    assert body["classes"] == CLASSES
    assert body["metrics_summary"] == {"test_accuracy": 0.97, "macro_f1": 0.96, "weighted_f1": 0.95}
    assert body["notice"] == "synthetic sample data, no clinical meaning"
    assert body["data"]["synthetic"] is True
    assert body["warnings"] == WARNINGS
    assert [point["label"] for point in body["operating_points"]] == ["PNEUMONIA", "TUBERCULOSIS"]
    assert body["novelty"]["threshold"] == NOVELTY_THRESHOLD
    assert {"validation_pass", "test_flagged"} <= set(body["novelty"])
    assert [point["kind"] for point in body["orientations"]] == list(ORIENTATIONS[1:])
    assert body["request_limits"]["max_upload_bytes"] == MAX_UPLOAD_BYTES


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/metrics"])
def test_bentomls_own_probes_stay(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("slug", KINDS)
def test_every_problem_type_can_be_looked_up(client: httpx.Client, slug: str) -> None:
    body = client.get(f"/problems/{slug}").json()
    assert body["type"] == f"/problems/{slug}"
    assert body["advice"]
