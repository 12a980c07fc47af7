import json
import logging
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client import REGISTRY
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from bento.http.access_log import AccessLog, RequestJsonFormatter
from bento.http.problems import CLIENT_GONE, ProblemDocuments
from tests.support import pictures
from tests.support.answers import post
from tests.support.dicoms import SECRET

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/crash":
        raise RuntimeError("crash")
    if scope["path"] != "/silent":
        await PlainTextResponse("done")(scope, receive, send)


def observed() -> AccessLog:
    return AccessLog(application, routes=frozenset({"/known"}), quiet=frozenset({"/probe"}))


def count(route: str, status: int) -> float:
    labels = {"route": route, "status": str(status)}
    return REGISTRY.get_sample_value("chest_xray_request_seconds_count", labels) or 0


async def get(path: str) -> httpx.Response:
    app = ProblemDocuments(observed())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.get(path)


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [("/known", "/known", 200), ("/made-up", "other", 200), ("/crash", "other", 500)],
)
async def test_every_request_is_measured_and_logged(
    caplog: pytest.LogCaptureFixture, path: str, route: str, status: int
) -> None:
    before = count(route, status)
    caplog.handler.setFormatter(RequestJsonFormatter())
    with caplog.at_level(logging.INFO, logger="bento.http.access_log"):
        response = await get(path)
    assert response.status_code == status
    assert count(route, status) == before + 1
    lines = [json.loads(line) for line in caplog.text.splitlines()]
    line = next(line for line in lines if line["message"] == "request")
    assert (line["method"], line["path"], line["status"]) == ("GET", path, status)
    assert line["request_id"] == response.headers["x-request-id"]
    assert line["level"] == "INFO"


async def test_a_client_that_left_is_counted_as_such() -> None:
    async def nothing() -> Message:
        raise AssertionError

    async def nobody(message: Message) -> None:
        raise AssertionError

    before = count("other", CLIENT_GONE)
    await observed()({"type": "http", "method": "GET", "path": "/silent", "headers": []}, nothing, nobody)
    assert count("other", CLIENT_GONE) == before + 1


async def test_probes_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="bento.http.access_log"):
        assert (await get("/probe")).text == "done"
    assert not caplog.records


def test_a_multi_line_message_stays_one_line() -> None:
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, "a\nb %s", ("ü",), None)
    text = RequestJsonFormatter().format(record)
    assert "\n" not in text
    assert json.loads(text)["message"] == "a\nb ü"


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


def test_the_log_is_json_with_request_ids_and_holds_no_file_name(client: httpx.Client, service_log: Path) -> None:
    answers = [post(client, data, name="patient-smith.png") for data in (pictures.GOOD["a grey PNG"], b"garbage")]
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


def test_the_log_says_once_which_model_is_served_and_what_to_open(
    service_url: str, stored_artifact: Path, service_log: Path
) -> None:
    lines = [json.loads(line) for line in service_log.read_text().splitlines() if '"serving ' in line]
    assert [line["message"] for line in lines] == [
        f"serving chest_xray:{stored_artifact.name} (efficientnet_lite0, generated images, "
        f"macro F1 0.96 on 30 test images) on the CPU; open {service_url}"
    ]
