"""The DICOM node: C-ECHO and C-STORE for peers on the list, within limits of size, number and time."""

import contextlib
import logging
import ssl
import time
from typing import Any

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.transport import AssociationSocket, ThreadedAssociationServer

from bento.imaging.dicom.codecs import SUPPORTED
from bento.pacs import log
from bento.pacs.intake import Intake, Outcome
from bento.pacs.metrics import REFUSED
from bento.pacs.settings import PacsSettings

SUCCESS, OUT_OF_RESOURCES, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xC000
"""Status of a C-STORE (PS3.4 B.2.3). A peer may send again what ran out of resources."""
REJECTED_BY_USER, CALLING_TITLE = (0x01, 0x01), 0x03
PDU_BYTES = 131_072
"""Largest PDU that is asked for; most programs send no larger ones."""
LARGEST_PDU = 1_048_576
HANDSHAKE_SECONDS = 10.0
"""A peer's time for TLS and for its first message."""


class LimitedSocket(AssociationSocket):
    """A connection that ends where a message is too large or takes too long.

    Args:
        plain: pynetdicom's own socket, which this one takes the place of.
        message_bytes: most of one message.
        message_seconds: most from its first byte to its last.
    """

    def __init__(self, plain: AssociationSocket, message_bytes: float, message_seconds: float) -> None:
        self.__dict__.update(plain.__dict__)
        self._message_bytes, self._message_seconds = message_bytes, message_seconds
        self.next_message()

    def next_message(self) -> None:
        """Begin to count anew."""
        self._received, self._begin = 0, 0.0

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes, or fewer where the connection ends.

        Raises:
            OSError: beyond a limit.
        """
        self._begin = self._begin or time.monotonic()
        self._received += nr_bytes
        if nr_bytes > LARGEST_PDU or self._received > self._message_bytes:
            raise OSError("the message is too large")
        data = bytearray()
        while len(data) < nr_bytes:
            left = self._begin + self._message_seconds - time.monotonic()
            if left <= 0 or self.socket is None:
                raise TimeoutError("the message takes too long")
            self.socket.settimeout(left)
            part = self.socket.recv(nr_bytes - len(data))
            if not part:
                break
            data += part
        return data


class Node:
    """Listens for peers.

    Args:
        settings: where, and for whom.
        intake: what takes the images.
        context: of TLS; None: without.

    Raises:
        OSError: the port can't be had.
    """

    def __init__(self, settings: PacsSettings, intake: Intake, context: ssl.SSLContext | None) -> None:
        self._settings, self._intake, self._context = settings, intake, context
        self._peers = settings.allowed
        entity = AE(settings.ae_title)
        entity.maximum_associations = settings.max_associations
        entity.maximum_pdu_size = PDU_BYTES
        entity.acse_timeout = HANDSHAKE_SECONDS
        entity.network_timeout = entity.dimse_timeout = settings.message_seconds
        entity.require_called_aet = True
        entity.add_supported_context(Verification)
        for one in AllStoragePresentationContexts:
            entity.add_supported_context(str(one.abstract_syntax), sorted(SUPPORTED))
        self._server = entity.make_server(
            (settings.host, settings.dicom_port),
            evt_handlers=[
                (evt.EVT_CONN_OPEN, self._connected),
                (evt.EVT_REQUESTED, self._requested),
                (evt.EVT_DIMSE_RECV, self._message_ended),
                (evt.EVT_C_ECHO, lambda event: SUCCESS),
                (evt.EVT_C_STORE, self._store),
            ],
            server_class=ThreadedAssociationServer,
        )

    def serve(self) -> None:
        """Answer until :meth:`close` is called."""
        self._server.serve_forever()

    def close(self) -> None:
        """Stop listening, and end what is open."""
        with contextlib.suppress(Exception):
            self._server.shutdown()
        for association in self._server.active_associations:
            association.abort()

    def _connected(self, event: evt.Event) -> None:
        """Put the limits, and TLS, between the peer and pynetdicom; in the connection's own thread."""
        plain: Any = event.assoc.dul.socket
        most = self._settings.max_file_mb * 1_000_000 + LARGEST_PDU
        limited = LimitedSocket(plain, most, self._settings.message_seconds)
        event.assoc.dul.socket = limited
        address = str(event.assoc.requestor.address)
        crowd = len(self._server.active_associations) > 2 * self._settings.max_associations
        try:
            if crowd or not any(peer.is_at(address) for peer in self._peers):
                raise OSError("nobody who is let in")
            if self._context is not None and limited.socket is not None:
                limited.socket.settimeout(HANDSHAKE_SECONDS)
                limited.socket = self._context.wrap_socket(limited.socket, server_side=True)
        except OSError as error:
            self._refuse(address, "too many connections" if crowd else _cause(error))
            limited.close()

    def _requested(self, event: evt.Event) -> None:
        requestor = event.assoc.requestor
        # Private: the calling title is put there after this event.
        title = str(getattr(requestor.primitive, "calling_ae_title", "")).strip()
        address = str(requestor.address)
        if not any(peer.ae_title == title and peer.is_at(address) for peer in self._peers):
            self._refuse(address, "its AE title is not on the list for its address")
            event.assoc.acse.send_reject(*REJECTED_BY_USER, CALLING_TITLE)
            event.assoc.kill()

    @staticmethod
    def _refuse(address: str, reason: str) -> None:
        REFUSED.inc()
        log.event("association refused", level=logging.WARNING, address=address, reason=reason)

    @staticmethod
    def _message_ended(event: evt.Event) -> None:
        socket = event.assoc.dul.socket
        if isinstance(socket, LimitedSocket):
            socket.next_message()

    def _store(self, event: evt.Event) -> int:
        try:
            uid = str(getattr(event.request, "AffectedSOPInstanceUID", ""))
            if self._intake.is_known(uid):
                return SUCCESS
            outcome = self._intake.take(event.encoded_dataset(), uid, str(event.assoc.requestor.ae_title).strip())
        except Exception as error:
            log.event("an image can't be taken in", level=logging.ERROR, reason=log.place_of(error))
            return OUT_OF_RESOURCES
        if outcome is Outcome.FULL:
            return OUT_OF_RESOURCES
        return NOT_UNDERSTOOD if outcome is Outcome.DAMAGED else SUCCESS


def _cause(error: OSError) -> str:
    return "no TLS, or no certificate that is trusted" if isinstance(error, ssl.SSLError | TimeoutError) else str(error)
