"""The limit of this machine: decoding and forward passes on all cores, with no server around them.

``python -m tests.benchmarks.in_process FOLDER SECONDS IMAGE...`` prints images a second.
"""

import itertools
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from bento.cpu import available_cores
from bento.imaging.intake import load_array
from bento.inference.session import Predictor


def measure(folder: Path, seconds: float, radiographs: list[bytes]) -> float:
    """Images a second, with as many threads as the service has."""
    predictor = Predictor(folder, threads=1)
    threads = available_cores() + 1
    begin = time.perf_counter()

    def work(first: int) -> int:
        own = radiographs[first % len(radiographs) :] + radiographs[: first % len(radiographs)]
        for done, radiograph in enumerate(itertools.cycle(own), start=1):
            predictor.predict(load_array(radiograph, predictor.manifest.preprocessing)[np.newaxis])
            if time.perf_counter() - begin > seconds:
                return done
        raise AssertionError

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, range(threads))) / (time.perf_counter() - begin)


if __name__ == "__main__":
    print(measure(Path(sys.argv[1]), float(sys.argv[2]), [Path(name).read_bytes() for name in sys.argv[3:]]))
