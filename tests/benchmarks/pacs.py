"""The gateway put through it, with a real Orthanc: ``python -m tests.benchmarks.pacs CHECK [--images N]``.

``kill``: the gateway and the archive end by SIGKILL at random moments. ``trouble``: the archive is down for a minute,
the spool is full, the service answers 503, the key is wrong. ``rate``: images a second, beside the service's own.
"""

import argparse
import random
import signal
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
from pydicom import uid

from bento.keys import hash_key
from tests.support.films import film
from tests.support.gateway import TITLE, GatewayProcess
from tests.support.orthanc import Orthanc, storescu
from tests.support.server import ROOT, free_port, running_service

FORWARD = ROOT / "bento/packaging/pacs/forward.lua"
CHUNK = 10
"""Films of one association."""
PATIENCE = 900.0
"""Seconds until a check gives up."""


def write_films(folder: Path, count: int, side: int, syntax: uid.UID = uid.ExplicitVRLittleEndian) -> list[Path]:
    """Films of different studies."""
    files = [folder / f"{number}.dcm" for number in range(count)]
    for number, file in enumerate(files):
        file.write_bytes(film(number, syntax, side=side))
    return files


def chunks(files: Sequence[Path]) -> list[Sequence[Path]]:
    """The films of each association."""
    return [files[start : start + CHUNK] for start in range(0, len(files), CHUNK)]


def send_until_taken(port: int, title: str, files: Sequence[Path]) -> None:
    """Send films, and send them again until the archive or gateway has taken each."""
    for chunk in chunks(files):
        while storescu(port, title, chunk):
            time.sleep(0.5)


def tally(orthanc: Orthanc, films: int) -> str:
    """How many films, reports and captures an archive has, and in how many studies."""
    counts = {modality: len(orthanc.instances(modality)) for modality in ("CR", "SR", "OT")}
    studies = {orthanc.get(f"/instances/{one}/study")["ID"] for one in orthanc.instances("SR")}
    return f"{films} films sent; in the archive {counts}; reports in {len(studies)} studies"


def kill(folder: Path, service: str, count: int) -> None:
    """Films go to the archive, which forwards them; gateway and archive are killed at random moments."""
    port, chance = free_port(), random.Random(1)
    modalities = {"chestxray": [TITLE, "127.0.0.1", port]}
    orthanc = Orthanc(folder / "archive", settings={"LuaScripts": [str(FORWARD)], "DicomModalities": modalities})
    orthanc.start()
    flags = {"service": service, "peers": "ORTHANC@127.0.0.1", "watch": orthanc.web, "to": orthanc.web}
    gateway = GatewayProcess(folder / "gateway", flags, dicom_port=port)
    gateway.start()
    files = write_films(folder, count, 96)
    sender = threading.Thread(target=send_until_taken, args=(orthanc.dicom_port, "ORTHANC", files))
    sender.start()
    kills, begin = 0, time.monotonic()
    while len(orthanc.instances("SR")) < count and time.monotonic() - begin < PATIENCE:
        time.sleep(chance.uniform(2, 10))
        if time.monotonic() - begin > PATIENCE / 3:
            continue
        kills += 1
        if chance.random() < 0.3:
            orthanc.end(signal.SIGKILL)
            orthanc.start()
        else:
            gateway.end(signal.SIGKILL)
            gateway.start()
    sender.join()
    orthanc.wait_for("OT", count, 60)
    print(f"kill: {kills} kills in {time.monotonic() - begin:.0f} s; {tally(orthanc, count)}", flush=True)
    gateway.end()
    orthanc.end()


def trouble(folder: Path, model: str, count: int) -> None:
    """A full spool, a busy service that answers 503, a wrong key, then an archive that is down for a minute."""
    orthanc = Orthanc(folder / "archive")
    orthanc.start()
    key = folder / "key"
    key.write_text("wrong")
    environment = {"CHEST_XRAY_MODEL": model, "CHEST_XRAY_MAX_CONCURRENCY": "1",
                   "CHEST_XRAY_API_KEY_HASHES": hash_key("right")}  # fmt: skip
    with running_service(folder / "service.log", **environment) as service:
        flags = {
            "service": service, "peers": "MODALITY@127.0.0.1", "to": orthanc.web, "service-key-file": str(key),
            "spool-gb": "0.006", "workers": "8",
        }  # fmt: skip
        gateway = GatewayProcess(folder / "gateway", flags)
        gateway.start()
        files = write_films(folder, count, 192)
        sender = threading.Thread(target=send_until_taken, args=(gateway.dicom_port, TITLE, files))
        begin = time.monotonic()
        sender.start()
        time.sleep(15)
        print(
            "trouble, wrong key and full spool:\n" + gateway.command("status"), gateway.get("/readyz").text, flush=True
        )
        gateway.end()
        key.write_text("right")
        orthanc.end()
        gateway.start(wait=False)
        time.sleep(60)
        print("trouble, archive down for a minute:\n" + gateway.command("status"), flush=True)
        orthanc.start()
        while len(orthanc.instances("SR")) < count and time.monotonic() - begin < PATIENCE:
            time.sleep(1)
        sender.join()
        orthanc.wait_for("OT", count, 60)
        busy = gateway.log.read_text().count("the service answers 503")
        seconds = time.monotonic() - begin
        print(f"trouble: over after {seconds:.0f} s, the service answered 503 {busy} times; {tally(orthanc, count)}")
        gateway.end()
    orthanc.end()


def rate(folder: Path, service: str, count: int, side: int) -> None:
    """Images a second through the gateway, and of the service alone for the same requests; memory on the way."""
    files = write_films(folder, count, side, uid.JPEGLosslessSV1)
    contents = [file.read_bytes() for file in files]
    with httpx.Client(timeout=60, trust_env=False) as client, ThreadPoolExecutor(4) as pool:
        begin = time.monotonic()
        answers = list(
            pool.map(lambda data: client.post(f"{service}/predict?explain=true", files={"file": data}), contents)
        )
        alone = count / (time.monotonic() - begin)
        assert all(answer.is_success for answer in answers), {answer.status_code for answer in answers}
    orthanc = Orthanc(folder / "archive")
    orthanc.start()
    flags = {"service": service, "peers": "MODALITY@127.0.0.1", "to": orthanc.web}
    gateway = GatewayProcess(folder / "gateway", flags)
    gateway.start()
    assert gateway.process is not None
    process = psutil.Process(gateway.process.pid)
    begin, memory, mark = time.monotonic(), [], 0
    sender = threading.Thread(target=send_until_taken, args=(gateway.dicom_port, TITLE, files))
    sender.start()
    while (done := len(orthanc.instances("OT"))) < count and time.monotonic() - begin < PATIENCE:
        if done >= mark:
            memory.append(f"{done}: {process.memory_info().rss / 1e6:.0f}")
            mark += max(1, count // 8)
        time.sleep(0.2)
    sender.join()
    through, spent = count / (time.monotonic() - begin), process.cpu_times()
    cost = 1000 * (spent.user + spent.system) / count
    print(f"rate: {through:.1f} images a second, the service alone {alone:.1f}: {through / alone:.0%}")
    print(f"{cost:.0f} ms of CPU an image in the gateway; MB after images: {', '.join(memory)}")
    print(tally(orthanc, count), flush=True)
    gateway.end()
    orthanc.end()


def main() -> None:
    """Run the checks that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checks", nargs="+", choices=("kill", "trouble", "rate"))
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--side", type=int, default=2000, help="of the films of `rate`, in pixels")
    parser.add_argument("--model", default="chest_xray:latest", help="in the BentoML model store")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pacs-") as name:
        folder = Path(name)
        model = wanted.model
        with running_service(folder / "service.log", CHEST_XRAY_MODEL=model) as service:
            for check in wanted.checks:
                (folder / check).mkdir()
                if check == "kill":
                    kill(folder / check, service, wanted.images)
                elif check == "rate":
                    rate(folder / check, service, wanted.images, wanted.side)
        if "trouble" in wanted.checks:
            trouble(folder / "trouble", model, wanted.images)


if __name__ == "__main__":
    main()
