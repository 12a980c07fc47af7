"""The space: only the tail's settings, around those that were given."""

import optuna
import pytest

from trainer.search.space import AUGMENTATION, STRENGTHS, at_strength, space_of
from trainer.settings import Settings

FROZEN = {"backbone", "weights", "image_size", "crop", "contrast", "views", "cache", "batch_size", "seed"}


def _trial(point: dict[str, object]) -> optuna.trial.FixedTrial:
    return optuna.trial.FixedTrial(point)


@pytest.mark.parametrize("given", [{}, {"lr_b": 0.0123456, "epochs_b": 5, "site_prior": 1.7, "dropout": 0.35}])
def test_the_default_point_is_the_settings_as_given(given: dict[str, object]) -> None:
    base = Settings.model_validate({"backbone": "efficientnet_lite0", **given})
    space = space_of(base, sites=3)
    point = space.suggest(_trial(space.default))  # raises what is out of range
    assert space.settings(point).model_copy(update={"blocks_b": None}) == base


def test_nothing_is_searched_that_the_frozen_stages_depend_on() -> None:
    space = space_of(Settings(), sites=3)
    assert not FROZEN & set(space.default)
    assert {"lr_a", "lr_b", "site_prior", "dropout", "epochs_b", "blocks_b", AUGMENTATION} <= set(space.default)


def test_one_site_has_no_prior_and_a_single_block_has_no_number_of_blocks() -> None:
    space = space_of(Settings(backbone="resnet18"), sites=1, strengths=(1.0,))
    assert not {"site_prior", "blocks_b", "block_lr_factor", AUGMENTATION} & set(space.default)
    assert "epochs_b" not in space_of(Settings(epochs_b=0), sites=1).default


def test_every_strength_of_the_augmentation_is_one_that_the_settings_allow() -> None:
    for strength in STRENGTHS:
        stronger = at_strength(Settings(rotation=40, exposure=0.8), strength)
        assert Settings.model_validate(stronger.model_dump()) == stronger
    assert at_strength(Settings(), 0.5).rotation == Settings().rotation / 2


def test_a_number_is_written_with_the_digits_that_were_trained_with() -> None:
    space = space_of(Settings(), sites=3)
    used = space.suggest(_trial(space.default | {"lr_b": 0.00123456}))
    assert used["lr_b"] == 0.00123
