"""Backbones: the table and its cuts."""

from typing import get_args

import pytest

from trainer.models.backbones import BACKBONES, phase_b_cut
from trainer.models.classifier import Classifier
from trainer.settings import Settings


def test_the_setting_offers_exactly_the_rows_of_the_table() -> None:
    assert set(get_args(Settings.model_fields["backbone"].annotation)) == set(BACKBONES)


@pytest.mark.parametrize(
    ("name", "submodule"),
    [
        ("efficientnet_b0", "features.6"),
        ("efficientnet_lite0", "features.6"),
        ("resnet18", "layer4"),
        ("resnet50", "layer4"),
    ],
)
def test_phase_b_starts_at_the_stage_that_the_reference_names(name: str, submodule: str) -> None:
    row = BACKBONES[name]
    network = row.build()
    model = Classifier(row.stages(network), row.embedding_size, 3)
    assert model.stages[phase_b_cut(name, model)] is network.get_submodule(submodule)
