"""Cost and memory as the number of images grows: ``python -m tests.benchmarks.scale``; keeps nothing.

Small images (64 pixels) keep it to minutes; each is a file and a cache row of its own. One epoch of each phase from one
view, by the command line.
"""

import argparse
import hashlib
import io
import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from tests.benchmarks.processes import watch
from trainer.data.manifest import MANIFEST_FILE, Record
from trainer.data.sample import generate
from trainer.running.runs import Run
from trainer.tables import to_csv

SIZE = 64


def make_data(folder: Path, images: int) -> None:
    """A data folder as ``split`` leaves it: one image in nine validates."""
    rng = np.random.default_rng(0)
    drawn = list(generate(48, SIZE, hospitals=3, seed=1))
    records = []
    for index in range(images * 9 // 8):
        radiograph = drawn[index % len(drawn)]
        noisy = radiograph.pixels.astype(np.int16) + rng.integers(-6, 7, radiograph.pixels.shape)
        stream = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=90)
        path = folder / "raw" / radiograph.label / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stream.getvalue())
        records.append(
            Record(
                path=path.relative_to(folder).as_posix(),
                label=radiograph.label,
                split="val" if index % 9 == 0 else "train",
                site="",
                patient=str(index),
                sha256=hashlib.sha256(stream.getvalue()).hexdigest(),
                group=str(index),
            )
        )
    (folder / MANIFEST_FILE).write_text(to_csv(records, Record))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 2000, 4000, 16000])
    options = parser.parse_args()
    print(f"{'images':>7}{'cache s':>9}{'epoch A':>9}{'epoch B':>9}{'whole s':>9}{'peak MB':>9}{'disk MB':>9}")
    for images in options.images:
        with tempfile.TemporaryDirectory() as name:
            data = Path(name)
            make_data(data, images)
            words = ["--data-dir", name, "--runs-dir", name, "--run", "r", "--image-size", str(SIZE)]
            words += ["--weights", "none", "--views", "1", "--epochs-a", "1", "--epochs-b", "1"]
            seen = watch("trainer", "train", *words)
            summary = json.loads(Run(data / "r").training.read_text())
            disk = sum(path.stat().st_size for path in (data / "cache").iterdir()) / 1e6
        a, b = (summary["phases"][phase]["seconds"] for phase in "ab")
        row = (summary["cache_seconds"], a, b, seen.seconds, seen.peak, disk)
        print(f"{images:7}" + "".join(f"{value:9.1f}" for value in row), flush=True)


if __name__ == "__main__":
    main()
