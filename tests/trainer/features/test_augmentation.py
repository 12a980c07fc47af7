"""Augmentation: what a view may and may not change."""

import torch

from trainer.features.augmentation import Augmentation

NONE = Augmentation(rotation=0, shift=0, scale=0, exposure=0, sharpness=0, noise=0, flip=False)
FULL = Augmentation(rotation=7, shift=0.05, scale=0.1, exposure=0.25, sharpness=1, noise=0.1, flip=False)


def radiographs(n: int = 4) -> torch.Tensor:
    return torch.randint(0, 256, (n, 48, 48), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)


def test_nothing_allowed_changes_nothing() -> None:
    images = radiographs()
    torch.testing.assert_close(NONE.apply(images, NONE.draw(4, 1)), images.float(), atol=0.02, rtol=0)


def test_views_are_a_function_of_the_seed_alone_and_differ() -> None:
    images = radiographs()
    one, again, other = (FULL.apply(images, FULL.draw(4, seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert (one - other).abs().mean() > 1
    assert one.min() >= 0
    assert one.max() <= 255


def test_a_view_does_not_depend_on_its_neighbours() -> None:
    images, random = radiographs(), FULL.draw(4, 5)
    whole = FULL.apply(images, random)
    torch.testing.assert_close(FULL.apply(images[2:3], random[2:3])[0], whole[2])


def test_the_heart_stays_on_its_side_unless_mirroring_is_asked_for() -> None:
    images = torch.zeros(64, 32, 32, dtype=torch.uint8)
    images[:, 10:22, 20:30] = 200
    right = FULL.apply(images, FULL.draw(64, 1))[:, :, 16:].sum(dim=(1, 2))
    left = FULL.apply(images, FULL.draw(64, 1))[:, :, :16].sum(dim=(1, 2))
    assert bool((right > left).all())
    mirroring = Augmentation(rotation=7, shift=0.05, scale=0.1, exposure=0.25, sharpness=1, noise=0, flip=True)
    views = mirroring.apply(images, mirroring.draw(64, 1))
    mirrored = views[:, :, :16].sum(dim=(1, 2)) > views[:, :, 16:].sum(dim=(1, 2))
    assert 10 < int(mirrored.sum()) < 54


def test_some_views_get_noise_and_others_none() -> None:
    grainy = Augmentation(rotation=0, shift=0, scale=0, exposure=0, sharpness=0, noise=0.1, flip=False)
    images = torch.full((64, 600, 20), 128, dtype=torch.uint8)  # higher than the field that noise is taken from
    deviation = grainy.apply(images, grainy.draw(64, 1)).std(dim=(1, 2)) / 255
    assert 16 < int((deviation < 1e-3).sum()) < 48
    assert 0.05 < float(deviation.max()) < 0.11


def test_rotation_keeps_shapes_square() -> None:
    turn = Augmentation(rotation=45, shift=0, scale=0, exposure=0, sharpness=0, noise=0, flip=False)
    image = torch.zeros(1, 65, 65, dtype=torch.uint8)
    image[:, 20:45, 20:45] = 255
    view = turn.apply(image, torch.ones(1, 13))
    assert abs(float(view.sum() / image.float().sum()) - 1) < 0.02  # a rotation keeps areas


def test_sharpness_takes_detail_away_or_adds_some() -> None:
    blurring = Augmentation(rotation=0, shift=0, scale=0, exposure=0, sharpness=1, noise=0, flip=False)
    images, random = radiographs(2), torch.zeros(2, 13)
    random[:, 7] = torch.tensor([1.0, -1.0])
    blurred, sharpened = blurring.apply(images * 0.5 + 64, random).std(dim=(1, 2))
    plain = (images * 0.5 + 64).std(dim=(1, 2))
    assert blurred < plain[0] / 2
    assert sharpened > plain[1] * 1.1
