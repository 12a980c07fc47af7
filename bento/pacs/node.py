"""The DICOM node: C-ECHO and C-STORE for peers on the list, within limits of size, number and time."""

import contextlib
import logging
import select
import socket
import ssl
import time
from typing import Any

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

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
WAIT_SECONDS = 0.005
"""Longest that an answer waits because the peer might send something."""
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

    @property
    def ready(self) -> bool:
        """Whether there is something to read; waits for it a moment, where pynetdicom would ask again and again."""
        if self.socket is not None and not (isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()):
            with contextlib.suppress(OSError, ValueError):
                select.select([self.socket], [], [], WAIT_SECONDS)
        return super().ready

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes, or fewer where the connection ends.

        Raises:
            OSError: beyond a limit.
        """
        self._begin = self._begin or time.monotonic()
        self._received += nr_bytes
        if nr_bytes > LARGEST_PDU or self._received > self._message_bytes:
            raise OSError("the message is too large")
        data, received = bytearray(nr_bytes), 0
        while received < nr_bytes:
            left = self._begin + self._message_seconds - time.monotonic()
            if left <= 0 or self.socket is None:
                raise TimeoutError("the message takes too long")
            self.socket.settimeout(left)
            part = self.socket.recv_into(memoryview(data)[received:])
            if not part:
                break
            received += part
        del data[received:]
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
        entity.acse_timeout = min(HANDSHAKE_SECONDS, settings.message_seconds)
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
            request_handler=self._handler(),
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

    def _handler(self) -> type[RequestHandler]:
        node = self

        class Door(RequestHandler):
            """Closes a connection that nobody is let in by, before pynetdicom makes anything of it."""

            def handle(self) -> None:
                address = str(self.client_address[0])
                try:
                    self.request = node.let_in(self.request, address)
                except OSError as error:
                    node.refuse(address, _cause(error))
                    self.server.shutdown_request(self.request)
                else:
                    super().handle()

        return Door

    def let_in(self, connection: socket.socket, address: str) -> socket.socket:
        """The connection, by TLS where that is asked for.

        Raises:
            OSError: nobody at this address is let in, nobody more is, or there is no trust.
        """
        if not any(peer.is_at(address) for peer in self._peers):
            raise OSError("its address is not on the list")
        if len(self._server.active_associations) > 2 * self._settings.max_associations:
            raise OSError("too many connections")
        if self._context is None:
            return connection
        connection.settimeout(HANDSHAKE_SECONDS)
        return self._context.wrap_socket(connection, server_side=True)

    def _connected(self, event: evt.Event) -> None:
        """Put the limits between the peer and pynetdicom."""
        # Private: pynetdicom's connection, which the limited one takes the place of.
        plain: Any = event.assoc.dul.socket
        most = self._settings.max_file_mb * 1_000_000 + LARGEST_PDU
        event.assoc.dul.socket = LimitedSocket(plain, most, self._settings.message_seconds)

    def _requested(self, event: evt.Event) -> None:
        requestor = event.assoc.requestor
        # pynetdicom puts the title where it belongs after this event.
        title = str(getattr(requestor.primitive, "calling_ae_title", "")).strip()
        address = str(requestor.address)
        if not any(peer.ae_title == title and peer.is_at(address) for peer in self._peers):
            self.refuse(address, "its AE title is not on the list for its address")
            event.assoc.acse.send_reject(*REJECTED_BY_USER, CALLING_TITLE)
            event.assoc.kill()

    @staticmethod
    def refuse(address: str, reason: str) -> None:
        """Count and log one who was not let in."""
        REFUSED.inc()
        log.event("association refused", level=logging.WARNING, address=address, reason=reason)

    @staticmethod
    def _message_ended(event: evt.Event) -> None:
        connection = event.assoc.dul.socket
        if isinstance(connection, LimitedSocket):
            connection.next_message()

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
