import re

import httpx
import pytest

from bento.http.problems import KINDS


def test_one_document_describes_every_route_and_problem(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {"/predict", "/predict/batch", "/health", "/metadata"}
    predict = document["paths"]["/predict"]["post"]
    form = predict["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == list(form["properties"]) == ["file"]
    answers = {status: set(answer["content"]) for status, answer in predict["responses"].items()}
    assert answers.pop("200") == {"application/json"}
    assert {"400", "401", "408", "413", "415", "422", "431", "500", "503", "504"} <= set(answers)
    assert set().union(*answers.values()) == {"application/problem+json"}


def test_every_reference_of_the_document_is_defined(client: httpx.Client) -> None:
    response = client.get("/openapi.json")
    references = set(re.findall(r'"#/components/schemas/(\w+)"', response.text))
    assert {"PredictResponse", "BatchResponse", "Problem", "Metadata"} <= references
    assert references <= set(response.json()["components"]["schemas"])


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_documentation_needs_no_other_host(client: httpx.Client, path: str) -> None:
    page = client.get(path)
    assert page.status_code == 200
    assert not re.search(r'(?:src|href)\s*=\s*["\'](?:https?:)?//', page.text)
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert "http" not in page.headers["content-security-policy"]
    assets = re.findall(r'(?:src|href)="([^"/][^"]+)"', page.text)
    assert any(asset.endswith(".js") for asset in assets)
    for asset in assets:
        answer = client.get(asset)
        assert answer.status_code == 200
        assert len(answer.content) > 500


def test_the_parameter_for_heat_maps_is_described(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert [one["name"] for one in paths["/predict"]["post"]["parameters"]] == ["explain"]
    assert "parameters" not in paths["/predict/batch"]["post"]


@pytest.mark.parametrize("slug", KINDS)
def test_every_problem_type_can_be_looked_up(client: httpx.Client, slug: str) -> None:
    body = client.get(f"/problems/{slug}").json()
    assert body["type"] == f"/problems/{slug}"
    assert body["advice"]


def test_bentomls_own_schema_holds_predict(client: httpx.Client) -> None:
    routes = client.get("/schema.json").json()["routes"]
    found = {route["name"]: (route["route"], route["input"]["properties"]) for route in routes}
    assert {name: path for name, (path, _) in found.items()} == {
        "predict": "/predict",
        "predict_batch": "/predict/batch",
    }
    assert found["predict"][1]["file"]["type"] == "file"
    assert found["predict_batch"][1]["files"]["items"]["type"] == "file"
