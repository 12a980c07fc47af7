"""``doctor``: what this machine can do, what is there already, and which command comes next, on one screen."""

import importlib.metadata
import os
import platform
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from threading import Thread

import httpx

from bento.artifact import ArtifactError, load_manifest
from bento.cpu import available_cores
from trainer.data import kaggle
from trainer.data.fetch import describe_dataset
from trainer.data.fetch_report import read_fetch_report
from trainer.data.manifest import MANIFEST_FILE, SPLITS, read_manifest, split_protocol
from trainer.errors import UserError
from trainer.files import check_writable, model_store, read_json
from trainer.running.runs import all_runs, saved_settings
from trainer.settings import Settings

LIBRARIES = ("torch", "torchvision", "pytorch-ignite", "onnxruntime", "bentoml", "pillow")
MEMORY_MAX = Path("/sys/fs/cgroup/memory.max")
LEAST_DISK = LEAST_MEMORY = 2_000_000_000
"""Bytes below which even a small training may fail."""
SHOWN = 3
"""Models of the store: the one that is served by default, and the latest ones."""
SECONDS = 3.0
"""How long a host may take to answer."""


class Question:
    """A GET request in the background. Looking up a name may take any time, so nothing waits for its thread.

    It goes through the proxy that the environment names, as a download does.
    """

    def __init__(self, url: str) -> None:
        self._url, self._status = url, 0
        self.failure = "not reachable"
        """What to say where there is no answer."""
        self._thread = Thread(target=self._ask, daemon=True)
        self._until = time.monotonic() + SECONDS
        self._thread.start()

    def _ask(self) -> None:
        try:
            with httpx.stream("GET", self._url, timeout=SECONDS, follow_redirects=True) as response:
                self._status = response.status_code
        except ImportError:
            self.failure = "not asked (for a SOCKS proxy, pip install 'httpx[socks]')"
        except Exception:  # whatever a proxy, a name server or a certificate can be: not reachable
            self._status = 0

    def status(self) -> int:
        """The HTTP status of the answer; 0 where there is none in time."""
        self._thread.join(max(0.0, self._until - time.monotonic()))
        return self._status


@dataclass(frozen=True)
class Finding:
    """One line of the screen."""

    name: str
    text: str
    wrong: bool = False
    """Missing, damaged or too little: something that must be mended."""
    next: str = ""
    """The command that this part would have next, if any."""


def doctor(data_dir: Path, runs_dir: Path) -> int:
    """Print the screen; nothing is changed, and nothing waits longer than :data:`SECONDS`.

    Returns:
        Number of lines that need attention.
    """
    # All hosts are asked at the same time; their answers are looked at last.
    reached = Question(kaggle.endpoint())
    device, sources = _device()
    findings = [_libraries(), device, _disk(data_dir)]
    models, versions = _models()
    data = _guarded("data", lambda: _data(data_dir))
    runs = _guarded("runs", lambda: _runs(runs_dir, versions))
    weights, backbone = _weights(sources)
    findings += [*weights, *_guarded("Kaggle", lambda: _kaggle(reached)), *data, *runs, *models]
    for finding in findings:
        print(f"{'!' if finding.wrong else ' '} {finding.name:9}  {finding.text}")
    wrong = sum(finding.wrong for finding in findings)
    command = next((one.next for one in (*runs, *models, *data) if one.next), "")
    for name, value in (("data_dir", data_dir), ("runs_dir", runs_dir), ("backbone", backbone)):
        if command.startswith("python") and value != Settings.model_fields[name].default:
            command += f" --{name.replace('_', '-')} {value}"
    print(f"\nnext: {'mend what is marked with !, then python -m trainer doctor' if wrong else command}")
    return wrong


def _guarded(name: str, part: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return part()
    except UserError as error:
        return [Finding(name, str(error), wrong=True)]
    except OSError as error:
        return [Finding(name, f"{error.filename or name}: {error.strerror or error}", wrong=True)]


def _libraries() -> Finding:
    found, missing = [f"Python {platform.python_version()}"], []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    text = ", ".join(found)
    if missing:
        text += f"; missing: {', '.join(missing)}: pip install -e '.[train]'"
    return Finding("libraries", text, wrong=bool(missing))


def _device() -> tuple[Finding, dict[str, Question | str]]:
    """The device; and of each backbone where its ImageNet weights are, or the question whether they can be had."""
    memory = memory_limit()
    own = f"{available_cores()} cores, {memory / 1e9:.1f} GB of memory"
    try:
        import torch

        from trainer.models.backbones import BACKBONES
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        return Finding("device", f"{own}; PyTorch can't be loaded: {reason}", wrong=True), {}
    sources: dict[str, Question | str] = {}
    for name, row in BACKBONES.items():
        if row.hub is None:
            sources[name] = "installed"
        else:
            sources[name] = "downloaded" if row.weights_file.exists() else Question(row.hub.url)
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return Finding("device", f"{', '.join(gpus) or 'CPU, no GPU'}; {own}", wrong=memory < LEAST_MEMORY), sources


def _weights(sources: dict[str, Question | str]) -> tuple[list[Finding], str]:
    """The line, and the backbone to train: the default one if its weights can be had."""
    default = str(Settings.model_fields["backbone"].default)
    state = {
        name: source
        if isinstance(source, str)
        else "can be downloaded"
        if source.status() == HTTPStatus.OK
        else source.failure
        for name, source in sources.items()
    }
    usable = [name for name, what in state.items() if what in ("installed", "downloaded", "can be downloaded")]
    by_state = {what: [name for name in state if state[name] == what] for what in state.values()}
    text = "; ".join(f"{what}: {', '.join(names)}" for what, names in by_state.items())
    lines = [Finding("weights", text, wrong=not usable)] if state else []
    return lines, default if default in usable or not usable else usable[0]


def memory_limit(memory_max: Path = MEMORY_MAX) -> int:
    """Bytes that this process may have: the machine's memory, cut by the container's limit (cgroup v2)."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(memory, int(memory_max.read_text()))
    except (OSError, ValueError):  # no cgroup, or `max`
        return memory


def _disk(data_dir: Path) -> Finding:
    free, closed = {}, []
    for name, folder in (("data", data_dir), ("models", model_store())):
        there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
        free[name] = shutil.disk_usage(there).free
        try:
            check_writable(folder)
        except OSError as error:
            closed.append(f"; {error.filename} can't be written to ({error.strerror})")
    text = ", ".join(f"{size / 1e9:.1f} GB free for {name}" for name, size in free.items())
    return Finding("disk", text + "".join(closed), wrong=bool(closed) or min(free.values()) < LEAST_DISK)


def _kaggle(reached: Question) -> list[Finding]:
    # Whatever it answers: only a dataset's own address would answer well.
    text = "reachable" if reached.status() else reached.failure
    credentials = "credentials found" if kaggle.has_credentials() else "no credentials (public sets need none)"
    return [Finding("Kaggle", f"{text}; {credentials}")]


def _data(data_dir: Path) -> list[Finding]:
    report = read_fetch_report(data_dir)
    if report is None and not (data_dir / MANIFEST_FILE).exists():
        text = f"none in {data_dir}; bring a folder of images, or try it on generated ones: --dataset sample"
        return [Finding("data", text, next="python -m trainer --dataset path/to/images")]
    dataset = describe_dataset(data_dir)
    if not (data_dir / MANIFEST_FILE).exists():
        return [Finding("data", f"{dataset}, not split yet", next="python -m trainer split")]
    records = read_manifest(data_dir)
    counts = Counter(record.split for record in records)
    text = f"{dataset}; {', '.join(f'{split} {counts[split]:,}' for split in SPLITS)}; split {split_protocol(data_dir)}"
    gone = sum(not (data_dir / record.path).is_file() for record in records)
    if gone:
        return [Finding("data", f"{text}; {gone:,} images are gone: python -m trainer fetch", wrong=True)]
    return [Finding("data", text, next="python -m trainer train")]


def _runs(runs_dir: Path, published: set[str]) -> list[Finding]:
    runs = all_runs(runs_dir)
    if not runs:
        return [Finding("runs", f"none in {runs_dir}")]
    run = runs[-1]
    text = f"{len(runs):,} in {runs_dir}, the latest one {run.name}: "
    held_out = saved_settings(run).hold_out_site
    if not run.training.is_file():
        return [Finding("runs", text + "training not finished", next=f"python -m trainer --resume --run {run.name}")]
    if not run.metrics.is_file():
        following = f"python -m trainer evaluate --run {run.name}"
        return [Finding("runs", text + "trained, not evaluated", next=following)]
    from trainer.publishing.publish import model_version

    text += f"macro F1 {read_json(run.metrics, 'evaluate')['test']['macro_f1']:.2f}, "
    if model_version(run) in published:
        return [Finding("runs", text + "published")]
    # A run that does without a hospital is made to be compared, not to be served.
    following = "" if held_out else f"python -m trainer publish --run {run.name}"
    return [Finding("runs", text + "not published", next=following)]


def _models() -> tuple[list[Finding], set[str]]:
    """The store's models, the one that is served by default first, and all their versions."""
    from trainer.inference.model_store import stored_folder
    from trainer.publishing.stored_models import served_tag, stored_tags

    tags, findings = stored_tags(), []
    try:
        served = served_tag()
    except UserError:  # a damaged one, which has a line of its own
        served = None
    tags.sort(key=lambda tag: tag != served)
    for tag in tags[:SHOWN]:
        try:
            manifest = load_manifest(stored_folder(tag))
        except (ArtifactError, UserError) as error:
            findings.append(Finding("model", str(error), wrong=True))
        else:
            figure = f"macro F1 {manifest.metrics.macro_f1:.2f}, {manifest.data.dataset.partition(':')[0]} data"
            text = f"{tag}: {manifest.model_name}, {figure}, {manifest.created:%Y-%m-%d}"
            text += ", served by default" if tag == served else ""
            findings.append(Finding("model", text, next="bentoml serve"))
    if len(tags) > SHOWN:
        findings.append(Finding("", f"and {len(tags) - SHOWN:,} more: python -m trainer models"))
    return findings or [Finding("models", "none in the store")], {tag.partition(":")[2] for tag in tags}
