"""Ask a running service for /health, /metadata and /predict, with a good and with bad files.

``python .ci/ask.py URL IMAGE`` prints the confidence of each class as JSON and exits with 1 where an answer is wrong.
"""

import json
import sys
from pathlib import Path

import httpx


def check(right: bool, what: object) -> None:
    """End with one line unless it is right."""
    if not right:
        sys.exit(f"ask: {what}")


url, radiograph = sys.argv[1], Path(sys.argv[2]).read_bytes()
BAD = {
    "not an image": {"file": b"not an image"},
    "empty": {"file": b""},
    "truncated": {"file": radiograph[: len(radiograph) // 2]},
    "other field": {"picture": radiograph},
    "too large": {"file": radiograph + bytes(10_000_000)},
}
with httpx.Client(base_url=url, timeout=30) as client:
    check(client.get("/health").json() == {"status": "ok"}, "/health")
    metadata = client.get("/metadata").raise_for_status().json()
    for name, files in BAD.items():
        answer = client.post("/predict", files=files)
        check(answer.is_client_error, f"{name}: {answer.status_code}")
        check(answer.headers["content-type"] == "application/problem+json", f"{name}: no problem document")
    answer = client.post("/predict", files={"file": radiograph}).raise_for_status().json()
check({row["label"] for row in answer["predictions"]} <= set(metadata["classes"]), answer)
print(json.dumps({row["label"]: row["confidence"] for row in answer["predictions"]}))
