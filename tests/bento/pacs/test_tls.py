"""DICOM over TLS: both sides show a certificate of the deployment's authority."""

import gc
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bento.pacs.deliver import StoreSender
from bento.pacs.intake import Intake
from bento.pacs.judge import UnavailableError
from bento.pacs.ledger import Ledger
from bento.pacs.node import Node
from bento.pacs.settings import Destination, PacsSettings
from bento.pacs.spool import Spool
from bento.pacs.tls import client_context, server_context
from tests.support.films import film
from tests.support.peers import certificate
from tests.support.server import free_port

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    yield
    gc.collect()


def test_only_who_has_a_trusted_certificate_is_let_in(tmp_path: Path) -> None:
    own, own_key = certificate(tmp_path, "hospital")
    other, other_key = certificate(tmp_path, "stranger")
    port = free_port()
    settings = PacsSettings(
        peers="CHESTXRAY@127.0.0.1", dicom_port=port, ca_file=own, cert_file=own, cert_key_file=own_key
    )
    spool = Spool(tmp_path / "spool", 1e9)
    ledger = Ledger(spool.folder)
    node = Node(settings, Intake(ledger, spool, lambda: "", lambda: None), server_context(settings))
    threading.Thread(target=node.serve, daemon=True).start()
    to = Destination.parse(f"dicoms://CHESTXRAY@127.0.0.1:{port}")
    try:
        results = [film(1, SOPClassUID="1.2.840.10008.5.1.4.1.1.7", Modality="OT")]
        assert list(StoreSender(to, "CHESTXRAY", client_context(settings)).send([results])) == [""]
        assert ledger.rows("SELECT state FROM images") == [("passed over",)]
        stranger = settings.model_copy(update={"cert_file": other, "cert_key_file": other_key})
        nobody = settings.model_copy(update={"cert_file": None, "cert_key_file": None})
        distrustful = settings.model_copy(update={"ca_file": other})
        for one in (client_context(stranger), client_context(nobody), client_context(distrustful), None):
            with pytest.raises(UnavailableError):
                list(StoreSender(to, "CHESTXRAY", one).send([results]))
        assert list(StoreSender(to, "CHESTXRAY", client_context(settings)).send([results])) == [""]
    finally:
        node.close()


def test_a_silent_peer_holds_nobody_up(tmp_path: Path) -> None:
    own, own_key = certificate(tmp_path, "hospital")
    port = free_port()
    settings = PacsSettings(
        peers="CHESTXRAY@127.0.0.1", dicom_port=port, ca_file=own, cert_file=own, cert_key_file=own_key
    )
    spool = Spool(tmp_path / "spool", 1e9)
    intake = Intake(Ledger(spool.folder), spool, lambda: "", lambda: None)
    node = Node(settings, intake, server_context(settings))
    threading.Thread(target=node.serve, daemon=True).start()
    try:
        with socket.create_connection(("127.0.0.1", port)):
            results = [film(1, SOPClassUID="1.2.840.10008.5.1.4.1.1.7", Modality="OT")]
            to = Destination.parse(f"dicoms://CHESTXRAY@127.0.0.1:{port}")
            assert list(StoreSender(to, "CHESTXRAY", client_context(settings)).send([results])) == [""]
    finally:
        node.close()


def test_files_that_are_no_certificates_are_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no")
    with pytest.raises(ValueError, match="not certificates and a key in PEM"):
        client_context(PacsSettings(ca_file=tmp_path / "no.pem"))
