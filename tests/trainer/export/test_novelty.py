"""Novelty and orientation, fitted to a few generated images, with random and with real weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bento.artifact import ORIENTATIONS
from bento.imaging.preprocessing import Preprocessing
from bento.inference.session import Session
from trainer.data.sample.dataset import generate
from trainer.evaluation.novelty_rates import share
from trainer.export.cam import FineMap
from trainer.export.novelty import PASS, FittedHeads, fit_novelty, novelty_threshold, pooled
from trainer.export.onnx import export_onnx
from trainer.export.orientation import TURNS, changed_images
from trainer.features.augmentation import Augmentation
from trainer.features.batches import from_images
from trainer.features.dataset import Features, LabelledImages
from trainer.features.decoded_store import ImageFiles
from trainer.features.prefix_cache import Prefix, Views
from trainer.models.backbones import build_classifier, phase_b_cut
from trainer.models.classifier import Classifier
from trainer.types import Array

SPEC = Preprocessing(image_size=64, crop="anatomy", contrast="clahe")
MILD = Augmentation(rotation=5, shift=0.03, scale=0.05, exposure=0.1, sharpness=0.2, noise=0, flip=False)
CPU = torch.device("cpu")
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def radiographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("radiographs")
    paths = []
    for number, radiograph in enumerate(generate(90, 64, 2, 1)):
        paths.append(folder / f"{number}.png")
        Image.fromarray(radiograph.pixels).save(paths[-1])
    return paths


def split(paths: list[Path]) -> LabelledImages:
    files = ImageFiles(paths, SPEC, 2)
    return LabelledImages(
        files, files, np.zeros(len(paths), np.int64), ["A", "B"] * (len(paths) // 2) + ["A"] * (len(paths) % 2), ""
    )


def fit(model: Classifier, paths: list[Path], train: int = 60) -> FittedHeads:
    cut = phase_b_cut("efficientnet_lite0", model)
    parts = split(paths[:train]), split(paths[train:])
    prefix, views = Prefix(model, (cut,), CPU), Views(MILD, 2, 3)
    features = Features(
        {cut: from_images(parts[0].images, prefix, cut, views)},
        {cut: from_images(parts[1].images, prefix, cut, Views())},
    )
    return fit_novelty(prefix, *parts, features, seed=3)


@pytest.fixture(scope="module")
def model() -> Classifier:
    return build_classifier("efficientnet_lite0", 3).eval()


@pytest.fixture(scope="module")
def fitted(model: Classifier, radiographs: list[Path]) -> FittedHeads:
    return fit(model, radiographs)


@pytest.fixture(scope="module")
def session(model: Classifier, fitted: FittedHeads, tmp_path_factory: pytest.TempPathFactory) -> Session:
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    channels = model.stages[: fitted.heads.cut](torch.zeros(1, 3, 64, 64)).shape[1]
    fine_map = FineMap(torch.zeros(3, channels, 1, 1))
    export_onnx(model, 1.0, fitted.heads, fine_map, SPEC.image_size, path)
    return Session(path, 3, SPEC.image_size)


def answers(session: Session, images: Array) -> tuple[Array, Array]:
    prediction = session.predict(images)
    assert prediction.novelty is not None
    assert prediction.orientation is not None
    return prediction.novelty, prediction.orientation


def novelty(session: Session, images: Array) -> Array:
    return answers(session, images)[0]


def test_images_of_its_own_kind_pass_and_other_pictures_do_not(
    fitted: FittedHeads, session: Session, radiographs: list[Path]
) -> None:
    own = novelty(session, np.asarray(split(radiographs[60:]).images[np.arange(30)]))
    assert (own <= fitted.novelty.threshold).mean() >= PASS
    assert (own <= fitted.novelty.threshold).mean() == pytest.approx(fitted.novelty.validation_pass)
    assert fitted.novelty.images == 60
    y, x = np.mgrid[0:64, 0:64]
    others = [
        RNG.integers(0, 256, (64, 64)),
        np.where((x // 8 + y // 8) % 2, 255, 0),
        np.where(y % 6 < 3, 220, 20) * (x > 5),
    ]
    assert (novelty(session, np.stack(others).astype(np.uint8)) > fitted.novelty.threshold).all()


def test_the_graph_says_what_the_network_says(
    model: Classifier, fitted: FittedHeads, session: Session, radiographs: list[Path]
) -> None:
    images = np.asarray(split(radiographs).images[np.arange(8)])
    with torch.inference_mode():
        frozen = model.stages[: fitted.heads.cut](model.normalise(torch.from_numpy(images)))
        scores, orientations = fitted.heads(frozen)
    together, shown = answers(session, images)
    np.testing.assert_allclose(together, scores, rtol=1e-3)
    np.testing.assert_allclose(shown, orientations, atol=1e-3)
    alone = np.concatenate([novelty(session, images[[row]]) for row in range(8)])
    np.testing.assert_allclose(alone, together, rtol=1e-4)


@pytest.mark.parametrize("kind", TURNS)
def test_an_image_shown_wrongly_is_told(
    fitted: FittedHeads, session: Session, radiographs: list[Path], kind: str
) -> None:
    point = next(point for point in fitted.orientations if point.kind == kind)
    wrong = answers(session, changed_images(ImageFiles(radiographs, SPEC, 2), np.arange(60, 90), 30 * [TURNS[kind]]))[1]
    right = answers(session, np.asarray(split(radiographs[60:]).images[np.arange(30)]))[1]
    column = ORIENTATIONS.index(kind)
    assert (wrong[:, column] >= point.threshold).mean() > 0.9
    assert not (right[:, column] >= point.threshold).any()


def test_the_same_images_give_the_same_fit_and_nobodys_random_state_is_touched(
    model: Classifier, fitted: FittedHeads, radiographs: list[Path]
) -> None:
    before, numpys = torch.get_rng_state(), repr(np.random.get_state())
    again = fit(model, radiographs)
    assert torch.equal(torch.get_rng_state(), before)
    assert repr(np.random.get_state()) == numpys
    assert again.novelty == fitted.novelty
    assert again.orientations == fitted.orientations
    for name, value in again.heads.state_dict().items():
        assert torch.equal(value, fitted.heads.state_dict()[name])


@pytest.mark.parametrize("train", [1, 5])
def test_few_images_and_random_weights_give_finite_scores(radiographs: list[Path], train: int) -> None:
    torch.manual_seed(0)
    random = build_classifier("efficientnet_lite0", 3, weights="none").eval()
    found = fit(random, radiographs[:8], train)
    assert np.isfinite(found.novelty.threshold)
    assert 0 <= found.novelty.validation_pass <= 1
    assert all(torch.isfinite(value).all() for value in found.heads.state_dict().values())


@pytest.mark.parametrize(("images_", "rank"), [(1, 1), (15, 15), (100, 98), (1000, 980)])
def test_the_threshold_is_the_least_that_lets_the_wanted_share_pass(images_: int, rank: int) -> None:
    scores = RNG.permutation(np.arange(1.0, images_ + 1))
    assert novelty_threshold(scores, scores / 2) == rank
    assert novelty_threshold(scores / 2, scores) == rank
    assert novelty_threshold(scores, np.zeros(0)) == rank


def test_pooling_is_mean_and_spread_of_each_channel() -> None:
    x = torch.from_numpy(RNG.normal(size=(2, 3, 5, 4)).astype(np.float32))
    expected = torch.cat([x.mean((2, 3)), x.flatten(2).std(2, correction=0)], dim=1)
    torch.testing.assert_close(pooled(x), expected, rtol=1e-3, atol=1e-3)


def test_a_share_of_nothing_is_none_and_of_few_is_wide() -> None:
    assert share(np.zeros(0, bool), []) is None
    none_of_ten = share(np.zeros(10, bool), list("abcdefghij"))
    assert none_of_ten is not None
    assert (none_of_ten.value, none_of_ten.low) == (0, 0)
    assert none_of_ten.high == pytest.approx(0.259, abs=0.001)
