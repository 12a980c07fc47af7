"""The service as its users meet it: a real ``bentoml serve`` process, spoken to over HTTP."""

import http.server
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from bento.artifact import ORIENTATIONS
from bento.http.problems import KINDS, MEDIA_TYPE
from bento.imaging.intake import load_array
from bento.inference.session import Predictor
from tests.conftest import MAX_UPLOAD_BYTES, SERVED_VERSION
from tests.support import pictures
from tests.support.artifacts import CLASSES, NOVELTY_THRESHOLD, WARNINGS
from tests.support.dicoms import SECRET

IMAGE = pictures.GOOD["a grey PNG"]


def post(client: httpx.Client, data: bytes, name: str = "image.png") -> httpx.Response:
    return client.post("/predict", files={"file": (name, data)})


def assert_problem(response: httpx.Response, status: int, slug: str) -> None:
    assert response.status_code == status
    assert response.headers["content-type"] == MEDIA_TYPE
    body = response.json()
    assert set(body) == {"type", "title", "status", "detail", "request_id"}
    assert body["type"] == f"/problems/{slug}"
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize("name", pictures.GOOD)
def test_every_good_kind_of_image_gets_the_predictors_own_answer(
    client: httpx.Client, stored_artifact: Path, name: str
) -> None:
    predictor = Predictor(stored_artifact)
    array = load_array(pictures.GOOD[name], predictor.manifest.preprocessing)
    expected = predictor.predict(array[np.newaxis]).probabilities[0]
    response = post(client, pictures.GOOD[name])
    assert response.status_code == 200
    body = response.json()
    assert set(body) == {
        *("top_k", "predictions", "flags", "in_distribution", "novelty", "input_warnings"),
        *("model_name", "model_version"),
    }
    assert body["in_distribution"] is True
    assert body["novelty"]["score"] < body["novelty"]["threshold"] == NOVELTY_THRESHOLD
    assert [warning["kind"] for warning in body["input_warnings"]] == pictures.WARNED.get(name, [])
    assert body["top_k"] == len(body["predictions"]) == 3
    assert body["model_version"] == SERVED_VERSION
    confidences = [one["confidence"] for one in body["predictions"]]
    assert confidences == sorted(confidences, reverse=True)
    answers = {one["label"]: one["confidence"] for one in body["predictions"]}
    assert answers == pytest.approx(dict(zip(CLASSES, expected.tolist(), strict=True)), abs=1e-6)
    for flag, point in zip(body["flags"], predictor.manifest.operating_points, strict=True):
        assert flag["confidence"] == answers[point.label]
        assert flag["flagged"] == (answers[point.label] >= point.threshold)


def test_images_that_differ_get_answers_that_differ(client: httpx.Client) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 120), np.uint8)
    other = pictures.encode(Image.fromarray(noise), "PNG")
    assert post(client, IMAGE).json()["predictions"] != post(client, other).json()["predictions"]


def test_what_is_outside_or_looks_wrong_is_answered_with_input_warnings(client: httpx.Client) -> None:
    body = post(client, pictures.glaring()).json()
    assert body["in_distribution"] is False
    assert body["novelty"]["score"] > body["novelty"]["threshold"]
    assert [one["kind"] for one in body["input_warnings"]] == ["not-like-training", "inverted"]
    assert all(one["text"].endswith(".") for one in body["input_warnings"])
    assert len(body["predictions"]) == 3
    red = pictures.encode(Image.merge("RGB", [pictures.grey(), *2 * [Image.new("L", (120, 90))]]), "JPEG")
    assert [one["kind"] for one in post(client, red).json()["input_warnings"]] == ["colour"]
    counted = client.get("/metrics").text
    for kind in ("not-like-training", "inverted", "colour"):
        assert f'chest_xray_input_warnings_total{{kind="{kind}"}}' in counted


@pytest.mark.parametrize("name", pictures.BAD)
def test_every_bad_file_is_a_problem_that_says_which(client: httpx.Client, name: str) -> None:
    data, slug = pictures.BAD[name]
    assert_problem(post(client, data), KINDS[slug].status, slug)


def test_the_files_name_and_declared_kind_of_image_do_not_matter(client: httpx.Client) -> None:
    expected = post(client, IMAGE).json()
    for name, kind in (
        ("a.jpg", "image/jpg"),
        ("../../a", "image/x-odd"),
        ("ü.png", "application/octet-stream"),
        ("a.dcm", "application/dicom"),
    ):
        response = client.post("/predict", files={"file": (name, IMAGE, kind)})
        assert response.json() == expected


@pytest.mark.parametrize(
    ("request_", "status", "slug"),
    [
        pytest.param({"files": {"image": IMAGE}}, 422, "wrong-field", id="another field"),
        pytest.param({"files": [("file", ("a", IMAGE)), ("file", ("b", IMAGE))]}, 422, "wrong-field", id="two files"),
        pytest.param({"files": {"file": IMAGE}, "data": {"x": "1"}}, 422, "wrong-field", id="a further text field"),
        pytest.param(
            {"files": {"file": ("a.txt", IMAGE, "text/plain")}},
            415,
            "unsupported-media-type",
            id="a part that says it is text",
        ),
        pytest.param({"json": {"file": "x"}}, 415, "unsupported-media-type", id="JSON"),
        pytest.param({"content": IMAGE}, 415, "unsupported-media-type", id="a bare image"),
        pytest.param({}, 415, "unsupported-media-type", id="nothing"),
        pytest.param(
            {"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=B"}},
            400,
            "malformed-request",
            id="broken multipart",
        ),
        pytest.param({"files": {"file": bytes(MAX_UPLOAD_BYTES + 1)}}, 413, "file-too-large", id="a large file"),
    ],
)
def test_every_bad_request_is_a_problem_that_says_which(
    client: httpx.Client, request_: dict[str, object], status: int, slug: str
) -> None:
    assert_problem(client.post("/predict", **request_), status, slug)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/predict", 405, "method-not-allowed"),
        ("PUT", "/predict", 405, "method-not-allowed"),
        ("DELETE", "/health", 405, "method-not-allowed"),
        ("GET", "/nowhere", 404, "not-found"),
        ("POST", "/nowhere", 404, "not-found"),
        ("GET", "/problems/nowhere", 404, "not-found"),
    ],
)
def test_unknown_routes_and_methods_are_problems_too(
    client: httpx.Client, method: str, path: str, status: int, slug: str
) -> None:
    assert_problem(client.request(method, path), status, slug)


def test_a_chunked_body_is_counted_as_it_arrives(client: httpx.Client) -> None:
    head = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        yield head
        for _ in range(20):
            sent += 1
            yield bytes(MAX_UPLOAD_BYTES // 10)

    response = client.post("/predict", content=body(), headers={"content-type": "multipart/form-data; boundary=B"})
    assert_problem(response, 413, "file-too-large")
    assert sent == 20


def test_a_stalled_upload_is_ended_and_keeps_nobody_out(client: httpx.Client) -> None:
    host, port = client.base_url.host, client.base_url.port
    assert port is not None
    with socket.create_connection((host, port), timeout=10) as stalled:
        stalled.sendall(
            b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n"
            b"Content-Type: multipart/form-data; boundary=B\r\n\r\n--B\r\n"
        )
        assert post(client, IMAGE).status_code == 200
        answer = b""
        while b"}" not in answer:
            chunk = stalled.recv(4096)
            assert chunk, "the connection ended before the answer did"
            answer += chunk
    assert b" 408 " in answer.splitlines()[0]
    assert b"/problems/upload-timeout" in answer


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """A web server that writes down who asks for what."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(IMAGE)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/image.png", asked
        server.shutdown()
        thread.join()


def test_a_url_is_never_fetched(client: httpx.Client, listener: tuple[str, list[str]]) -> None:
    url, asked = listener
    assert httpx.get(url).content == IMAGE
    asked.clear()
    assert_problem(client.post("/predict", files={"file": (None, url)}), 422, "wrong-field")
    assert_problem(client.post("/predict", data={"file": url}), 415, "unsupported-media-type")
    assert_problem(client.post("/predict", json={"file": url}), 415, "unsupported-media-type")
    assert_problem(client.post("/predict", content=url), 415, "unsupported-media-type")
    assert_problem(post(client, url.encode()), 415, "not-an-image")
    smuggled = b'\r\n--B\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + url.encode() + b"\r\n--B--"
    assert_problem(post(client, IMAGE[:50] + smuggled), 400, "damaged-image")
    assert asked == []


def test_health_and_metadata(client: httpx.Client) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    body = client.get("/metadata").json()
    assert body["model_name"] == "efficientnet_lite0"
    assert body["model_version"] == SERVED_VERSION
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


def test_a_dicom_file_is_told_by_its_content_and_shown_as_a_picture(client: httpx.Client) -> None:
    data = pictures.GOOD["a DICOM image"]
    answers = [
        client.post("/predict?explain=true", files={"file": (name, data, kind)})
        for name, kind in (("image.dcm", "application/dicom"), ("radiograph", "application/octet-stream"))
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["explanation"]["image"].startswith("data:image/png;base64,")
    assert "DICOM" in client.get("/metadata").json()["request_limits"]["formats"]


def test_nothing_of_a_patient_comes_back_or_is_logged(client: httpx.Client, service_log: Path) -> None:
    files = [data for data, _ in pictures.BAD.values() if b"DICM" in data[:132]]
    whole = pictures.GOOD["a DICOM image"]
    files += [whole, whole[:-3000], whole.replace(b"DX", b"\\\\"), whole.replace(b"US", b"PN")]
    assert all(SECRET.encode() in data for data in files)
    for data in files:
        for path, field in (("/predict?explain=true", "file"), ("/predict/batch", "files")):
            answer = client.post(path, files={field: (f"{SECRET}.dcm", data, "application/dicom")})
            assert SECRET not in answer.text + str(answer.headers)
    assert SECRET not in client.get("/metrics").text
    assert SECRET not in service_log.read_text()


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


def test_bentomls_client_works(service_url: str, tmp_path: Path) -> None:
    path, dicom = tmp_path / "image.png", tmp_path / "image.dcm"
    path.write_bytes(IMAGE)
    dicom.write_bytes(pictures.GOOD["a DICOM image"])
    script = (
        "import sys, pathlib, bentoml\n"
        "path = pathlib.Path(sys.argv[2])\n"
        "with bentoml.SyncHTTPClient(sys.argv[1]) as client:\n"
        "    print(client.predict(file=path)['model_version'])\n"
        "    print(len(client.predict_batch(files=[path, path])['results']))\n"
        "    print(client.predict(file=path.with_suffix('.dcm'))['model_version'])\n"
    )
    command = [sys.executable, "-c", script, service_url, str(path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.split() == [SERVED_VERSION, "2", SERVED_VERSION]


def test_a_batch_is_answered_file_by_file_in_its_order(client: httpx.Client) -> None:
    good = [pictures.GOOD[name] for name in pictures.GOOD]
    files = [good[0], b"garbage", good[1], b"", good[0]]
    response = client.post("/predict/batch", files=[("files", ("a", data)) for data in files])
    assert response.status_code == 200
    results = response.json()["results"]
    assert [result["index"] for result in results] == [0, 1, 2, 3, 4]
    assert [result["problem"] and result["problem"]["type"] for result in results] == [
        None,
        "/problems/not-an-image",
        None,
        "/problems/empty-file",
        None,
    ]
    for index in (0, 2, 4):
        assert results[index]["prediction"] == post(client, files[index]).json()
    assert results[1]["problem"]["request_id"] == response.headers["x-request-id"]


def test_a_batch_has_a_largest_size(client: httpx.Client) -> None:
    largest = client.get("/metadata").json()["request_limits"]["max_batch"]
    files = [("files", ("a", IMAGE))] * (largest + 1)
    assert_problem(client.post("/predict/batch", files=files), 422, "wrong-field")
    assert len(client.post("/predict/batch", files=files[1:]).json()["results"]) == largest


def test_the_log_is_json_with_request_ids_and_holds_no_file_name(client: httpx.Client, service_log: Path) -> None:
    answers = [post(client, data, name="patient-smith.png") for data in (IMAGE, b"garbage")]
    assert [answer.status_code for answer in answers] == [200, 415]
    ids = [answer.headers["x-request-id"] for answer in answers]
    # A line is written when its answer is out, so it may come a moment later.
    for _ in range(100):
        log = service_log.read_text()
        if all(f'"{name}"' in log for name in ids):
            break
        time.sleep(0.05)
    assert "smith" not in log
    assert "Traceback" not in log
    # BentoML's own first line, from before the service is loaded in a worker, is text.
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    found = {line.get("request_id"): line for line in lines}
    for answer in answers:
        line = found[answer.headers["x-request-id"]]
        assert (line["method"], line["path"], line["status"]) == ("POST", "/predict", answer.status_code)
        assert line["ms"] > 0
