"""Real ``python -m bento.pacs run`` processes."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from pydicom import dcmread
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, build_context

from tests.support.server import ROOT, free_port

START_SECONDS = 30
TITLE = "CHESTXRAY"


@dataclass
class GatewayProcess:
    """A gateway with a spool of its own; may be killed and started again."""

    folder: Path
    flags: dict[str, str]
    dicom_port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def spool(self) -> Path:
        """Its folder of the ledger."""
        return self.folder / "spool"

    @property
    def log(self) -> Path:
        """What it writes to the terminal, of all its lives."""
        return self.folder / "gateway.log"

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        flags = {
            "spool": str(self.spool),
            "dicom-port": str(self.dicom_port),
            "metrics-port": str(self.metrics_port),
            **self.flags,
        }
        command = [sys.executable, "-m", "bento.pacs", "run"]
        command += [part for name, value in flags.items() for part in (f"--{name}", value) if part]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + START_SECONDS
        while wait and time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if self.get("/readyz").is_success:
                    return
            time.sleep(0.05)
        assert not wait, self.log.read_text()

    def get(self, path: str) -> httpx.Response:
        """An answer of its probes."""
        return httpx.get(f"http://127.0.0.1:{self.metrics_port}{path}", trust_env=False)

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it with a signal; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(40)

    def command(self, *arguments: str) -> str:
        """What ``status``, ``retry`` or ``forget`` prints."""
        command = [sys.executable, "-m", "bento.pacs", arguments[0], "--spool", str(self.spool), *arguments[1:]]
        done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True)
        return done.stdout


@contextlib.contextmanager
def running_gateway(folder: Path, **flags: str) -> Iterator[GatewayProcess]:
    """A gateway that is ended afterwards; flags with ``_`` for ``-``, an empty value for a switch."""
    gateway = GatewayProcess(folder, {name.replace("_", "-"): value for name, value in flags.items()})
    gateway.start()
    try:
        yield gateway
    finally:
        if gateway.process is not None and gateway.process.poll() is None:
            gateway.end(signal.SIGKILL)


def store(gateway: GatewayProcess, *films: bytes) -> list[int | None]:
    """Send films by C-STORE, as ``MODALITY``; the status of each, None where there was no answer."""
    entity = AE("MODALITY")
    entity.requested_contexts = [build_context(ComputedRadiographyImageStorage, ExplicitVRLittleEndian)]
    association = entity.associate("127.0.0.1", gateway.dicom_port, ae_title=TITLE)
    assert association.is_established
    try:
        return [association.send_c_store(dcmread(io.BytesIO(one))).get("Status") for one in films]
    finally:
        association.release()
