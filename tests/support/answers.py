"""Requests to the prediction route, and what an answer that refuses one must look like."""

import httpx

from bento.http.problems import MEDIA_TYPE


def post(client: httpx.Client, data: bytes, name: str = "image.png") -> httpx.Response:
    """Ask for an image's prediction."""
    return client.post("/predict", files={"file": (name, data)})


def assert_problem(response: httpx.Response, status: int, slug: str) -> None:
    """Hold an answer to the problem document of that kind.

    Raises:
        AssertionError: it is another answer.
    """
    assert response.status_code == status
    assert response.headers["content-type"] == MEDIA_TYPE
    body = response.json()
    assert set(body) == {"type", "title", "status", "detail", "request_id"}
    assert body["type"] == f"/problems/{slug}"
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
