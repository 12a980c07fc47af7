"""A real Orthanc with its DICOMweb plugin, and the tools that go with it."""

import contextlib
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.server import free_port

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
TOOLS = ("Orthanc", "storescu", "dciodvfy")
START_SECONDS = 30
_CLIENT = httpx.Client(trust_env=False, timeout=60, limits=httpx.Limits(max_keepalive_connections=0))
"""For all of them: to make one for each request would cost as much as the gateway does for half a film. Each request
has a connection of its own: Orthanc closes one that is idle for a second, just when the next request may come."""


def need_orthanc() -> None:
    """Skip the test where Orthanc, its plugin, dcmtk or dicom3tools is missing."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None] + ([] if PLUGIN.is_file() else [PLUGIN.name])
    if missing:
        pytest.skip(f"no {', '.join(missing)}; `make test` as root on Debian installs them")


@dataclass
class Orthanc:
    """An Orthanc of its own folder; may be killed and started again."""

    folder: Path
    title: str = "ORTHANC"
    settings: dict[str, Any] = field(default_factory=dict)
    http_port: int = field(default_factory=free_port)
    dicom_port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Of its REST interface and its explorer."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def web(self) -> str:
        """Of its DICOMweb server."""
        return f"{self.url}/dicom-web"

    @property
    def node(self) -> str:
        """Of its DICOM node, as a destination."""
        return f"dicom://{self.title}@127.0.0.1:{self.dicom_port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = {
            "Name": self.title,
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "HttpPort": self.http_port,
            "DicomAet": self.title,
            "DicomPort": self.dicom_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowStore": True,
            "StableAge": 1,
            "ConcurrentJobs": 4,
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        file = self.folder / "orthanc.json"
        file.write_text(json.dumps(configuration | self.settings))
        with (self.folder / "orthanc.log").open("ab") as log:
            self.process = subprocess.Popen(["Orthanc", str(file)], stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if _CLIENT.get(f"{self.url}/system").is_success:
                    return
            time.sleep(0.05)
        raise AssertionError((self.folder / "orthanc.log").read_text())

    def end(self, number: int = signal.SIGKILL) -> None:
        """End it with a signal."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(30)
            self.process = None

    def get(self, path: str) -> Any:
        """The JSON answer of its REST interface."""
        answer = _CLIENT.get(self.url + path)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, content: bytes) -> Any:
        """The same for a POST."""
        answer = _CLIENT.post(self.url + path, content=content)
        answer.raise_for_status()
        return answer.json()

    def instances(self, modality: str) -> list[str]:
        """Orthanc's ids of all instances of a modality."""
        query = json.dumps({"Level": "Instance", "Query": {"Modality": modality}}).encode()
        found: list[str] = self.post("/tools/find", query)
        return found

    def file(self, instance: str) -> bytes:
        """An instance's DICOM file."""
        answer = _CLIENT.get(f"{self.url}/instances/{instance}/file")
        answer.raise_for_status()
        return answer.content

    def wait_for(self, modality: str, count: int, seconds: float) -> list[str]:
        """Its instances of a modality, as soon as there are so many, or after so many seconds."""
        end = time.monotonic() + seconds
        while len(found := self.instances(modality)) < count and time.monotonic() < end:
            time.sleep(0.05)
        return found


@contextlib.contextmanager
def running_orthanc(folder: Path, title: str = "ORTHANC", **settings: Any) -> Iterator[Orthanc]:
    """An Orthanc that is ended afterwards."""
    orthanc = Orthanc(folder, title, settings)
    orthanc.start()
    try:
        yield orthanc
    finally:
        orthanc.end()


def storescu(port: int, title: str, files: Sequence[Path], calling: str = "MODALITY") -> int:
    """Send files as a modality does; the exit code of dcmtk's program."""
    command = ["storescu", "-R", "-aet", calling, "-aec", title, "-xf"]
    command = ["storescu", "-aet", calling, "-aec", title, "-R", "-xs", "127.0.0.1", str(port)]
    return subprocess.run([*command, *map(str, files)], capture_output=True, check=False).returncode


def dicom_errors(file: Path) -> list[str]:
    """What dciodvfy finds to be wrong in a file; its warnings are left out."""
    done = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, errors="replace", check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
