import httpx

from tests.conftest import SERVED_VERSION
from tests.support import pictures
from tests.support.answers import post

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
        f'chest_xray_model_info{{name="efficientnet_lite0",version="{SERVED_VERSION}"}} 1.0',
    ):
        assert line in text
    assert "/a" not in text
