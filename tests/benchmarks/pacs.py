"""The gateway put through it, with a real Orthanc: ``python -m tests.benchmarks.pacs CHECK [--images N]``.

``kill``: the gateway and the archive end by SIGKILL at random moments. ``trouble``: the archive is down for a minute,
the spool is full, the service answers 503, the key is wrong. ``rate``: films a second, beside the service's own.
``memory``: of the gateway, over many films. ``latency``: until a film's results are in its study.
"""

import argparse
import random
import signal
import statistics
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
from tests.support.gateway import TITLE, GatewayProcess, running_gateway
from tests.support.orthanc import Orthanc, running_orthanc, storescu
from tests.support.server import ROOT, free_port, running_service, service_process

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


def spent(process: psutil.Process) -> float:
    """Seconds of CPU of a process and of those that it has started."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


def wait_for(orthanc: Orthanc, instances: int, gateway: psutil.Process, marks: int = 0) -> list[str]:
    """Wait until an archive holds so many instances; the gateway's memory at so many points on the way, in MB."""
    begin, memory = time.monotonic(), list[str]()
    while (done := int(orthanc.get("/statistics")["CountInstances"])) < instances:
        if marks and done >= len(memory) * instances / marks:
            memory.append(f"{done // 2}: {gateway.memory_info().rss / 1e6:.0f}")
        assert time.monotonic() - begin < PATIENCE, f"{done} of {instances} instances"
        time.sleep(0.1)
    memory.append(f"{instances // 2}: {gateway.memory_info().rss / 1e6:.0f}")
    return memory


def ask_all(service: str, contents: Sequence[bytes]) -> None:
    """Have the service judge films as the gateway does: four at a time, with heat maps."""
    session = httpx.Client(timeout=60, trust_env=False)
    with session as client, ThreadPoolExecutor(4) as pool:
        url = f"{service}/predict?explain=true"
        answers = pool.map(lambda data: client.post(url, files={"file": data}), contents)
        assert {answer.status_code for answer in answers} == {200}


def rate(folder: Path, service: str, pid: int, files: Sequence[Path], rounds: int) -> None:
    """Films a second through gateway, service and archive, beside the service's own for the same films.

    Both in turns, several times: others may have the cores busy.
    """
    contents, server = [file.read_bytes() for file in files], psutil.Process(pid)
    orthanc = Orthanc(folder / "archive")
    orthanc.start()
    flags = {"service": service, "peers": "MODALITY@127.0.0.1", "to": orthanc.web}
    gateway = GatewayProcess(folder / "gateway", flags)
    gateway.start()
    assert gateway.process is not None
    assert orthanc.process is not None
    processes = {"service": server, "gateway": psutil.Process(gateway.process.pid)}
    processes["Orthanc"] = psutil.Process(orthanc.process.pid)
    alone, through, costs = list[float](), list[float](), list[float]()
    used = dict.fromkeys(processes, 0.0)
    ask_all(service, contents[:4])
    for number in range(rounds):
        chosen = range(number * len(files) // rounds, (number + 1) * len(files) // rounds)
        before, begin = spent(server), time.monotonic()
        ask_all(service, [contents[one] for one in chosen])
        alone.append(len(chosen) / (time.monotonic() - begin))
        costs.append(1000 * (spent(server) - before) / len(chosen))
        marks, begin = {name: spent(one) for name, one in processes.items()}, time.monotonic()
        send_until_taken(gateway.dicom_port, TITLE, [files[one] for one in chosen])
        wait_for(orthanc, 2 * chosen.stop, processes["gateway"])
        through.append(len(chosen) / (time.monotonic() - begin))
        for name, one in processes.items():
            used[name] += 1000 * (spent(one) - marks[name]) / len(files)
    ratio = statistics.median(there / one for there, one in zip(through, alone, strict=True))
    print(f"rate: {statistics.median(through):.1f} films a second, the service alone {statistics.median(alone):.1f};")
    print(f"median of {rounds} ratios {ratio:.0%}; ms of CPU a film: the service alone {statistics.median(costs):.0f}")
    print("; through the gateway " + ", ".join(f"{name} {cost:.0f}" for name, cost in used.items()))
    own = used["gateway"] / statistics.median(costs)
    print(f"the gateway's CPU is {own:.0%} of the service's own; {tally(orthanc, len(files))}", flush=True)
    gateway.end()
    orthanc.end()


def memory(folder: Path, service: str, files: Sequence[Path]) -> None:
    """The gateway's memory on the way through many films."""
    with running_orthanc(folder / "archive") as orthanc:
        flags = {"service": service, "peers": "MODALITY@127.0.0.1", "to": orthanc.web}
        with running_gateway(folder / "gateway", **flags) as gateway:
            assert gateway.process is not None
            sender = threading.Thread(target=send_until_taken, args=(gateway.dicom_port, TITLE, files))
            sender.start()
            marks = wait_for(orthanc, 2 * len(files), psutil.Process(gateway.process.pid), 10)
            sender.join()
            print(f"memory: MB after films: {', '.join(marks)}; {tally(orthanc, len(files))}", flush=True)


def latency(folder: Path, service: str, files: Sequence[Path]) -> None:
    """Seconds from the end of storescu until report and capture are in the archive, films one after another."""
    port = free_port()
    modalities = {"chestxray": [TITLE, "127.0.0.1", port]}
    with running_orthanc(folder / "archive", LuaScripts=[str(FORWARD)], DicomModalities=modalities) as orthanc:
        gateway = GatewayProcess(
            folder / "gateway", {"service": service, "peers": "ORTHANC@127.0.0.1", "to": orthanc.web}, dicom_port=port
        )
        gateway.start()
        assert gateway.process is not None
        taken = []
        for number, file in enumerate(files, start=1):
            begin = time.monotonic()
            send_until_taken(orthanc.dicom_port, "ORTHANC", [file])
            wait_for(orthanc, 3 * number, psutil.Process(gateway.process.pid))
            taken.append(time.monotonic() - begin)
        median, most = statistics.median(taken), max(taken)
        print(
            f"latency: {len(files)} films: median {median:.2f} s, most {most:.2f} s, first {taken[0]:.2f} s", flush=True
        )
        gateway.end()


def main() -> None:
    """Run the checks that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checks", nargs="+", choices=("kill", "trouble", "rate", "memory", "latency"))
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--side", type=int, default=2000, help="of the films of `rate`, `memory` and `latency`")
    parser.add_argument("--rounds", type=int, default=5, help="of `rate`")
    parser.add_argument("--model", default="chest_xray:latest", help="in the BentoML model store")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pacs-") as name:
        folder = Path(name)
        model = wanted.model
        with service_process(folder / "service.log", CHEST_XRAY_MODEL=model) as (service, process):
            for check in wanted.checks:
                (folder / check).mkdir()
                if check == "kill":
                    kill(folder / check, service, wanted.images)
                elif check != "trouble":
                    files = write_films(folder / check, wanted.images, wanted.side, uid.JPEGLosslessSV1)
                    if check == "rate":
                        rate(folder / check, service, process.pid, files, wanted.rounds)
                    else:
                        {"memory": memory, "latency": latency}[check](folder / check, service, files)
        if "trouble" in wanted.checks:
            trouble(folder / "trouble", model, wanted.images)


if __name__ == "__main__":
    main()
