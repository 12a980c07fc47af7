"""The frozen-prefix cache: it holds what the prefix computes, under a key of all that determines it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainer.data.sample import generate
from trainer.features.augmentation import Augmentation
from trainer.features.batches import from_cache, from_images
from trainer.features.prefix_cache import Prefix, Views, prefix_outputs
from trainer.features.store import Store
from trainer.models.backbones import build_classifier
from trainer.models.classifier import Classifier, Tail
from trainer.types import Array

CPU = torch.device("cpu")
AUGMENTATION = Augmentation(rotation=7, shift=0.05, scale=0.1, exposure=0.25, sharpness=1, noise=0, flip=False)
VIEWS = Views(AUGMENTATION, count=3, seed=1)


@pytest.fixture(scope="module")
def model() -> Classifier:
    torch.manual_seed(0)
    return build_classifier("resnet18", classes=3, weights="none").eval()


@pytest.fixture(scope="module")
def images() -> Array:
    return np.stack([radiograph.pixels for radiograph in generate(5, 64, hospitals=2, seed=1)])


def outputs(model: Classifier, images: Array, cache: Path, **changes: Any) -> list[Array]:
    arguments: dict[str, Any] = {"key": "k", "views": VIEWS} | changes
    return prefix_outputs(Prefix(model, (4, 6), CPU), images, store=Store(cache, 0), **arguments)


def test_the_cache_holds_what_the_prefix_computes(model: Classifier, images: Array, tmp_path: Path) -> None:
    maps, embeddings = outputs(model, images, tmp_path, views=Views())
    assert maps.shape[:2] == embeddings.shape[:2] == (1, 5)
    with torch.inference_mode():
        x = model.stages[:4](model.normalise(torch.from_numpy(images)))
        np.testing.assert_allclose(maps[0], x.numpy(), rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(embeddings[0], model.stages[4:](x).numpy(), rtol=5e-3, atol=5e-3)


def test_many_views_are_computed_by_onnx_runtime_and_are_the_same(
    model: Classifier, images: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = outputs(model, images, tmp_path / "pytorch")
    few = Prefix(model, (4, 6), CPU)
    assert few.quick(64, 15) == few.outputs
    monkeypatch.setattr("trainer.features.prefix_cache.QUICK", 15 * 64**2)
    assert few.quick(64, 15) != few.outputs
    quick = outputs(model, images, tmp_path / "onnx")
    for one, other in zip(plain, quick, strict=True):
        np.testing.assert_allclose(other, one, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("quick", [False, True])
def test_fewer_views_of_the_last_cut_are_the_first_of_all(
    quick: bool, model: Classifier, images: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if quick:
        monkeypatch.setattr("trainer.features.prefix_cache.QUICK", 15 * 64**2)
    every, few = outputs(model, images, tmp_path), outputs(model, images, tmp_path, last=2)
    assert [len(array) for array in every] == [3, 3]
    assert [len(array) for array in few] == [3, 2]
    np.testing.assert_array_equal(few[0], every[0])
    np.testing.assert_allclose(few[1], every[1][:2], rtol=2e-3, atol=2e-3)


def test_views_are_the_image_and_the_augmentations_of_their_seed(
    model: Classifier, images: Array, tmp_path: Path
) -> None:
    maps, _ = outputs(model, images, tmp_path)
    (plain,) = outputs(model, images, tmp_path, views=Views())[:1]
    radiographs = torch.from_numpy(images)
    np.testing.assert_array_equal(maps[0], plain[0])
    for view in range(1, VIEWS.count):
        drawn = AUGMENTATION.apply(radiographs, AUGMENTATION.draw(5, 1_000_003 + view))
        with torch.inference_mode():
            augmented = model.stages[:4](model.normalise(drawn)).numpy()
        assert (np.abs(augmented - plain[0]).mean(axis=(1, 2, 3)) > 0.005).all()
        np.testing.assert_allclose(maps[view], augmented, rtol=2e-3, atol=2e-3)


def test_fresh_views_are_those_of_the_cache(model: Classifier, images: Array, tmp_path: Path) -> None:
    cached = from_cache(outputs(model, images, tmp_path)[0], CPU)
    fresh = from_images(images, Prefix(model, (4, 6), CPU), 4, VIEWS)
    for rows, wanted in (
        (np.array([0, 3, 4]), np.array([2, 0, 1])),
        (np.array([1, 2]), 0),
        (np.array([2]), 2),
    ):
        torch.testing.assert_close(fresh(rows, wanted), cached(rows, wanted), rtol=2e-3, atol=2e-3)


def test_cached_and_uncached_training_of_the_tail_give_the_same_gradients(model: Classifier, images: Array) -> None:
    """For the same views, in float32: what is frozen adds nothing to the tail's gradients."""
    x, y = torch.from_numpy(images), torch.tensor([0, 1, 2, 0, 1])
    gradients = []
    for cached in (False, True):
        model.requires_grad_(True)
        model.zero_grad()
        if cached:
            with torch.inference_mode():
                prefix = model.stages[:4](model.normalise(x))
            logits = Tail(model, 4)(prefix.clone())
        else:
            logits = model(x)
        torch.autograd.backward(torch.nn.functional.cross_entropy(logits, y))
        gradients.append([p.grad.clone() for p in Tail(model, 4).parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 10
    for plain, of_cache in zip(*gradients, strict=True):
        torch.testing.assert_close(of_cache, plain, rtol=1e-5, atol=1e-5)


def test_the_same_key_is_reused_and_any_change_makes_another(model: Classifier, images: Array, tmp_path: Path) -> None:
    outputs(model, images, tmp_path)
    first = {path: path.stat().st_ino for path in tmp_path.iterdir()}
    outputs(model, images, tmp_path)
    assert {path: path.stat().st_ino for path in tmp_path.iterdir()} == first
    other = build_classifier("resnet18", classes=3, weights="none").eval()
    for changed, changes in (
        (model, {"views": replace(VIEWS, seed=2)}),
        (model, {"views": replace(VIEWS, count=2)}),
        (model, {"views": replace(VIEWS, augmentation=replace(AUGMENTATION, rotation=8))}),
        (model, {"key": "l"}),
        (other, {}),
    ):
        before = len(list(tmp_path.iterdir()))
        outputs(changed, images, tmp_path, **changes)
        assert len(list(tmp_path.iterdir())) == before + 2, changes


def test_another_head_or_classes_do_not_spoil_the_cache(model: Classifier, images: Array, tmp_path: Path) -> None:
    outputs(model, images, tmp_path)
    other = build_classifier("resnet18", classes=7, weights="none").eval()
    other.stages.load_state_dict(model.stages.state_dict())
    outputs(other, images, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_cache_does_not_depend_on_the_number_of_threads(model: Classifier, tmp_path: Path) -> None:
    radiographs = np.stack([radiograph.pixels for radiograph in generate(70, 64, hospitals=2, seed=2)])
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(outputs(model, radiographs, tmp_path / str(threads)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)
