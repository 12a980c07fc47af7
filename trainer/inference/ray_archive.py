"""An archive judged on a Ray cluster by Ray Data: names go out in blocks, tables of answers come back."""

import importlib.metadata
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tqdm import tqdm

from bento.artifact import MANIFEST_FILE, load_manifest
from bento.inference.session import Predictor
from trainer.errors import UserError
from trainer.inference.image_names import source_of
from trainer.inference.image_stream import each_intake
from trainer.inference.judge import judge
from trainer.inference.parquet_answers import ParquetRows
from trainer.inference.ray_cluster import alive_nodes, connected, count_actors

if TYPE_CHECKING:
    import ray

BLOCK = 256
"""Names that an actor is given at once at most: what is judged again when its node dies."""
BLOCKS_AN_ACTOR = 16
"""Blocks that each actor gets at least, so that all end at about the same time."""
ASK_SECONDS = 5.0
"""Between two looks at which nodes live."""
TRIES = 3
"""Times that a block is given out again after its process or node has died."""
SAME = ("chest-xray-service", "numpy", "onnxruntime", "pillow", "pydicom", "imagecodecs")
"""Packages whose versions must be the same everywhere, or answers could differ in their last bits."""
ROW = "row"
"""Column of an image's number, which a block and its answers have."""


@dataclass(frozen=True)
class Job:
    """What is to be judged, and by which model."""

    model: Path
    """Folder of the artifact, on this machine alone; the nodes get its files."""
    names: list[str]
    """Of the images: paths that all nodes have, or URLs."""
    cores: int
    """Cores of an actor."""


def judged_on_ray(address: str, job: Job) -> Generator[pa.Table]:
    """Judge images on a cluster.

    A node that dies costs the answers that it had not sent; others judge these images again. No image has two rows,
    and none is left out in silence.

    Yields:
        Tables of :class:`ParquetRows` in any order, as they come.

    Raises:
        UserError: the cluster can't be had or has no node of so many cores, its nodes lack this program or have
            other versions, or images that no process survives; what has been yielded holds all the same.
    """
    files = _files(job.model)
    with connected(address, sum(map(len, files.values()))):
        import ray

        actors = count_actors(address, job.cores)
        model = ray.put(files)
        done = np.zeros(len(job.names), np.bool_)
        size = int(np.clip(len(job.names) / (actors * BLOCKS_AN_ACTOR), 1, BLOCK))
        while not done.all():
            left = np.flatnonzero(~done)
            for table in _told(_run(job, model, actors, left, size)):
                rows = table[ROW].to_numpy()
                fresh = ~done[rows]
                done[rows] = True
                yield table.filter(pa.array(fresh)).drop_columns([ROW])
            still = np.flatnonzero(~done)
            if len(still) == len(left) or (len(still) and size == 1):
                name = job.names[still[0]]
                raise UserError(
                    f"--ray {address}: {len(still):,} images have no row: judging them fails or ends its process; "
                    f"python -m trainer predict {name} shows why"
                )
            # One by one the rest can't keep each other from being judged.
            size = 1


class _Judge:
    """An actor: holds the session, and judges blocks of names with as many threads as ``predict`` has for its cores."""

    def __init__(
        self, model: "list[ray.ObjectRef[dict[str, bytes]]]", folder: str, cores: int, versions: dict[str, str]
    ):
        import ray

        if (own := _versions()) != versions:
            differ = [f"{name} {own[name]}, not {versions[name]}" for name in SAME if own[name] != versions[name]]
            raise UserError(f"a node has other versions than this machine: {'; '.join(differ)}; install the same")
        with tempfile.TemporaryDirectory() as temporary:
            for name, content in ray.get(model[0]).items():
                Path(temporary, name).write_bytes(content)
            self._predictor = Predictor(Path(temporary), threads=1)
        self._rows = ParquetRows(self._predictor.manifest)
        self._folder, self._threads = Path(folder), cores + 1

    def __call__(self, block: pa.Table) -> pa.Table:
        names = [os.fsdecode(name) for name in block["name"].to_pylist()]
        files = [source_of(name, self._folder) for name in names]
        spec = self._predictor.manifest.preprocessing
        results = each_intake(files, spec, lambda _, taken: judge(self._predictor, taken)[0], self._threads)
        table = self._rows.table((name, result) for name, (_, result) in zip(names, results, strict=True))
        return table.append_column(ROW, block[ROW])


def _run(
    job: Job, model: "ray.ObjectRef[dict[str, bytes]]", actors: int, rows: npt.NDArray[np.int64], size: int
) -> Iterator[pa.Table]:
    """The answers for some of the images, in blocks of ``size``; a block that fails for good is missing."""
    import ray
    from ray.util.annotations import RayDeprecationWarning

    blocks = [
        pa.table({ROW: part, "name": pa.array([os.fsencode(job.names[row]) for row in part], pa.binary())})
        for part in (rows[first : first + size] for first in range(0, len(rows), size))
    ]
    with warnings.catch_warnings():
        # Private: max_task_retries, which map_batches hands on to Ray, is to go with Ray 2.64; without it, an image
        # that ends its process would do so for ever.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        answers = ray.data.from_arrow(blocks).map_batches(
            _Judge,
            fn_constructor_args=([model], str(Path.cwd()), job.cores, _versions()),
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=min(actors, len(blocks))),
            num_cpus=job.cores,
            max_task_retries=TRIES,
        )
    for table in answers.iter_batches(batch_size=None, batch_format="pyarrow"):
        if table.num_rows:
            yield table


def _told(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The tables as they come; a node that dies is told in a line of ours instead of Ray's own."""
    nodes, asked = alive_nodes(), time.monotonic()
    for table in tables:
        yield table
        if time.monotonic() - asked > ASK_SECONDS:
            asked, before, nodes = time.monotonic(), nodes, alive_nodes()
            if nodes < before:
                line = f"{before - nodes} of {before} nodes died; what they had begun is done again by the others"
                tqdm.write(line, file=sys.stderr)


def _files(folder: Path) -> dict[str, bytes]:
    """The artifact's files by their names."""
    names = [MANIFEST_FILE, *load_manifest(folder).files]
    return {name: (folder / name).read_bytes() for name in names}


def _versions() -> dict[str, str]:
    def version(name: str) -> str:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return "(missing)"

    return {name: version(name) for name in SAME}
