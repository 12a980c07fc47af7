from pathlib import Path

import httpx

from tests.conftest import SERVED_VERSION
from tests.support import pictures
from tests.support.answers import post
from tests.support.server import running_service

IMAGE = pictures.GOOD["a grey PNG"]


def test_metrics_count_what_was_done_and_refused(client: httpx.Client) -> None:
    answer = post(client, IMAGE).json()["predictions"][0]
    post(client, b"garbage")
    for path in ("/a", "/b"):
        client.get(path)
    text = client.get("/metrics").text
    for line in (
        'chest_xray_request_seconds_count{route="/predict",status="200"}',
        'chest_xray_request_seconds_count{route="other",status="404"}',
        f'chest_xray_predictions_total{{label="{answer["label"]}"}}',
        'chest_xray_rejections_total{reason="not-an-image"}',
        "chest_xray_queue_seconds_count",
        "chest_xray_work_seconds_count",
        "chest_xray_confidence_count",
        f'chest_xray_model_info{{device="cpu",name="efficientnet_lite0",version="{SERVED_VERSION}"}} 1.0',
    ):
        assert line in text
    assert "/a" not in text


def test_any_of_several_workers_answers_for_all(stored_artifact: Path, tmp_path: Path) -> None:
    model = f"chest_xray:{stored_artifact.name}"
    with running_service(tmp_path / "log", CHEST_XRAY_MODEL=model, CHEST_XRAY_WORKERS="2") as url:
        for _ in range(12):
            assert httpx.post(f"{url}/predict", files={"file": IMAGE}, timeout=30).is_success
        # One that was asked about before counts as a request, but not as an image.
        asked = "predict?explain=true&again=true"
        assert httpx.post(f"{url}/{asked}", files={"file": IMAGE}, timeout=30).is_success
        counted = {
            line.split()[-1]
            for _ in range(12)
            for line in httpx.get(f"{url}/metrics").text.splitlines()
            if line.startswith('chest_xray_request_seconds_count{route="/predict",status="200"}')
        }
        assert counted == {"13.0"}
        answers = [httpx.get(f"{url}/metrics").text for _ in range(12)]
        assert all("\nchest_xray_drift_window_images 12.0\n" in answer for answer in answers)
        assert all('\nchest_xray_drift_index{of="score.TUBERCULOSIS"} ' in answer for answer in answers)
