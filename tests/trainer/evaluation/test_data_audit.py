"""The data audit: it finds copies, however they were saved, and takes no stranger for one."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageEnhance

from bento.imaging.intake import fit, load_array
from bento.imaging.preprocessing import Preprocessing
from trainer.data.duplicates import thumbnail
from trainer.data.manifest import Record, Split
from trainer.data.sample import generate
from trainer.evaluation.data_audit import audit, duplicate_pairs

SPEC = Preprocessing(image_size=64)


def radiograph(seed: int) -> Image.Image:
    return Image.fromarray(next(generate(1, 64, 1, seed)).pixels)


def as_jpeg(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=40)
    return Image.open(stream)


def record(name: str, label: str = "NORMAL", split: Split = "train", patient: str = "", sha: str = "") -> Record:
    return Record(
        path=f"raw/{label}/{name}.png",
        label=label,
        split=split,
        site="x",
        patient=patient or name,
        sha256=(sha or name.encode().hex()).rjust(64, "0")[-64:],
        group=name,
    )


def small(image: Image.Image) -> npt.NDArray[np.uint8]:
    return thumbnail(Image.fromarray(fit(image.convert("L"), SPEC).image))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved as a poor JPEG": as_jpeg,
    "made smaller": lambda image: image.resize((40, 40)),
    "made brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_copy_is_a_near_duplicate(name: str) -> None:
    original = radiograph(1)
    rows = [record("a"), record("b"), record("c")]
    thumbnails = np.stack([small(original), small(radiograph(2)), small(CHANGES[name](original))])
    (pair,) = duplicate_pairs(rows, thumbnails)
    assert (pair.first, pair.second) == (rows[0].path, rows[2].path)
    assert not pair.exact


def test_the_same_bytes_are_an_exact_duplicate_and_strangers_are_none() -> None:
    rows = [record("a", sha="ab"), record("b"), record("c", sha="ab")]
    pairs = duplicate_pairs(rows, np.stack([small(radiograph(1)), small(radiograph(2)), small(radiograph(1))]))
    assert [(pair.first, pair.second, pair.exact) for pair in pairs] == [(rows[0].path, rows[2].path, True)]


def test_images_of_different_people_are_no_duplicates() -> None:
    people = {one.patient: one for one in generate(80, 64, 3, 5)}.values()
    thumbnails = np.stack([small(Image.fromarray(one.pixels)) for one in people])
    assert duplicate_pairs([record(str(i)) for i in range(len(people))], thumbnails) == []


def test_a_number_that_two_hospitals_gave_is_two_patients(tmp_path: Path) -> None:
    rows = [record(f"f{i}", split="test" if i % 2 else "train", patient="7") for i in range(4)]
    rows = [row.model_copy(update={"site": "ab"[row.split == "test"]}) for row in rows]
    thumbnails = {row.path: small(radiograph(i)) for i, row in enumerate(rows)}
    for row in rows:
        (tmp_path / row.path).parent.mkdir(parents=True, exist_ok=True)
        radiograph(1).save(tmp_path / row.path)
    audited = audit(rows, tmp_path, thumbnails, {}, {}, seed=1)
    assert audited.patients == {"train": 1, "val": 0, "test": 1}
    assert audited.patients_across == 0


def test_the_whole_audit_counts_what_it_should(tmp_path: Path) -> None:
    rows = []
    original = radiograph(1)
    for i in range(40):
        split: Split = "test" if i % 4 == 0 else "train"
        label = "NORMAL" if i % 2 else "TUBERCULOSIS"
        rows.append(record(f"f{i}", label, split, patient=f"p{i // 4}"))
    # The last image is the first one, saved anew, under another label and on the other side.
    images = [original, *(radiograph(i) for i in range(2, 40)), as_jpeg(original)]
    for row, image in zip(rows, images, strict=True):
        (tmp_path / row.path).parent.mkdir(parents=True, exist_ok=True)
        image.convert("L").save(tmp_path / row.path)
    thumbnails = {row.path: thumbnail(Image.fromarray(load_array(tmp_path / row.path, SPEC))) for row in rows}
    found = audit(rows, tmp_path, thumbnails, {"bad.png": "damaged"}, {}, seed=1)
    assert found.counts["train"]["x"] == {"NORMAL": 20, "TUBERCULOSIS": 10}
    assert found.counts["test"]["x"] == {"TUBERCULOSIS": 10}
    assert found.sizes == {"64×64": 40}
    assert found.patients == {"train": 10, "val": 0, "test": 10}
    assert found.patients_across == 10
    assert (found.exact_pairs, found.near_pairs, found.different_labels, found.across) == (0, 1, 1, 1)
    assert found.pairs[0].splits == ("test", "train")
    assert found.leak is not None
    assert found.leak.known_patients == pytest.approx(1.0)
    assert 0 <= found.leak.pairs_across <= 1
