"""Put the parts together by the settings."""

import threading
from datetime import datetime

import requests
from pydicom import Dataset
from pydicom.uid import ComputedRadiographyImageStorage

from bento.pacs import log
from bento.pacs.deliver import Sender, StoreSender, StowSender, web_session
from bento.pacs.intake import Intake
from bento.pacs.judge import Judge, LocalJudge, Model, ServiceJudge
from bento.pacs.ledger import Ledger
from bento.pacs.metrics import REGISTRY, LedgerCollector, Probes
from bento.pacs.node import Node
from bento.pacs.report import refusal_groups
from bento.pacs.report_file import report_file
from bento.pacs.settings import DICOM_SCHEMES, Destination, PacsSettings, read_secret, read_tokens
from bento.pacs.source import NEEDED
from bento.pacs.spool import GB, Spool
from bento.pacs.tls import client_context, server_context
from bento.pacs.uids import derived_uid
from bento.pacs.watch import Watcher
from bento.pacs.work import Options, Work


class Gateway:
    """The whole process.

    Args:
        settings: all of it.

    Raises:
        ValueError, OSError: a setting can't be followed; one line.
    """

    def __init__(self, settings: PacsSettings) -> None:
        if not settings.destinations:
            raise ValueError("--to: name where results are sent")
        if not (settings.peers or settings.watch):
            raise ValueError("--peers or --watch: name who may send images, or which server is asked for them")
        self._settings = settings
        self._verify: bool | str = True if settings.ca_file is None else str(settings.ca_file)
        self._tokens = read_tokens(settings.token_file)
        judge = self._judge()
        _warm_up()
        senders = {one.url: self._sender(one) for one in settings.destinations}
        context = server_context(settings)
        spool = Spool(settings.spool, settings.spool_gb * GB)
        spool.hold()
        self._ledger, self._spool = Ledger(settings.spool), spool
        known = {str(row[0]) for row in self._ledger.rows("SELECT id FROM images WHERE bytes > 0")}
        spool.sweep(known)
        spool.set_used(self._ledger.used())
        options = Options(settings.capture, settings.refusals, settings.keep_days)
        self._work = Work(self._ledger, spool, judge, senders, options)
        intake = Intake(self._ledger, spool, self._work.model, self._work.wake)
        self._watcher = self._watch(intake) if settings.watch else None
        self._node = Node(settings, intake, context) if settings.peers else None
        self._collector = LedgerCollector(self._ledger)
        REGISTRY.register(self._collector)
        self._probes = Probes(settings.host, settings.metrics_port, self.why_not_ready)
        self._serving = threading.Thread(target=self._serve, name="node", daemon=True)

    def start(self) -> None:
        """Begin."""
        settings = self._settings
        self._work.start(settings.workers, self._watcher, settings.watch_seconds)
        self._serving.start()
        log.event("started", address=f"{settings.host}:{settings.dicom_port}" if self._node else "")

    def stop(self) -> None:
        """End: nothing new is taken in, what is being done is finished, the rest waits in the spool."""
        if self._node is not None:
            self._node.close()
        self._work.stop()
        self._probes.close()
        REGISTRY.unregister(self._collector)
        self._ledger.close()
        log.event("stopped")

    def is_alive(self) -> bool:
        """Whether every part runs."""
        return self._work.is_alive() and (self._node is None or self._serving.is_alive())

    def why_not_ready(self) -> str:
        """Why nothing can be taken in; empty where it can. What can't be judged or sent yet is no reason: it waits."""
        if not self.is_alive():
            return "a part of the gateway has ended"
        return "" if self._spool.has_room() else "the spool is full"

    def _serve(self) -> None:
        if self._node is not None:
            self._node.serve()

    def _judge(self) -> Judge:
        settings = self._settings
        if settings.model:
            return LocalJudge(settings.model)
        key = read_secret(settings.service_key_file) if settings.service_key_file else ""
        return ServiceJudge(settings.service, key, self._verify)

    def _sender(self, to: Destination) -> Sender:
        if to.scheme in DICOM_SCHEMES:
            context = client_context(self._settings) if to.scheme == "dicoms" else None
            return StoreSender(to, self._settings.ae_title, context)
        return StowSender(to, self._session(to.url))

    def _session(self, url: str) -> requests.Session:
        settings = self._settings
        certificate = None
        if settings.cert_file is not None and settings.cert_key_file is not None:
            certificate = (str(settings.cert_file), str(settings.cert_key_file))
        return web_session(self._tokens.get(url.rstrip("/"), ""), self._verify, certificate)

    def _watch(self, intake: Intake) -> Watcher:
        settings = self._settings
        largest = settings.max_file_mb * 1_000_000
        session = self._session(settings.watch)
        return Watcher(settings.watch, session, self._ledger, intake, days=settings.watch_days, largest=largest)


def _warm_up() -> None:
    """Have highdicom read its tables of the standard, which takes a second, before the first film waits for it."""
    source = Dataset()
    for keyword in NEEDED:
        setattr(source, keyword, derived_uid(keyword))
    source.SOPClassUID = ComputedRadiographyImageStorage
    report_file(source, Model("none", "none", "none"), refusal_groups("none", "none"), datetime.now())
