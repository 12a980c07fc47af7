"""Nonsense for the gateway's DICOM node, for minutes: ``python -m tests.benchmarks.pacs_fuzz [--minutes N]``.

A real gateway process with a model of its own gets mutated films, mutated and random bytes in the place of an
association, associations that break off, and calls by titles that are not on its list. It must stay up, answer C-ECHO,
take nothing from strangers, and log no name or number of a patient.
"""

import argparse
import contextlib
import random
import socket
import sqlite3
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
from pydicom import uid
from pynetdicom import AE, _config, build_context
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from bento.imaging.dicom.codecs import SUPPORTED
from bento.pacs.ledger import FILE
from tests.support.dicoms import SECRET
from tests.support.films import PATIENT_NUMBER, film, film_uid
from tests.support.gateway import TITLE, GatewayProcess, running_gateway
from tests.support.peers import answering, stored

KNOWN, SECONDS_BETWEEN_LOOKS = "MODALITY", 10
ODD = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"SQ\0\0", b"UN\0\0", b"\xfe\xff\0\xe0", b"\xfe\xff\xdd\xe0")
"""Lengths, kinds of value and delimiters."""
META = 400
"""Bytes of preamble and file meta information, about: what the client itself must be able to read."""


class Fuzzer:
    """Does one odd thing after another.

    Args:
        gateway: that it is done to.
        folder: for the films.
        seed: of what is done.
    """

    def __init__(self, gateway: GatewayProcess, folder: Path, seed: int) -> None:
        self.gateway, self.folder, self.chance = gateway, folder, random.Random(seed)
        self.done = Counter[str]()
        self.number = 0
        self.syntaxes = sorted(SUPPORTED)

    def call(self, title: str = KNOWN, called: str = TITLE) -> Association:
        """An association, established or not."""
        entity = AE(title)
        entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
        syntaxes = self.chance.sample(self.syntaxes, 3)
        contexts = [build_context(uid.ComputedRadiographyImageStorage, syntax) for syntax in syntaxes]
        contexts.append(build_context(Verification))
        return entity.associate("127.0.0.1", self.gateway.dicom_port, contexts, ae_title=called)

    def mutated(self, syntax: uid.UID) -> Path:
        """A film with bytes changed, cut out, doubled or cut off, beyond what its sender reads of it."""
        self.number += 1
        data = bytearray(film(self.number, syntax, SOPInstanceUID=film_uid("fuzz", self.number)))
        header = data.find(b"\xe0\x7f\x10\x00")
        for _ in range(self.chance.choice((1, 1, 2, 5, 30))):
            last = header if header > META and self.chance.random() < 0.8 else len(data) - 1
            at = self.chance.randrange(min(META, last), max(META + 1, last))
            match self.chance.randrange(5):
                case 0 | 1:
                    data[at] = self.chance.randrange(256)
                case 2:
                    del data[at : at + self.chance.randrange(1, 40)]
                case 3:
                    data[at:at] = data[at : at + self.chance.randrange(1, 40)]
                case _:
                    data[at : at + 4] = self.chance.choice(
                        (b"\xff\xff\xff\xff", b"\0\0\0\0", b"SQ\0\0", b"\xfe\xff\0\xe0")
                    )
        if self.chance.random() < 0.1:
            del data[self.chance.randrange(META, len(data)) :]
        file = self.folder / "film.dcm"
        file.write_bytes(data)
        return file

    def films(self) -> None:
        """Mutated films in one association."""
        association = self.call()
        for _ in range(self.chance.randrange(1, 6)):
            if not association.is_established:
                break
            syntaxes = [one.transfer_syntax[0] for one in association.accepted_contexts]
            with contextlib.suppress(ValueError, RuntimeError, AttributeError, KeyError):  # of the client's own reading
                status = association.send_c_store(self.mutated(self.chance.choice(syntaxes[:-1] or syntaxes)))
                self.done[f"films answered {status.get('Status', -1):#06x}"] += 1
        if self.chance.random() < 0.2:
            association.abort()
        else:
            association.release()

    def strangers(self) -> None:
        """A title that is not on the list, or one that is, for somebody else."""
        title = self.chance.choice(("STRANGER", "modality", "MODALITY2", "ORTHANC", "MODALITYMODALITY", "M*", "%"))
        called = self.chance.choice((TITLE, TITLE, "ANOTHER"))
        association = self.call(title, called)
        if association.is_established:
            raise AssertionError(f"{title!r} was let in, as {called!r}")
        self.done["strangers refused"] += 1

    def bytes_of_an_association(self) -> None:
        """What a peer sends first, with bytes changed; or noise; or a length that never comes."""
        request = struct.pack(">HH16s16s32x", 1, 0, TITLE.encode().ljust(16), KNOWN.encode().ljust(16))
        request += self._item(0x10, uid.UID("1.2.840.10008.3.1.1.1").encode())
        context = bytes([1, 0, 0, 0]) + self._item(0x30, b"1.2.840.10008.1.1") + self._item(0x40, b"1.2.840.10008.1.2")
        request += self._item(0x20, context) + self._item(0x50, self._item(0x51, struct.pack(">L", 16384)))
        data = bytearray(struct.pack(">BBL", 1, 0, len(request)) + request)
        if self.chance.random() < 0.5:  # after it, something else
            data += bytes([self.chance.choice((2, 4, 5, 6, 7, 9))]) + self.chance.randbytes(self.chance.randrange(40))
        for _ in range(self.chance.randrange(6)):
            data[self.chance.randrange(len(data))] = self.chance.randrange(256)
        if self.chance.random() < 0.2:
            data = bytearray(self.chance.randbytes(self.chance.randrange(1, 2000)))
        with socket.create_connection(("127.0.0.1", self.gateway.dicom_port), 10) as peer, contextlib.suppress(OSError):
            peer.sendall(data)
            peer.settimeout(self.chance.choice((0.01, 0.1, 0.5)))
            peer.recv(100)
        self.done["byte streams"] += 1

    def broken_off(self) -> None:
        """An association whose connection goes in the middle."""
        association = self.call()
        connection = association.dul.socket
        if association.is_established and connection is not None and connection.socket is not None:
            connection.socket.close()
            association.kill()
        self.done["broken off"] += 1

    def look(self) -> None:
        """Hold the gateway to what it must be like."""
        assert self.gateway.process is not None
        assert self.gateway.process.poll() is None, "the gateway has ended"
        end, answered = time.monotonic() + 60, False
        while not answered and time.monotonic() < end:
            association = self.call()
            answered = association.is_established and association.send_c_echo().get("Status") == 0
            association.release()
        assert answered, "no C-ECHO for a minute"
        assert self.gateway.get("/livez").is_success

    @staticmethod
    def _item(kind: int, content: bytes) -> bytes:
        return struct.pack(">BBH", kind, 0, len(content)) + content


def main() -> None:
    """Go on for some minutes, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="chest_xray:latest", help="in the BentoML model store")
    wanted = parser.parse_args()
    _config.STORE_SEND_CHUNKED_DATASET = True  # a file's bytes as they are
    with tempfile.TemporaryDirectory(prefix="pacs-") as name, answering() as archive:
        folder, archive.answer = Path(name), stored
        flags = {"model": wanted.model, "to": archive.url, "peers": f"{KNOWN}@127.0.0.1"}
        flags["message_seconds"] = "3"
        with running_gateway(folder / "gateway", **flags) as gateway:
            assert gateway.process is not None
            process, fuzzer = psutil.Process(gateway.process.pid), Fuzzer(gateway, folder, wanted.seed)
            odd: list[tuple[Callable[[], None], int]] = [
                (fuzzer.films, 6), (fuzzer.strangers, 2), (fuzzer.bytes_of_an_association, 6), (fuzzer.broken_off, 1),
            ]  # fmt: skip
            actions = [action for action, weight in odd for _ in range(weight)]
            end, next_look, memory = time.monotonic() + 60 * wanted.minutes, 0.0, list[int]()
            while time.monotonic() < end:
                fuzzer.chance.choice(actions)()
                if time.monotonic() > next_look:
                    fuzzer.look()
                    memory.append(process.memory_info().rss // 1_000_000)
                    archive.requests.clear()
                    next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS
            fuzzer.look()
            texts = [gateway.log.read_text(), gateway.get("/metrics").text, gateway.command("status")]
            code = gateway.end()
            report(gateway, fuzzer, texts, code, memory)


def report(gateway: GatewayProcess, fuzzer: Fuzzer, texts: list[str], code: int, memory: list[int]) -> None:
    """Say what came of it, and fail where it is not as it must be."""
    database = sqlite3.connect(gateway.spool / FILE)
    query = "SELECT state, reason, COUNT(*) FROM images GROUP BY state, reason ORDER BY COUNT(*) DESC"
    for state, reason, count in database.execute(query):
        print(f"{count:6d} {state}: {reason}")
    origins = {row[0] for row in database.execute("SELECT origin FROM images")}
    for what, count in fuzzer.done.most_common():
        print(f"{count:6d} {what}")
    errors = [line for line in texts[0].splitlines() if '"ERROR"' in line or "Traceback" in line]
    print(*Counter(line.partition('"level"')[2] for line in errors).most_common(10), sep="\n")
    planted = [
        text for text in (SECRET, SECRET.upper(), PATIENT_NUMBER, "19600102") if any(text in one for one in texts)
    ]
    assert origins <= {KNOWN}, origins
    assert not planted, planted
    assert code == 0, code
    first, last = memory[len(memory) // 10], memory[-1]
    print(f"exit code 0; MB after a tenth of the time and at its end: {first}, {last}; {len(errors)} unexpected errors")


if __name__ == "__main__":
    main()
