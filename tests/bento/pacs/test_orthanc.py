"""With a real Orthanc: films go in, reports and captures come back, whatever ends in between."""

import io
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pydicom
import pytest

from tests.bento.pacs.test_results import groups, numbers
from tests.support.dicoms import SECRET
from tests.support.films import PATIENT_NUMBER, film
from tests.support.gateway import TITLE, GatewayProcess
from tests.support.orthanc import Orthanc, dicom_errors, need_orthanc, storescu
from tests.support.server import ROOT, free_port

FORWARD = ROOT / "bento/packaging/pacs/forward.lua"
"""What the documentation tells the hospital to give to Orthanc."""
SECONDS = 30
"""For what takes two on a quiet machine."""


@dataclass
class Hospital:
    """An archive that forwards films, and the gateway that it forwards them to and that watches it, too."""

    orthanc: Orthanc
    gateway: GatewayProcess
    folder: Path

    def send(self, *numbers: int) -> None:
        """Send films to the archive, as a modality does."""
        files = []
        for number in numbers:
            files.append(self.folder / f"{number}.dcm")
            files[-1].write_bytes(film(number))
        assert storescu(self.orthanc.dicom_port, "ORTHANC", files) == 0

    def studies(self) -> dict[str, list[str]]:
        """The modalities of each study's instances."""
        studies = {}
        for study in self.orthanc.get("/studies?expand"):
            instances = self.orthanc.get(f"/studies/{study['ID']}/instances?short")
            modalities = [self.orthanc.get(f"/instances/{one['ID']}/simplified-tags")["Modality"] for one in instances]
            studies[study["MainDicomTags"]["StudyInstanceUID"]] = sorted(modalities)
        return studies


@pytest.fixture(scope="module")
def hospital(service_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """With results sent by STOW-RS and, a second time, by C-STORE."""
    need_orthanc()
    folder, port = tmp_path_factory.mktemp("hospital"), free_port()
    modalities = {"chestxray": [TITLE, "127.0.0.1", port]}
    orthanc = Orthanc(folder / "orthanc", settings={"LuaScripts": [str(FORWARD)], "DicomModalities": modalities})
    flags = {
        "service": service_url, "peers": "ORTHANC@127.0.0.1", "watch": orthanc.web, "watch-seconds": "0.5",
        "to": f"{orthanc.web},{orthanc.node}",
    }  # fmt: skip
    gateway = GatewayProcess(folder / "gateway", flags, dicom_port=port)
    orthanc.start()
    try:
        gateway.start()
        yield Hospital(orthanc, gateway, folder)
        gateway.end(signal.SIGKILL)
    finally:
        orthanc.end()


def test_a_film_s_study_gets_one_report_and_one_capture(hospital: Hospital, service_url: str) -> None:
    hospital.send(1)
    (report,) = hospital.orthanc.wait_for("SR", 1, SECONDS)
    (capture,) = hospital.orthanc.wait_for("OT", 1, SECONDS)
    for number, instance in enumerate((report, capture)):
        file = hospital.folder / f"result{number}.dcm"
        file.write_bytes(hospital.orthanc.file(instance))
        assert dicom_errors(file) == []
    answer = httpx.post(f"{service_url}/predict", files={"file": film(1)}, timeout=30).json()
    found = groups(pydicom.dcmread(io.BytesIO(hospital.orthanc.file(report))))
    told = {name: numbers(found[name])["Probability"] for name in ("Pneumonia", "Tuberculosis", "Normal")}
    asked = {one["label"].capitalize(): one["confidence"] for one in answer["predictions"]}
    assert told == pytest.approx(asked, abs=1e-9)
    # Forwarded by the archive and found by the watcher: still one of each, twice sent.
    time.sleep(1.5)
    assert list(hospital.studies().values()) == [["CR", "OT", "SR"]]
    assert "1  done" in hospital.gateway.command("status")


def test_what_is_killed_goes_on_where_it_was(hospital: Hospital) -> None:
    chance, count = random.Random(5), 12
    before = len(hospital.orthanc.instances("SR"))
    for first in range(100, 100 + count, 4):
        hospital.send(*range(first, first + 4))
        time.sleep(chance.uniform(0, 0.5))
        hospital.gateway.end(signal.SIGKILL)
        if first == 104:
            hospital.orthanc.end()
            hospital.orthanc.start()
        hospital.gateway.start()
    hospital.orthanc.wait_for("SR", before + count, 2 * SECONDS)
    hospital.orthanc.wait_for("OT", before + count, SECONDS)
    studies = hospital.studies()
    assert len(studies) == before + count
    assert set(map(tuple, studies.values())) == {("CR", "OT", "SR")}


def test_nothing_of_a_patient_is_in_the_log_the_metrics_or_the_status(hospital: Hospital) -> None:
    hospital.gateway.command("retry")
    texts = [
        hospital.gateway.log.read_text(),
        hospital.gateway.get("/metrics").text,
        hospital.gateway.command("status"),
    ]
    for text in texts:
        assert len(text) > 50
        for planted in (SECRET, SECRET.lower(), SECRET.upper(), PATIENT_NUMBER, "19600102"):
            assert planted not in text
    assert 'chest_xray_pacs_images{state="done"}' in texts[1]


def test_files_are_gone_once_they_are_delivered_and_a_clean_end_is_quick(hospital: Hospital) -> None:
    end = time.monotonic() + SECONDS
    spool = hospital.gateway.spool
    while [*(spool / "images").iterdir(), *(spool / "results").iterdir()] and time.monotonic() < end:
        time.sleep(0.1)
    assert [*(spool / "images").iterdir(), *(spool / "results").iterdir()] == []
    assert hospital.gateway.end() == 0
    hospital.gateway.start()
