"""Requests nobody would make; ``python -m tests.benchmarks.fuzz`` makes far more of them."""

import os
from pathlib import Path

import httpx
from hypothesis import HealthCheck, given, settings

from tests.support.fuzzing import Upload, check, check_wire, send, send_wire, uploads, wire

SHORT = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "150")),
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@SHORT
@given(upload=uploads())
def test_no_upload_makes_an_answer_that_is_not_documented(client: httpx.Client, upload: Upload) -> None:
    check(send(client, upload), upload.path)


@SHORT
@given(data=wire())
def test_no_bytes_make_a_server_error(client: httpx.Client, data: bytes) -> None:
    check_wire(send_wire(client.base_url, data))


def test_the_service_is_well_after_all_that(client: httpx.Client, service_log: Path) -> None:
    assert client.get("/readyz").status_code == 200
    assert "Traceback" not in service_log.read_text()
