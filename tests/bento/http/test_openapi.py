import re

import httpx


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


def test_the_parameters_are_described(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert [one["name"] for one in paths["/predict"]["post"]["parameters"]] == ["explain", "again"]
    assert "parameters" not in paths["/predict/batch"]["post"]
