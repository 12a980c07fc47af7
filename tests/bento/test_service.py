"""The service as its users meet it: a real ``bentoml serve`` process, spoken to over HTTP."""

from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from bento.http.problems import KINDS
from bento.imaging.intake import load_array
from bento.inference.session import Predictor
from tests.conftest import MAX_UPLOAD_BYTES, SERVED_VERSION
from tests.support import pictures
from tests.support.answers import assert_problem, post
from tests.support.artifacts import CLASSES, NOVELTY_THRESHOLD

IMAGE = pictures.GOOD["a grey PNG"]


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
        odds = answers[point.label] / (answers[point.label] + answers["NORMAL"])
        assert flag["score"] == pytest.approx(odds, abs=1e-6)
        assert flag["flagged"] == (flag["score"] >= point.threshold)


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


def test_a_dicom_file_is_told_by_its_content_and_shown_as_a_picture(client: httpx.Client) -> None:
    data = pictures.GOOD["a DICOM image"]
    answers = [
        client.post("/predict?explain=true", files={"file": (name, data, kind)})
        for name, kind in (("image.dcm", "application/dicom"), ("radiograph", "application/octet-stream"))
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["explanation"]["image"].startswith("data:image/jpeg;base64,")
    assert "DICOM" in client.get("/metadata").json()["request_limits"]["formats"]


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
