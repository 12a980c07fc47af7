"""The decoded image store: each film is decoded once, by the service's own intake, and kept as ``uint8``."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from bento.images import Preprocessing, load_array
from trainer.arrays import Array, create_array, open_array
from trainer.device import cores


def decoded_images(
    paths: Sequence[Path], hashes: Sequence[str], spec: Preprocessing, cache: Path, workers: int, title: str
) -> Array:
    """All films as one memory-mapped ``uint8`` array N×S×S, decoded in parallel unless the store has them.

    Args:
        paths: image files.
        hashes: SHA-256 of each file; with ``spec`` they are the store's key.
        spec: intake, as the service will do it.
        cache: folder of the store.
        workers: threads (Pillow decodes and resizes without Python's lock); 0: one a core.
        title: label of the progress bar.

    Raises:
        ImageError: a file that the intake refuses; ``fetch`` has sorted those out before.
        UserError: the disk is full.
    """
    key = hashlib.sha256(json.dumps([spec.model_dump(), list(hashes)]).encode()).hexdigest()[:16]
    path = cache / f"images-{key}.npy"
    if not path.exists():
        shape = (len(paths), spec.image_size, spec.image_size)
        with create_array(path, shape, "uint8") as array, ThreadPoolExecutor(workers or cores()) as pool:

            def decode(index: int) -> None:
                array[index] = load_array(paths[index], spec)

            for _ in tqdm(
                pool.map(decode, range(len(paths))), total=len(paths), desc=f"decode {title}", leave=False
            ):
                pass
    return open_array(path)
