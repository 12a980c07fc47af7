"""``python -m trainer`` as a user runs it, and what a small real run leaves behind."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.server import ROOT
from trainer.running.runs import Run

FLAGS = [
    *("--dataset", "sample", "--sample-images", "150", "--sample-size", "96"),
    *("--backbone", "efficientnet_lite0", "--image-size", "96", "--batch-size", "16", "--views", "2"),
    *("--epochs-a", "3", "--epochs-b", "4"),
    *("--target-sensitivity", "0.75"),  # five validation images of a class are enough for that
]


def trainer(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """``python -m trainer`` as a user runs it."""
    command = [sys.executable, "-m", "trainer", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=240)


@dataclass(frozen=True)
class Trained:
    """What ``python -m trainer`` has left behind."""

    run: Run
    data_dir: Path
    output: str

    @property
    def folders(self) -> list[str]:
        """The flags that name its folders."""
        return ["--data-dir", str(self.data_dir), "--runs-dir", str(self.run.folder.parent)]

    @property
    def tag(self) -> str:
        """Its model in the store."""
        line = next(line for line in self.output.splitlines() if line.startswith("published: "))
        return line.split()[1]
