"""A sample set: its patients, labels and hospitals, image by image or as a folder of PNG files."""

import csv
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from trainer.data.sample import lesions
from trainer.data.sample.anatomy import Anatomy
from trainer.data.sample.chest import project
from trainer.data.sample.hospitals import Hospital
from trainer.data.sample.lesions import LABELS
from trainer.data.sample.projection import View
from trainer.errors import UserError
from trainer.running.progress import task

COLUMNS = ("path", "label", "site", "patient")
CONFOUNDING = 0.95
"""Share of the pneumonias at the first hospital, and of the tuberculoses at the second, if confounded."""


@dataclass(frozen=True)
class SampleSet:
    """What decides a sample set.

    An image depends on ``seed`` and its position only, not on ``images``; a patient's label and body do not depend
    on ``hospitals`` or ``size``, and a hospital is the same in every set.

    Raises:
        UserError: a number out of range, or ``confounded`` with one hospital.
    """

    images: int
    """Number of images, each patient's 1 to 4 in a row; the last patient's may be cut short."""
    size: int
    """Side of the images in pixels."""
    hospitals: int
    """Number of hospitals, 1 to 26."""
    seed: int
    """Not negative."""
    confounded: bool = False
    """95 % of the pneumonias come from the first hospital, 95 % of the tuberculoses from the second, and the normal
    images from both; otherwise class and hospital are independent."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("images", 1, 10_000_000),
            ("size", 32, 4096),
            ("hospitals", 1, 26),
            ("seed", 0, 2**63),
        ):
            if not low <= getattr(self, name) <= high:
                raise UserError(f"sample set: {name} is {getattr(self, name)}; give {low} to {high}")
        if self.confounded and self.hospitals < 2:
            raise UserError("sample set: class and hospital can only go together with two hospitals or more")


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One synthetic frontal radiograph."""

    pixels: npt.NDArray[np.uint8]
    """size × size grey levels."""
    label: str
    """One of ``LABELS``."""
    site: str
    """The hospital: ``hospital-a``, …"""
    patient: str
    """``p0001``, …"""
    name: str
    """File name: ``p0001_1.png``."""
    lesion: npt.NDArray[np.bool_]
    """size × size, where the disease lies; nowhere on a normal image."""


@dataclass(frozen=True)
class _Patient:
    """What is known of a patient before an image is made; cheap to draw."""

    number: int
    label: str
    hospital: int
    radiographs: int
    seed: int

    @property
    def name(self) -> str:
        return f"p{self.number + 1:04d}"


def generate(images: int, size: int, hospitals: int, seed: int, confounded: bool = False) -> Iterator[Radiograph]:
    """The images of a :class:`SampleSet`, one after the other, made as they are asked for.

    Raises:
        UserError: see :class:`SampleSet`.
    """
    wanted = SampleSet(images, size, hospitals, seed, confounded)
    radiographs = (radiograph for patient in _patients(wanted) for radiograph in _images(patient, size))
    return islice(radiographs, images)


def write(folder: Path, wanted: SampleSet, workers: int = 0) -> None:
    """Write a sample set as ``folder/<LABEL>/<name>`` and ``folder/manifest.csv``.

    The manifest (path, label, site, patient) is written last; every file appears whole or not at all.
    The same set gives the same bytes. ``workers``: processes; 0: one per core.

    Raises:
        UserError: the folder already holds other images.
    """
    patients: list[tuple[_Patient, int]] = []
    rows: list[tuple[str, str, str, str]] = []
    for patient in _patients(wanted):
        if len(rows) >= wanted.images:
            break
        names = [f"{patient.name}_{i + 1}.png" for i in range(patient.radiographs)][: wanted.images - len(rows)]
        site = Hospital.numbered(patient.hospital).name
        rows += [(f"{patient.label}/{name}", patient.label, site, patient.name) for name in names]
        patients.append((patient, len(names)))
    _prepare(folder, {row[0] for row in rows})
    workers = min(workers or os.cpu_count() or 1, len(patients))
    job = partial(_write_patient, folder, wanted.size)
    with (
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
        task("generating images", len(rows)) as advance,
    ):
        with _ctrl_c_ignored():
            jobs = pool.map(job, patients, chunksize=4)  # starts the processes
        for written in jobs:
            advance(written)
    temporary = folder / "manifest.csv.part"
    with temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    temporary.replace(folder / "manifest.csv")


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """Let processes that are started here leave Ctrl-C to this one, which stops them: else each shows a traceback."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _patients(wanted: SampleSet) -> Iterator[_Patient]:
    """All patients of the set, without end."""
    hospitals, seed = wanted.hospitals, wanted.seed
    number = 0
    while True:
        # Three patients at a time, one of each class, so that the classes stay equal at any length.
        trio = np.random.default_rng((seed, number, 0)).permutation(LABELS)
        for label in trio.tolist():
            rng = np.random.default_rng((seed, number, 1))
            chance, elsewhere = rng.random(2)
            radiographs = int(rng.choice(4, p=(0.3, 0.3, 0.25, 0.15))) + 1
            hospital = int(chance * hospitals)
            if wanted.confounded:
                hospital = _confounded(label, chance, elsewhere, hospitals)
            yield _Patient(number, label, hospital, radiographs, seed)
            number += 1


def _confounded(label: str, chance: float, elsewhere: float, hospitals: int) -> int:
    """Number of the hospital of a patient whose class and hospital go together; two random numbers decide."""
    if label == "NORMAL":
        return int(chance * 2)
    home = LABELS.index(label) - 1
    if chance < CONFOUNDING:
        return home
    return (home + 1 + int(elsewhere * (hospitals - 1))) % hospitals


def _images(patient: _Patient, size: int) -> Iterator[Radiograph]:
    """A patient's images, each of another day and exposure."""
    rng = np.random.default_rng((patient.seed, patient.number, 2))
    person = Anatomy.draw(rng)
    disease = lesions.draw(patient.label, person, rng)
    hospital = Hospital.numbered(patient.hospital)
    for i in range(patient.radiographs):
        rng = np.random.default_rng((patient.seed, patient.number, 3, i))
        view = View(
            size,
            zoom=float(np.clip(rng.normal(1.0, 0.05), 0.85, 1.15)),
            angle=float(rng.normal(0, 0.03)),
            dx=float(rng.normal(0, 0.7)),
            dy=float(rng.normal(0, 0.8)),
        )
        chest = project(person.restand(rng), view)
        attenuation, lesion = lesions.affect(chest, disease, view)
        yield Radiograph(
            pixels=hospital.expose(attenuation, rng),
            label=patient.label,
            site=hospital.name,
            patient=patient.name,
            name=f"{patient.name}_{i + 1}.png",
            lesion=lesion,
        )


def _prepare(folder: Path, paths: set[str]) -> None:
    """Make the class folders; refuse a folder with other images, which would be taken for part of this set."""
    held = {path.relative_to(folder).as_posix() for path in folder.glob("*/*")}
    strangers = sorted(path for path in held - paths if not path.endswith(".part"))
    if strangers:
        raise UserError(f"{folder}: holds other files, such as {strangers[0]}; give an empty folder")
    for label in LABELS:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for left in (folder / label).glob("*.part"):
            left.unlink()


def _write_patient(folder: Path, size: int, job: tuple[_Patient, int]) -> int:
    """Write a patient's first images; how many they are."""
    patient, count = job
    for radiograph in islice(_images(patient, size), count):
        path = folder / radiograph.label / radiograph.name
        temporary = path.with_name(path.name + ".part")
        Image.fromarray(radiograph.pixels).save(temporary, format="PNG")
        temporary.replace(path)
    return count
