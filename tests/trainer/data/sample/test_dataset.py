"""A sample set is what was asked for, and nothing but the lungs tells the class."""

import csv
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torchvision.datasets import ImageFolder

from tests.support.server import ROOT
from trainer.data.sample import LABELS, Radiograph, SampleSet, generate, write
from trainer.errors import UserError

SIZE = 64


@pytest.fixture(scope="module")
def radiographs() -> list[Radiograph]:
    return list(generate(240, SIZE, 3, seed=11))


@pytest.fixture(scope="module")
def confounded() -> list[Radiograph]:
    return list(generate(240, 32, 3, seed=11, confounded=True))


def cramers_v(radiographs: list[Radiograph]) -> float:
    """Association of class and hospital, counted by patient: 0 none, 1 complete."""
    pairs = {(radiograph.patient, radiograph.label, radiograph.site) for radiograph in radiographs}
    counts = Counter((label, site) for _, label, site in pairs)
    labels, sites = sorted({k[0] for k in counts}), sorted({k[1] for k in counts})
    return float(stats.contingency.association(np.array([[counts[a, b] for b in sites] for a in labels])))


def same(a: Radiograph, b: Radiograph) -> bool:
    named = [(f.label, f.site, f.patient, f.name) for f in (a, b)]
    return named[0] == named[1] and np.array_equal(a.pixels, b.pixels) and np.array_equal(a.lesion, b.lesion)


def test_an_image_depends_on_seed_and_place_only() -> None:
    first, longer = list(generate(7, SIZE, 3, 5)), list(generate(12, SIZE, 3, 5))
    assert (len(first), len(longer)) == (7, 12)
    assert all(same(a, b) for a, b in zip(first, longer, strict=False))
    assert not any(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, generate(7, SIZE, 3, 6), strict=True))


def test_size_and_hospitals_change_neither_bodies_nor_labels() -> None:
    small, large = list(generate(12, 64, 1, 5)), list(generate(12, 128, 9, 5))
    assert [(f.name, f.label) for f in small] == [(f.name, f.label) for f in large]
    for a, b in zip(small, large, strict=True):
        grown = np.kron(a.lesion, np.ones((2, 2), bool))
        assert (grown & b.lesion).sum() >= 0.6 * max(b.lesion.sum(), 1) or not b.lesion.any()


def test_patients_have_one_to_four_different_images_one_label_and_one_hospital(
    radiographs: list[Radiograph],
) -> None:
    patients: dict[str, list[Radiograph]] = {}
    for radiograph in radiographs:
        patients.setdefault(radiograph.patient, []).append(radiograph)
    assert set(map(len, patients.values())) == {1, 2, 3, 4}
    for images in patients.values():
        assert len({(radiograph.label, radiograph.site) for radiograph in images}) == 1
        assert len({radiograph.pixels.tobytes() for radiograph in images}) == len(images)
    assert len({radiograph.name for radiograph in radiographs}) == len(radiographs)


def test_classes_are_about_equal(radiographs: list[Radiograph]) -> None:
    patients = Counter(label for _, label in {(f.patient, f.label) for f in radiographs})
    assert max(patients.values()) - min(patients.values()) <= 1
    assert min(Counter(f.label for f in radiographs).values()) > 0.25 * len(radiographs)


def test_class_and_hospital_are_independent_unless_confounded(
    radiographs: list[Radiograph], confounded: list[Radiograph]
) -> None:
    assert cramers_v(radiographs) < 0.25
    assert cramers_v(confounded) > 0.6


def test_confounded_images_come_from_the_hospitals_that_were_promised(confounded: list[Radiograph]) -> None:
    where = {label: Counter(f.site for f in confounded if f.label == label) for label in LABELS}
    assert where["PNEUMONIA"]["hospital-a"] > 0.85 * where["PNEUMONIA"].total()
    assert where["TUBERCULOSIS"]["hospital-b"] > 0.85 * where["TUBERCULOSIS"].total()
    assert set(where["NORMAL"]) == {"hospital-a", "hospital-b"}
    assert 0.3 < where["NORMAL"]["hospital-a"] / where["NORMAL"].total() < 0.7


def test_a_thumbnail_tells_the_hospital_but_hardly_the_class(radiographs: list[Radiograph]) -> None:
    thumbnails = [Image.fromarray(f.pixels).resize((8, 8), Image.Resampling.BOX) for f in radiographs]
    x = np.stack([np.asarray(t, dtype=np.float64).ravel() for t in thumbnails])
    groups = [f.patient for f in radiographs]

    def score(target: list[str]) -> float:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
        predicted = cross_val_predict(model, x, target, groups=groups, cv=GroupKFold(4))
        return float(f1_score(target, predicted, average="macro"))

    assert score([f.label for f in radiographs]) < 0.7
    assert score([f.site for f in radiographs]) > 0.8


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_write_makes_an_image_folder_with_manifest_and_the_same_bytes_again(tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    write(first, SampleSet(31, SIZE, 3, 2), workers=2)
    write(second, SampleSet(31, SIZE, 3, 2), workers=1)
    assert digest(first) == digest(second)
    dataset = ImageFolder(str(first))
    assert dataset.classes == list(LABELS)
    assert len(dataset) == 31
    with (first / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert not list(first.rglob("*.part"))
    for row, radiograph in zip(rows, generate(31, SIZE, 3, 2), strict=True):
        assert row == {
            "path": f"{radiograph.label}/{radiograph.name}",
            "label": radiograph.label,
            "site": radiograph.site,
            "patient": radiograph.patient,
        }
        assert np.array_equal(np.asarray(Image.open(first / row["path"])), radiograph.pixels)


def test_write_again_mends_an_interrupted_set_but_refuses_another(tmp_path: Path) -> None:
    write(tmp_path, SampleSet(6, SIZE, 2, 2), workers=1)
    whole = digest(tmp_path)
    victim = next(tmp_path.glob("*/*.png"))
    victim.rename(victim.with_name(victim.name + ".part"))
    (tmp_path / "manifest.csv").unlink()
    write(tmp_path, SampleSet(6, SIZE, 2, 2), workers=1)
    assert digest(tmp_path) == whole
    with pytest.raises(UserError, match="holds other files"):
        write(tmp_path, SampleSet(3, SIZE, 2, 2), workers=1)
    assert digest(tmp_path) == whole


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((0, 64, 3, 1), "images is 0"),
        ((5, 8, 3, 1), "size is 8"),
        ((5, 64, 27, 1), "hospitals is 27"),
        ((5, 64, 3, -1), "seed is -1"),
        ((5, 64, 1, 1, True), "two hospitals"),
    ],
)
def test_impossible_sets_are_refused_in_one_line(arguments: tuple[int, int, int, int], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        generate(*arguments)


def test_ctrl_c_while_the_drawing_processes_start_is_one_line(tmp_path: Path) -> None:
    words = [
        "fetch",
        "--dataset",
        "sample",
        "--sample-images",
        "3000",
        "--sample-size",
        "64",
        "--data-dir",
        str(tmp_path),
    ]
    command = [sys.executable, "-m", "trainer", *words]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("TUBERCULOSIS")):
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip() == "trainer: interrupted"
