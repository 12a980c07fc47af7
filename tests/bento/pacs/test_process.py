"""The gateway as a process between real HTTP servers: by HTTPS, killed while it asks, with a model of its own."""

import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom import uid
from pynetdicom import AE, evt

from bento.pacs.judge import LocalJudge
from bento.pacs.ledger import FILE
from bento.pacs.report import report_groups
from tests.bento.pacs.test_results import groups, numbers
from tests.support.dicoms import SECRET
from tests.support.films import PATIENT_NUMBER, film
from tests.support.gateway import GatewayProcess, running_gateway, store
from tests.support.peers import Peer, answering, answers_of, certificate, stored
from tests.support.server import free_port

SECONDS = 30


def until(what: Callable[[], bool], gateway: GatewayProcess) -> None:
    """Wait until something holds."""
    end = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < end, gateway.log.read_text()
        time.sleep(0.05)


def states(gateway: GatewayProcess) -> list[tuple[str, str]]:
    """State and reason of each image."""
    database = sqlite3.connect(f"file:{gateway.spool / FILE}?mode=ro", uri=True)
    try:
        return database.execute("SELECT state, reason FROM images").fetchall()
    finally:
        database.close()


def posts(peer: Peer) -> list[str]:
    """The paths of what was posted to a peer."""
    return [path for path, _, content in peer.requests if content]


@pytest.fixture
def archive() -> Iterator[Peer]:
    """A DICOMweb server that stores everything."""
    with answering() as peer:
        peer.answer = stored
        yield peer


def test_what_an_authority_has_not_signed_is_told_and_waits_until_it_is_trusted(
    tmp_path: Path, judge: LocalJudge
) -> None:
    own, stranger = certificate(tmp_path, "hospital"), certificate(tmp_path, "stranger")
    with answering(own) as service, answering(own) as web:
        service.answer, web.answer = answers_of(judge, film(1)), stored
        flags = {"service": service.url, "to": web.url, "peers": "MODALITY@127.0.0.1", "ca-file": str(stranger[0])}
        gateway = GatewayProcess(tmp_path / "gateway", flags)
        gateway.start()
        assert store(gateway, film(1)) == [0]
        until(lambda: "not trusted" in states(gateway)[0][1], gateway)
        assert "not trusted for its name: check ca_file" in gateway.command("status")
        assert service.requests == []
        # Now the service is trusted, and the archive shows somebody else's certificate.
        gateway.end()
        with answering(stranger) as other:
            other.answer = stored
            gateway.flags |= {"ca-file": str(own[0]), "to": other.url}
            gateway.start()
            until(lambda: states(gateway)[0][0] == "judged", gateway)
            until(lambda: gateway.log.read_text().count("not trusted") > 2, gateway)
            assert other.requests == []
        gateway.end()
        gateway.flags["to"] = web.url
        gateway.start()
        # To the one that is not a destination any more, nothing is sent; to the new one, films from now on.
        assert store(gateway, film(2)) == [0]
        until(lambda: ("done", "") in states(gateway), gateway)
        assert gateway.end() == 0
        assert posts(web) == ["/studies"]


def test_a_film_that_was_asked_about_before_a_crash_is_asked_about_again_and_says_so(
    tmp_path: Path, judge: LocalJudge, archive: Peer
) -> None:
    held = threading.Event()
    with answering() as service:
        told = answers_of(judge, film(1))

        def answer(content: bytes) -> bytes:
            if content and len(posts(service)) == 1:
                held.wait(SECONDS)
            return told(content)

        service.answer = answer
        flags = {"service": service.url, "to": archive.url, "peers": "MODALITY@127.0.0.1"}
        gateway = GatewayProcess(tmp_path / "gateway", flags)
        gateway.start()
        assert store(gateway, film(1)) == [0]
        until(lambda: bool(posts(service)), gateway)
        gateway.end(signal.SIGKILL)
        held.set()
        gateway.start()
        until(lambda: states(gateway) == [("done", "")], gateway)
        assert store(gateway, film(2)) == [0]
        until(lambda: states(gateway) == [("done", "")] * 2, gateway)
        gateway.end()
    first, second, another = posts(service)
    assert first == another == "/predict?explain=true"
    assert second == "/predict?explain=true&again=true"


def test_an_image_that_the_service_did_not_take_counts_when_it_does(
    tmp_path: Path, judge: LocalJudge, archive: Peer
) -> None:
    with answering() as service:
        service.answer, service.status = answers_of(judge, film(1)), 503
        flags = {"service": service.url, "to": archive.url, "peers": "MODALITY@127.0.0.1"}
        with running_gateway(tmp_path / "gateway", **flags) as gateway:
            assert store(gateway, film(1)) == [0]
            until(lambda: bool(posts(service)), gateway)
            service.status = 200
            until(lambda: states(gateway) == [("done", "")], gateway)
        assert set(posts(service)) == {"/predict?explain=true"}


def test_a_gateway_with_a_model_of_its_own_needs_no_service(
    tmp_path: Path, judge: LocalJudge, stored_artifact: Path
) -> None:
    """Sent by C-STORE to a node that takes no JPEG: the capture comes uncompressed."""
    received: dict[str, pydicom.Dataset] = {}

    def keep(event: evt.Event) -> int:
        data = event.dataset
        data.file_meta = event.file_meta
        received[str(data.Modality)] = data
        return 0

    port, node = free_port(), AE("ARCHIVE")
    for kind in (uid.EnhancedSRStorage, uid.SecondaryCaptureImageStorage):
        node.add_supported_context(kind, uid.ExplicitVRLittleEndian)
    server = node.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    flags = {
        "model": f"chest_xray:{stored_artifact.name}", "to": f"dicom://ARCHIVE@127.0.0.1:{port}",
        "peers": "MODALITY@127.0.0.1", "service": "http://127.0.0.1:9",
    }  # fmt: skip
    gateway = GatewayProcess(tmp_path / "gateway", flags)
    try:
        gateway.start()
        assert store(gateway, film(1), film(2)) == [0, 0]
        gateway.end(signal.SIGKILL)
        gateway.start()
        until(lambda: states(gateway) == [("done", "")] * 2, gateway)
        assert gateway.end() == 0
    finally:
        assert server is not None
        server.shutdown()
    answer, model = judge.judge(film(2))
    report, capture = received["SR"], received["OT"]
    told = {float(value) for group in groups(report).values() for value in numbers(group).values()}
    wanted = {value for group in report_groups(answer) for _, value in group.numbers}
    others = {value for group in report_groups(judge.judge(film(1))[0]) for _, value in group.numbers}
    assert any(sorted(told) == pytest.approx(sorted(one), abs=1e-9) for one in (wanted, others))
    assert model.version in capture.DerivationDescription
    assert capture.file_meta.TransferSyntaxUID == uid.ExplicitVRLittleEndian
    assert capture.PhotometricInterpretation == "RGB"
    assert len(capture.PixelData) == 3 * capture.Rows * capture.Columns
    assert all(text not in gateway.log.read_text() for text in (SECRET, PATIENT_NUMBER))
