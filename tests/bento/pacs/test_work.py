"""Between the doors: what is retried, what is set aside, what is sent and deleted; with real HTTP on both sides."""

import contextlib
import io
import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import JPEGBaseline8Bit

from bento.pacs.capture import make_capture
from bento.pacs.deliver import StowSender, web_session
from bento.pacs.encoding import encoded
from bento.pacs.intake import Intake, Outcome
from bento.pacs.judge import Judge, LocalJudge, ServiceJudge, UnavailableError
from bento.pacs.ledger import Ledger
from bento.pacs.settings import Destination
from bento.pacs.source import read_source
from bento.pacs.spool import Spool
from bento.pacs.watch import Watcher
from bento.pacs.work import Options, Work
from tests.support.films import film, film_uid
from tests.support.peers import Peer, answering, answers_of, stored

SECONDS = 20


class Running:
    """The threads between the doors, with one destination."""

    def __init__(self, folder: Path, judge: Judge, archive: Peer, **options: float) -> None:
        self.spool = Spool(folder / "spool", options.pop("limit", 1e9))
        self.ledger = Ledger(folder / "spool")
        sender = StowSender(Destination.parse(archive.url), web_session("Bearer abc", True, None))
        chosen = Options(capture=False, refusals=bool(options.get("refusals")), keep_days=options.get("keep_days", 0))
        self.work = Work(self.ledger, self.spool, judge, {archive.url: sender}, chosen)
        self.intake = Intake(self.ledger, self.spool, self.work.model, self.work.wake)
        self.work.start(2, None, 1)

    def take(self, number: int) -> Outcome:
        """Take a film in."""
        return self.intake.take(film(number), str(film_uid("image", number)), "MODALITY")

    def until(self, state: str, count: int = 1, reason: str = "") -> None:
        """Wait until so many images are in a state, for a reason that contains a text."""
        end = time.monotonic() + SECONDS
        query = "SELECT COUNT(*) FROM images WHERE state = ? AND reason LIKE ?"
        while time.monotonic() < end:
            if self.ledger.rows(query, (state, f"%{reason}%")) == [(count,)]:
                return
            time.sleep(0.02)
        raise AssertionError(self.ledger.rows("SELECT state, reason, tries FROM images"))

    def files(self) -> list[Path]:
        """What lies in the spool."""
        return [path for name in ("images", "results") for path in (self.spool.folder / name).iterdir()]


@pytest.fixture
def archive() -> Iterator[Peer]:
    """A DICOMweb server that stores everything."""
    with answering() as peer:
        peer.answer = stored
        yield peer


@pytest.fixture
def service() -> Iterator[Peer]:
    """Something that answers in the place of the service."""
    with answering() as peer:
        yield peer


def of_model(service: Peer, judge: LocalJudge) -> ServiceJudge:
    """The judge of a service that tells its model whatever it answers otherwise."""

    class Known(ServiceJudge):
        model = judge.model

    return Known(service.url, "", True)


@contextlib.contextmanager
def running(folder: Path, judge: Judge, archive: Peer, **options: float) -> Iterator[Running]:
    """With its threads ended afterwards."""
    one = Running(folder, judge, archive, **options)
    try:
        yield one
    finally:
        one.work.stop()


def test_results_are_sent_with_the_token_and_the_files_deleted(
    tmp_path: Path, judge: LocalJudge, archive: Peer
) -> None:
    with running(tmp_path, judge, archive) as gateway:
        assert gateway.take(1) is Outcome.TAKEN
        gateway.until("done")
        assert gateway.take(1) is Outcome.KNOWN
        end = time.monotonic() + SECONDS
        while gateway.files() and time.monotonic() < end:
            time.sleep(0.05)
        assert gateway.files() == []
    ((path, headers, _),) = archive.requests
    assert path == "/studies"
    assert headers["Authorization"] == "Bearer abc"
    assert int(headers["Content-Length"]) > 1000


def test_files_stay_for_the_days_that_are_asked_for(tmp_path: Path, judge: LocalJudge, archive: Peer) -> None:
    with running(tmp_path, judge, archive, keep_days=1) as gateway:
        gateway.take(1)
        gateway.until("done")
        time.sleep(1.2)
        assert len(gateway.files()) == 2


@pytest.mark.parametrize(
    ("status", "reason"),
    [(503, "answers 503"), (401, "check its URL and the key"), (404, "check its URL"), (302, "302")],
)
def test_an_image_waits_for_a_service_that_does_not_answer_for_it(
    tmp_path: Path, judge: LocalJudge, archive: Peer, service: Peer, status: int, reason: str
) -> None:
    service.status = status
    with running(tmp_path, ServiceJudge(service.url, "a key", True), archive) as gateway:
        gateway.take(1)
        gateway.until("received", reason=reason)
        assert gateway.ledger.rows("SELECT tries FROM images") == [(0,)], "only its own failures set it aside"
        service.answer, service.status = answers_of(judge, film(1)), 200
        gateway.until("done")
    assert all(headers["Authorization"] == "Bearer a key" for _, headers, _ in service.requests)


@pytest.mark.parametrize("refusals", [False, True])
def test_a_refused_image_is_set_aside_or_reported_with_the_reason(
    tmp_path: Path, archive: Peer, service: Peer, judge: LocalJudge, refusals: bool
) -> None:
    problem = {"type": "/problems/outside-what-the-model-knows", "detail": "It is unlike the training images."}
    service.status, service.body = 422, json.dumps(problem).encode()
    with running(tmp_path, of_model(service, judge), archive, refusals=refusals) as gateway:
        gateway.take(1)
        gateway.until("done" if refusals else "set aside", reason="outside-what-the-model-knows")
    assert len(archive.requests) == refusals
    if refusals:
        assert b"It is unlike the training images." in archive.requests[0][2]


def test_an_image_that_breaks_the_service_does_not_hold_up_the_next(
    tmp_path: Path, judge: LocalJudge, archive: Peer, service: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bento.pacs.work.wait_before", lambda tries: 0.01)
    service.status = 500
    with running(tmp_path, of_model(service, judge), archive) as gateway:
        gateway.take(1)
        gateway.until("set aside", reason="the service ended with an error (500)")
        assert gateway.ledger.rows("SELECT tries FROM images") == [(10,)]


def test_an_image_that_ends_the_services_process_is_set_aside_in_the_end(
    tmp_path: Path, judge: LocalJudge, archive: Peer, service: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bento.pacs.work.wait_before", lambda tries: 0.01)
    answer = answers_of(judge, film(1))

    def dies(content: bytes) -> bytes:
        if content:
            raise ConnectionAbortedError("the connection closes without an answer")
        return answer(content)

    service.answer = dies
    with running(tmp_path, ServiceJudge(service.url, "", True), archive) as gateway:
        gateway.take(1)
        gateway.until("set aside", reason="ended the connection without an answer")
        service.answer = answer
        gateway.take(2)
        gateway.until("done")


@pytest.mark.parametrize(
    ("status", "body"),
    [(503, b""), (401, b""), (200, b"hello"), (200, b"[]"), (200, b'{"00081199": 3}')],
)
def test_results_wait_for_a_destination_that_takes_nothing(
    tmp_path: Path, judge: LocalJudge, archive: Peer, status: int, body: bytes
) -> None:
    archive.status, archive.body, archive.answer = status, body, None
    with running(tmp_path, judge, archive) as gateway:
        gateway.take(1)
        gateway.until("judged")
        end = time.monotonic() + SECONDS
        while not gateway.ledger.rows("SELECT 1 FROM deliveries WHERE reason != ''") and time.monotonic() < end:
            time.sleep(0.02)
        assert gateway.ledger.rows("SELECT tries FROM deliveries") == [(0,)], "only its own refusals set it aside"
        archive.status, archive.answer = 200, stored
        gateway.until("done")


def test_what_a_server_says_that_it_has_not_stored_is_set_aside_with_its_reason(
    tmp_path: Path, judge: LocalJudge, archive: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bento.pacs.work.wait_before", lambda tries: 0.01)

    def failed(content: bytes) -> bytes:
        items = json.loads(stored(content))["00081199"]["Value"]
        return json.dumps(
            {"00081198": {"Value": [item | {"00081197": {"Value": [0xC000]}} for item in items]}}
        ).encode()

    archive.answer = failed
    with running(tmp_path, judge, archive) as gateway:
        gateway.take(1)
        gateway.until("set aside", reason="not delivered: failure reason C000")
        archive.answer = stored
        gateway.ledger.retry()
        gateway.until("done")


@pytest.mark.parametrize("refusal", ["its failure reason", "415"])
def test_a_server_that_takes_no_jpeg_gets_the_capture_uncompressed(
    judge: LocalJudge, archive: Peer, refusal: str
) -> None:
    answer, model = judge.judge(film(1))
    capture = encoded(make_capture(read_source(film(1)), model, answer, datetime.now()))

    def takes_no_jpeg(content: bytes) -> bytes:
        body = stored(content)
        if JPEGBaseline8Bit.encode() not in content:
            return body
        items = json.loads(body)["00081199"]["Value"]
        return json.dumps({"00081198": {"Value": [one | {"00081197": {"Value": [0xC122]}} for one in items]}}).encode()

    archive.answer = takes_no_jpeg
    archive.first = [415] if refusal == "415" else []
    sender = StowSender(Destination.parse(archive.url), web_session("", True, None))
    assert list(sender.send([[capture]])) == [""]
    assert len(archive.requests) == 2
    sent = dcmread(io.BytesIO(archive.requests[1][2].partition(b"\r\n\r\n")[2]), force=True)
    assert sent.SOPInstanceUID == dcmread(io.BytesIO(capture)).SOPInstanceUID
    assert (sent.PhotometricInterpretation, len(sent.PixelData)) == ("RGB", 3 * sent.Rows * sent.Columns)


def test_a_full_spool_takes_nothing_until_something_is_delivered(
    tmp_path: Path, judge: LocalJudge, archive: Peer
) -> None:
    archive.status = 503
    with running(tmp_path, judge, archive, limit=4_030_000) as gateway:
        assert gateway.take(1) is Outcome.TAKEN
        assert gateway.take(2) is Outcome.FULL
        archive.status = 200
        gateway.until("done")
        end = time.monotonic() + SECONDS
        while gateway.take(2) is Outcome.FULL and time.monotonic() < end:
            time.sleep(0.05)
        gateway.until("done", 2)


def test_a_server_that_gives_no_dicomweb_is_no_reason_to_end(ledger: Ledger, tmp_path: Path, service: Peer) -> None:
    intake = Intake(ledger, Spool(tmp_path, 1e9), lambda: "", lambda: None)
    watcher = Watcher(service.url, web_session("", True, None), ledger, intake, days=1, largest=1e6)
    for status, body in ((500, b""), (200, b"hello"), (200, b"[3]"), (200, b'[{"0020000E": {}}]')):
        service.status, service.body = status, body
        with pytest.raises(UnavailableError, match="QIDO-RS fails"):
            watcher.look()
    assert ledger.rows("SELECT * FROM cursors") == []
