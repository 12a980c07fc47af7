"""The sample set: what an image shows, that it is what was asked for, and that nothing but the lungs tells the class."""

import csv
import hashlib
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torchvision.datasets import ImageFolder

from trainer.data.sample import LABELS, Radiograph, generate, lesions, write
from trainer.data.sample.anatomy import Anatomy
from trainer.data.sample.chest import project
from trainer.data.sample.hospitals import Hospital
from trainer.data.sample.projection import FIELD, Tube, View, ellipsoid, tubes
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


# --- the projection ----------------------------------------------------------------------------------------


def test_an_ellipsoid_is_as_thick_as_its_volume_says() -> None:
    view = View(400)
    x, y = view.grid()
    thickness = ellipsoid(x, y, (2.0, -3.0), (4.0, 2.0, 5.0), tilt=0.5)
    assert thickness.max() == pytest.approx(10, rel=1e-3)
    assert float(thickness.sum()) * view.pixel**2 == pytest.approx(4 / 3 * np.pi * 4 * 2 * 5, rel=1e-3)


@pytest.mark.parametrize("radius", [0.4, 0.02], ids=["wide", "thinner than a pixel"])
def test_a_tube_keeps_its_volume_at_any_width(radius: float) -> None:
    view = View(300, angle=0.2)
    thickness = tubes(view, [Tube((-8, -3), (8, 5), (radius, radius))])
    expected = np.pi * radius**2 * np.hypot(16, 8)
    assert float(thickness.sum()) * view.pixel**2 == pytest.approx(expected, rel=0.1)


def test_a_view_maps_a_point_to_the_pixel_whose_coordinates_it_has() -> None:
    view = View(200, zoom=1.1, angle=0.1, dx=1.0, dy=-0.5)
    column, row = view.to_pixels(3.0, -4.0)
    x, y = view.grid()
    assert x[round(row), round(column)] == pytest.approx(3.0, abs=view.pixel)
    assert y[round(row), round(column)] == pytest.approx(-4.0, abs=view.pixel)


def test_a_texture_belongs_to_the_body_and_not_to_the_image() -> None:
    small = View(64, angle=0.1, dx=1).texture(np.random.default_rng(1), 2.0)
    large = View(256, angle=0.1, dx=1).texture(np.random.default_rng(1), 2.0)
    reduced = large.reshape(64, 4, 64, 4).mean(axis=(1, 3))
    assert np.corrcoef(small.ravel(), reduced.ravel())[0, 1] > 0.98
    assert 0.7 < large.std() < 1.3


# --- the chest ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_lungs_are_two_heart_lies_to_the_right_of_the_picture_and_under_the_lungs_is_the_belly(
    seed: int,
) -> None:
    person = Anatomy.draw(np.random.default_rng(seed))
    chest = project(person, View(128))
    parts, number = ndimage.label(chest.lung > 1)
    sizes = ndimage.sum_labels(np.ones_like(parts), parts, range(1, number + 1))
    assert (sizes > 500).sum() == 2
    left, right = chest.lung[:, :64].sum(), chest.lung[:, 64:].sum()
    assert right < left, "the heart takes room from the lung on the picture's right"
    belly = chest.attenuation[(np.abs(chest.x) < 8) & (chest.y > 13)]
    assert np.median(belly) > 1.3 * np.median(chest.attenuation[chest.lung > 8])


def test_ribs_cross_the_lung_as_regular_bright_bands() -> None:
    person = Anatomy.draw(np.random.default_rng(3))
    chest = project(person, View(512))
    column = int(View(512).to_pixels(-7.0, 0)[0])
    inside = chest.lung[:, column] > 8
    profile = chest.attenuation[inside, column]
    ripple = profile - ndimage.gaussian_filter1d(profile, 20)
    peaks = np.flatnonzero(np.diff(np.sign(np.diff(ripple))) < 0)
    assert len(peaks) >= 6
    assert ripple.std() > 0.03


# --- the disease -------------------------------------------------------------------------------------------


def test_normal_images_have_no_lesion_and_the_others_have_one(radiographs: list[Radiograph]) -> None:
    for radiograph in radiographs:
        assert radiograph.lesion.any() == (radiograph.label != "NORMAL"), radiograph.name


def test_lesions_lie_in_the_lungs_and_add_attenuation_there() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        person, label = Anatomy.draw(rng), LABELS[1 + seed % 2]
        view = View(128, angle=0.05, dx=0.5)
        chest = project(person, view)
        attenuation, mask = lesions.affect(chest, lesions.draw(label, person, rng), view)
        added = attenuation - chest.attenuation
        assert (chest.lung[mask] > 1).all()
        assert added[mask].mean() > 0.01
        assert added[mask].mean() > 5 * np.abs(added[~mask]).mean()


def test_tuberculosis_prefers_the_upper_zones_and_pneumonia_the_lower(radiographs: list[Radiograph]) -> None:
    heights: dict[str, list[float]] = {label: [] for label in LABELS}
    for radiograph in radiographs:
        if radiograph.lesion.any():
            heights[radiograph.label].append(float(np.nonzero(radiograph.lesion)[0].mean() / SIZE))
    middle = 0.42  # of the image: about where the vessels leave the heart
    assert np.mean(np.array(heights["TUBERCULOSIS"]) < middle) > 0.8
    assert np.mean(np.array(heights["PNEUMONIA"]) > middle) > 0.7
    assert np.mean(np.array(heights["PNEUMONIA"]) < middle) > 0.03, "some pneumonias lie above: place is not all"


def test_lesions_are_brighter_than_the_same_place_in_the_other_lung(radiographs: list[Radiograph]) -> None:
    by_label: dict[str, list[float]] = {"PNEUMONIA": [], "TUBERCULOSIS": []}
    for radiograph in radiographs:
        mirror = radiograph.lesion[:, ::-1] & ~radiograph.lesion
        if radiograph.lesion.sum() > 20 and mirror.sum() > 20:
            by_label[radiograph.label].append(
                float(radiograph.pixels[radiograph.lesion].mean() - radiograph.pixels[mirror].mean())
            )
    for label, differences in by_label.items():
        assert stats.ttest_1samp(differences, 0, alternative="greater").pvalue < 1e-3, label


def test_a_cavity_is_a_ring_with_a_dark_centre() -> None:
    person = Anatomy.draw(np.random.default_rng(0))
    at = person.lung_point(-1, 0.5, 0.4)
    focus = lesions.Focus("cavity", at, (2.0, 2.0), 0.0, 1.0, wall=0.5)
    view = View(256)
    chest = project(person, view)
    attenuation, mask = lesions.affect(chest, lesions.Disease((focus,), 1.0, 0.0, 0), view)
    added = attenuation - chest.attenuation
    distance = np.hypot(chest.x - at[0], chest.y - at[1])
    assert added[(distance > 1.4) & (distance < 1.7)].mean() > 2 * added[distance < 0.8].mean()
    assert mask[distance < 0.8].all()


# --- the set -----------------------------------------------------------------------------------------------


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
    for own in patients.values():
        assert len({(radiograph.label, radiograph.site) for radiograph in own}) == 1
        assert len({radiograph.pixels.tobytes() for radiograph in own}) == len(own)
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


def test_every_hospital_has_a_look_of_its_own() -> None:
    houses = [Hospital.numbered(index) for index in range(26)]
    assert len({house.name for house in houses}) == 26
    for a, b in pairwise(houses):
        assert abs(a.gamma - b.gamma) + abs(a.marker_at[0] - b.marker_at[0]) > 0.01
    flat = np.full((128, 128), 2.0, np.float32)
    framed = [house.expose(flat, np.random.default_rng(0)) for house in houses]
    for house, picture in zip(houses, framed, strict=True):
        wide = int(house.border[1] / FIELD * 128)
        assert not picture[:wide].any(), "the collimator's border is black"


def test_the_marker_is_burnt_in_where_the_hospital_puts_it(radiographs: list[Radiograph]) -> None:
    for radiograph in radiographs[:40]:
        house = Hospital.numbered(ord(radiograph.site[-1]) - ord("a"))
        column, row = round(house.marker_at[0] * SIZE), round(house.marker_at[1] * SIZE)
        assert radiograph.pixels[row - 4 : row + 5, column - 4 : column + 5].max() > 120
        assert (column < SIZE / 2) == (house.marker == "R")


def test_a_thumbnail_tells_the_hospital_but_hardly_the_class(radiographs: list[Radiograph]) -> None:
    thumbnails = [Image.fromarray(f.pixels).resize((8, 8), Image.Resampling.BOX) for f in radiographs]
    x = np.stack([np.asarray(t, dtype=np.float64).ravel() for t in thumbnails])
    groups = [f.patient for f in radiographs]

    def score(target: list[str]) -> float:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
        found = cross_val_predict(model, x, target, groups=groups, cv=GroupKFold(4))
        return float(f1_score(target, found, average="macro"))

    assert score([f.label for f in radiographs]) < 0.7
    assert score([f.site for f in radiographs]) > 0.8


# --- the folder --------------------------------------------------------------------------------------------


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_write_makes_an_image_folder_with_manifest_and_the_same_bytes_again(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    write(one, 31, SIZE, 3, 2, workers=2)
    write(two, 31, SIZE, 3, 2, workers=1)
    assert digest(one) == digest(two)
    dataset = ImageFolder(str(one))
    assert dataset.classes == list(LABELS)
    assert len(dataset) == 31
    with (one / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert not list(one.rglob("*.part"))
    for row, radiograph in zip(rows, generate(31, SIZE, 3, 2), strict=True):
        assert row == {
            "path": f"{radiograph.label}/{radiograph.name}",
            "label": radiograph.label,
            "site": radiograph.site,
            "patient": radiograph.patient,
        }
        assert np.array_equal(np.asarray(Image.open(one / row["path"])), radiograph.pixels)


def test_write_again_mends_an_interrupted_set_but_refuses_another(tmp_path: Path) -> None:
    write(tmp_path, 6, SIZE, 2, 2, workers=1)
    whole = digest(tmp_path)
    victim = next(tmp_path.glob("*/*.png"))
    victim.rename(victim.with_name(victim.name + ".part"))
    (tmp_path / "manifest.csv").unlink()
    write(tmp_path, 6, SIZE, 2, 2, workers=1)
    assert digest(tmp_path) == whole
    with pytest.raises(UserError, match="holds other files"):
        write(tmp_path, 3, SIZE, 2, 2, workers=1)
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
