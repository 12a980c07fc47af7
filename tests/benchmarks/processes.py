"""A command run and watched from outside: its seconds, its output, its and its children's private memory."""

import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

INTERVAL = 0.25


@dataclass
class Watched:
    """What a command did."""

    seconds: float = 0
    peak: float = 0
    """MB of anonymous and shared memory of the process tree, each page once; the page cache of files is left out."""
    lines: list[tuple[float, str]] = field(default_factory=list)
    """(seconds after the start, line) of its standard output and error."""

    def first(self, part: str) -> float:
        """Seconds until a line with ``part`` came."""
        return next(at for at, line in self.lines if part in line)


def watch(*words: str) -> Watched:
    """Run ``python -u -m WORDS`` to its end.

    Raises:
        SystemExit: it failed; its last lines are shown.
    """
    found = Watched()
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-u", "-m", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        done = threading.Event()
        sampler = threading.Thread(target=_sample, args=(process.pid, found, done))
        sampler.start()
        for line in process.stdout or ():  # universal newlines: each step of a progress bar is a line
            found.lines.append((time.perf_counter() - started, line.rstrip()))
        process.wait()
        found.seconds = time.perf_counter() - started
        done.set()
        sampler.join()
    if process.returncode:
        raise SystemExit("\n".join(line for _, line in found.lines[-5:]))
    return found


def _sample(pid: int, found: Watched, done: threading.Event) -> None:
    while not done.wait(INTERVAL):
        try:
            root = psutil.Process(pid)
            tree = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        found.peak = max(found.peak, sum(_private(process.pid) for process in tree))


def _private(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # ended meanwhile
        return 0
    rows = (line.split() for line in text.splitlines())
    return sum(int(row[1]) for row in rows if row[0] in ("Pss_Anon:", "Pss_Shmem:")) / 1000
