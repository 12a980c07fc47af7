"""Send results to a destination: by C-STORE in one association, or by STOW-RS in one request, for several images."""

import io
import json
import ssl
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import requests
from pydicom import dcmread
from pydicom.filereader import read_partial
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit, SecondaryCaptureImageStorage
from pynetdicom import AE
from pynetdicom.sop_class import EnhancedSRStorage  # type: ignore[attr-defined]

from bento.pacs.encoding import encoded
from bento.pacs.judge import CONNECT_SECONDS, UnavailableError, out_of_reach
from bento.pacs.settings import Destination

SEND_SECONDS = 60.0
DUPLICATE = 0x0111
"""The destination has this very UID already: so it has the result."""
_WARNINGS = range(0xB000, 0xC000)
_BUSY = {0x0122, *range(0xA700, 0xA800)}
"""Statuses that mean the destination, not the object: out of resources, or not accepting this class at the moment."""
SYNTAX_NOT_SUPPORTED = 0xC122
"""STOW-RS's failure reason (PS3.18 I.2.2) for a transfer syntax that the server does not take."""
_UID, _REASON, _STORED, _FAILED = "00081155", "00081197", "00081199", "00081198"
"""Tags of a STOW-RS answer (PS3.18 I): referenced UID, failure reason, and the sequences of what was (not) stored."""

Results = Sequence[bytes]
"""The DICOM files made for one image."""


class Sender(Protocol):
    """Sends results somewhere."""

    def send(self, images: Sequence[Results]) -> Iterator[str]:
        """Send several images' results, and give for each, in their order, why it was not taken; empty: it was.

        Raises:
            UnavailableError: the destination takes nothing at the moment; what was given before stands.
        """


class StoreSender:
    """C-STORE to a DICOM node.

    Args:
        destination: its address and AE title.
        ae_title: of this program.
        context: of TLS; None: without.
    """

    def __init__(self, destination: Destination, ae_title: str, context: ssl.SSLContext | None) -> None:
        self._to, self._context = destination, context
        self._entity = AE(ae_title)
        self._entity.connection_timeout = CONNECT_SECONDS
        self._entity.acse_timeout = self._entity.dimse_timeout = self._entity.network_timeout = SEND_SECONDS
        self._entity.add_requested_context(SecondaryCaptureImageStorage, [JPEGBaseline8Bit])
        for kind in (EnhancedSRStorage, SecondaryCaptureImageStorage):
            self._entity.add_requested_context(kind, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])

    def send(self, images: Sequence[Results]) -> Iterator[str]:
        to = self._to
        tls = None if self._context is None else (self._context, to.host)
        association = self._entity.associate(to.host, to.port, ae_title=to.ae_title, tls_args=tls)
        if not association.is_established:
            refused = association.is_rejected
            raise UnavailableError("it refuses this AE title" if refused else "it can't be reached")
        try:
            for results in images:
                yield next((reason for one in results if (reason := self._store(association, one))), "")
        finally:
            association.release()

    @staticmethod
    def _store(association: Any, data: bytes) -> str:
        result = dcmread(io.BytesIO(data))
        syntaxes = {
            context.transfer_syntax[0]
            for context in association.accepted_contexts
            if context.abstract_syntax == result.SOPClassUID
        }
        if result.file_meta.TransferSyntaxUID not in syntaxes and result.file_meta.TransferSyntaxUID.is_compressed:
            result.decompress(generate_instance_uid=False)
        try:
            answer = association.send_c_store(result)
        except ValueError:
            return "it takes no object of this class or transfer syntax"
        except RuntimeError:
            raise UnavailableError("it has ended the association") from None
        status = answer.get("Status")
        if status is None:
            raise UnavailableError("it has not answered")
        if status in (0, DUPLICATE) or status in _WARNINGS:
            return ""
        if status in _BUSY:
            raise UnavailableError(f"it answers status {status:04X}: out of resources")
        return f"it answers status {status:04X}"


class StowSender:
    """STOW-RS to a DICOMweb server.

    Args:
        destination: its URL.
        session: with credentials and certificates.
    """

    def __init__(self, destination: Destination, session: requests.Session) -> None:
        self._url, self._session = destination.url, session

    def send(self, images: Sequence[Results]) -> Iterator[str]:
        boundary = uuid.uuid4().hex
        head = f"\r\n--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = b"".join(head + data for results in images for data in results) + f"\r\n--{boundary}--\r\n".encode()
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        # With a length: some servers answer 200 to a chunked request and store nothing.
        headers = {"Content-Type": kind, "Accept": "application/dicom+json"}
        try:
            response = self._session.post(
                f"{self._url}/studies", body, headers=headers, timeout=(CONNECT_SECONDS, SEND_SECONDS),
                allow_redirects=False,
            )  # fmt: skip
        except requests.RequestException as error:
            raise UnavailableError(f"it {out_of_reach(error)}") from None
        if response.status_code in (200, 202, 409):
            stored, failed = self._told(response)
        elif response.status_code in (400, 413, 415, 422):
            # A bad neighbour must not hold up the others: alone, the status is about this image.
            if len(images) > 1:
                for results in images:
                    yield from self.send([results])
                return
            stored, failed = set(), {}
        else:
            raise UnavailableError(f"it answers {response.status_code}")
        for results in images:
            uids = [_uid_of(data) for data in results]
            missing = [uid for uid in uids if uid not in stored and failed.get(uid) != DUPLICATE]
            unsupported = response.status_code == requests.codes.unsupported_media_type
            if unsupported or any(failed.get(uid) == SYNTAX_NOT_SUPPORTED for uid in missing):
                plain = [_uncompressed(data) for data in results]
                if plain != list(results):
                    yield from self.send([plain])
                    continue
            reasons = [f"failure reason {failed[uid]:04X}" for uid in missing if uid in failed]
            yield (reasons or [f"it answers {response.status_code} and names no reason"])[0] if missing else ""

    @staticmethod
    def _told(response: requests.Response) -> tuple[set[str], dict[str, int]]:
        """What an answer says was stored, and why the rest was not."""
        try:
            document = json.loads(response.content)
            document = document[0] if isinstance(document, list) else document
            stored = {str(item[_UID]["Value"][0]) for item in document.get(_STORED, {}).get("Value", [])}
            failed = {
                str(item[_UID]["Value"][0]): int(item.get(_REASON, {}).get("Value", [0])[0])
                for item in document.get(_FAILED, {}).get("Value", [])
            }
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise UnavailableError("what answers is no DICOMweb server") from None
        return stored, failed


def _uncompressed(data: bytes) -> bytes:
    """A result without compression; the very bytes where it has none."""
    result = dcmread(io.BytesIO(data))
    if not result.file_meta.TransferSyntaxUID.is_compressed:
        return data
    result.decompress(generate_instance_uid=False)
    return encoded(result)


def _uid_of(data: bytes) -> str:
    """A result's SOP Instance UID; no more of its file is read."""
    return str(read_partial(io.BytesIO(data), lambda tag, kind, length: True).file_meta.MediaStorageSOPInstanceUID)


def web_session(token: str, verify: bool | str, certificate: tuple[str, str] | None) -> requests.Session:
    """A session for a DICOMweb server; no proxy or password of the environment is used.

    Args:
        token: value of the header ``Authorization``; empty: none.
        verify: as :mod:`requests` takes it.
        certificate: files of the client's certificate and its key; None: none.
    """
    session = requests.Session()
    session.trust_env = False
    session.verify = verify
    session.cert = certificate
    if token:
        session.headers["Authorization"] = token
    return session
