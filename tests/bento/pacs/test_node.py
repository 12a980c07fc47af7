"""The DICOM node: who is let in, what is taken, and what no peer can do to it."""

import contextlib
import gc
import io
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pynetdicom import AE, build_context
from pynetdicom.association import Association
from pynetdicom.sop_class import CTImageStorage, Verification  # type: ignore[attr-defined]

from bento.imaging.dicom.codecs import SUPPORTED
from bento.pacs.intake import Intake
from bento.pacs.ledger import Ledger
from bento.pacs.log import image_id
from bento.pacs.node import NOT_UNDERSTOOD, OUT_OF_RESOURCES, Node
from bento.pacs.settings import PacsSettings
from bento.pacs.spool import Spool
from tests.support.films import film, film_uid
from tests.support.server import free_port

TITLE, PEER = "CHESTXRAY", "MODALITY"
# pynetdicom leaves a socket to the garbage collector where the other side has closed it first.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


class Listening:
    """A node with its ledger and spool."""

    def __init__(self, folder: Path, *, limit: float = 1e9, **settings: Any) -> None:
        self.port = free_port()
        usual: dict[str, Any] = {"peers": f"{PEER}@127.0.0.1", "dicom_port": self.port, "message_seconds": 10}
        self.settings = PacsSettings(**(usual | settings))
        self.spool = Spool(folder / "spool", limit)
        self.ledger = Ledger(folder / "spool")
        intake = Intake(self.ledger, self.spool, lambda: "model 1", lambda: None)
        self.node = Node(self.settings, intake, None)
        threading.Thread(target=self.node.serve, daemon=True).start()

    def call(
        self, title: str = PEER, called: str = TITLE, syntaxes: Sequence[uid.UID] = (uid.ExplicitVRLittleEndian,)
    ) -> Association:
        """An association, established or not."""
        entity = AE(title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 15
        contexts = [build_context(uid.ComputedRadiographyImageStorage, syntax) for syntax in syntaxes]
        contexts += [build_context(kind) for kind in (Verification, CTImageStorage)]
        return entity.associate("127.0.0.1", self.port, contexts, ae_title=called)

    def send(self, data: bytes) -> int | None:
        """The status of a C-STORE; None where the node has ended the association."""
        association = self.call()
        assert association.is_established
        try:
            status: int | None = association.send_c_store(pydicom.dcmread(io.BytesIO(data))).get("Status")
            return status
        finally:
            association.release()

    def states(self) -> list[tuple[Any, ...]]:
        """State and reason of each image."""
        return self.ledger.rows("SELECT state, reason FROM images ORDER BY received")

    def is_well(self, seconds: float = 15) -> bool:
        """Whether a C-ECHO is answered, once those who were cut off have gone."""
        end, answered = time.monotonic() + seconds, False
        while not answered and time.monotonic() < end:
            association = self.call()
            answered = association.is_established and association.send_c_echo().get("Status") == 0
            association.release()
        return answered


@contextlib.contextmanager
def listening(folder: Path, **settings: Any) -> Iterator[Listening]:
    """A node that is ended afterwards."""
    node = Listening(folder, **settings)
    try:
        yield node
    finally:
        node.node.close()


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Listening]:
    """With short deadlines."""
    with listening(tmp_path) as one:
        yield one


def test_a_peer_on_the_list_is_echoed(node: Listening) -> None:
    assert node.is_well()


@pytest.mark.parametrize(("title", "called"), [("STRANGER", TITLE), (PEER, "ANOTHER")])
def test_another_title_is_refused(node: Listening, title: str, called: str) -> None:
    association = node.call(title, called)
    assert association.is_rejected
    assert node.states() == []


def test_a_listed_title_from_another_address_is_not_even_heard(tmp_path: Path) -> None:
    with listening(tmp_path, peers=f"{PEER}@10.0.0.0/8") as node:
        association = node.call()
        assert not association.is_established
        assert not association.is_rejected


def test_films_of_every_transfer_syntax_are_taken_as_they_are(node: Listening) -> None:
    syntaxes = sorted(SUPPORTED)
    association = node.call(syntaxes=syntaxes)
    for number, syntax in enumerate(syntaxes):
        data = pydicom.dcmread(io.BytesIO(film(number, syntax)))
        assert association.send_c_store(data).get("Status") == 0, syntax.name
        kept = pydicom.dcmread(io.BytesIO(node.spool.image(image_id(film_uid("image", number)))))
        assert kept.file_meta.TransferSyntaxUID == syntax
        assert kept.PixelData == data.PixelData
    association.release()
    assert node.states() == [("received", "")] * len(syntaxes)


def test_what_comes_again_changes_nothing(node: Listening) -> None:
    assert [node.send(film(1)), node.send(film(1, PatientComments="again"))] == [0, 0]
    assert len(node.states()) == 1
    assert b"again" not in node.spool.image(image_id(film_uid("image", 1)))


def test_what_is_not_for_the_model_is_taken_and_not_kept(node: Listening) -> None:
    assert node.send(film(1, SOPClassUID=CTImageStorage, Modality="CT")) == 0
    assert node.states() == [("passed over", "not a radiograph: its modality is CT")]
    assert list((node.spool.folder / "images").iterdir()) == []


def test_a_full_spool_says_so_and_keeps_nothing(tmp_path: Path) -> None:
    with listening(tmp_path, limit=4_000_100) as node:
        assert node.send(film(1)) == OUT_OF_RESOURCES
        assert node.states() == []


def test_a_file_that_is_only_its_owner_s(node: Listening) -> None:
    node.send(film(1))
    for path in [node.spool.folder, *node.spool.folder.rglob("*")]:
        assert path.name.startswith("ledger") or path.stat().st_mode & 0o077 == 0, path
    assert node.spool.folder.stat().st_mode & 0o777 == 0o700


def test_a_damaged_header_is_set_aside(node: Listening) -> None:
    assert node.send(film(1, without=["StudyInstanceUID"])) == NOT_UNDERSTOOD
    assert node.states()[0][0] == "set aside"


def test_an_image_that_is_too_large_ends_the_association(tmp_path: Path) -> None:
    with listening(tmp_path, max_file_mb=0.5) as node:
        assert node.send(film(1, side=1000)) is None
        assert node.states() == []
        assert node.is_well()


def test_a_slow_sender_is_cut_off(tmp_path: Path) -> None:
    with listening(tmp_path, message_seconds=1) as node, socket.create_connection(("127.0.0.1", node.port)) as peer:
        begin = time.monotonic()
        peer.sendall(struct.pack(">BBL", 1, 0, 500))
        with contextlib.suppress(OSError):
            for _ in range(40):
                peer.sendall(b"x")
                time.sleep(0.1)
        assert peer.recv(1) == b"" or time.monotonic() - begin < 3
        assert time.monotonic() - begin < 4
        assert node.is_well()


def test_a_message_that_announces_gigabytes_is_cut_off(node: Listening) -> None:
    with socket.create_connection(("127.0.0.1", node.port), timeout=5) as peer:
        peer.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFF0) + bytes(1000))
        with contextlib.suppress(ConnectionResetError):
            assert peer.recv(1) == b""
    assert node.is_well()


def test_more_peers_than_are_allowed_are_refused(tmp_path: Path) -> None:
    with listening(tmp_path, max_associations=1) as node:
        first = node.call()
        assert first.is_established
        assert not node.call().is_established
        first.release()


def test_no_bytes_bring_it_down(tmp_path: Path) -> None:
    with listening(tmp_path, message_seconds=1) as node:
        send_nonsense(node)
        assert node.states() == []
        assert node.is_well()


def send_nonsense(node: Listening) -> None:
    """Random bytes, and requests for an association with random bytes in them."""
    rng = np.random.default_rng(3)
    recorded = bytes.fromhex("0100000000cd00010000") + b"CHESTXRAY       MODALITY        " + bytes(32)
    recorded += bytes.fromhex("10000015") + b"1.2.840.10008.3.1.1.1"
    for number in range(14):
        data = bytearray(recorded if number % 2 else rng.bytes(300))
        for at in rng.integers(0, len(data), 3):
            data[at] = rng.integers(256)
        with socket.create_connection(("127.0.0.1", node.port), timeout=5) as peer, contextlib.suppress(OSError):
            peer.sendall(bytes(data))


def test_no_mutated_film_brings_it_down(node: Listening) -> None:
    rng = np.random.default_rng(4)
    association = node.call()
    answers = set()
    for number in range(20):
        data = pydicom.dcmread(io.BytesIO(film(number)))
        content = bytearray(film(number))
        for at in rng.integers(500, len(content), 20):
            content[at] = rng.integers(256)
        with contextlib.suppress(Exception):  # pydicom itself may refuse to send it
            data = pydicom.dcmread(io.BytesIO(bytes(content)))
            answers.add(association.send_c_store(data).get("Status"))
        if not association.is_established:
            association = node.call()
    association.release()
    assert answers & {0, NOT_UNDERSTOOD}
    assert node.is_well()
