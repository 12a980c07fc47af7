"""Backbones: the table, its cuts, and what is true of every row."""

from typing import get_args

import pytest
import torch

from tests.support.networks import as_if_trained
from trainer import backbone_names
from trainer.models.backbones import BACKBONES, build_classifier, phase_b_cut
from trainer.models.classifier import Classifier, Tail, folded
from trainer.models.pretrained import CHEST_WEIGHTS
from trainer.settings import Settings

STARTS = {
    "densenet121": "features.denseblock3",
    "efficientnet_b0": "features.6",
    "efficientnet_b1": "features.6",
    "efficientnet_b2": "features.6",
    "efficientnet_b3": "features.6",
    "efficientnet_lite0": "features.6",
    "efficientnet_v2_s": "features.6",
    "regnet_y_800mf": "trunk_output.block4",
    "resnet18": "layer4",
    "resnet50": "layer4",
}


@pytest.fixture(scope="module", params=BACKBONES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(name: str) -> Classifier:
    torch.manual_seed(0)
    model = build_classifier(name, classes=4, dropout=0, weights="none")
    as_if_trained(model)
    return model.eval()


def test_the_setting_offers_exactly_the_rows_of_the_table() -> None:
    assert set(get_args(Settings.model_fields["backbone"].annotation)) == set(BACKBONES)
    assert set(backbone_names.CHEST_WEIGHTS) == set(CHEST_WEIGHTS)
    assert [name for name, row in BACKBONES.items() if row.grey] == [backbone_names.CHEST_BACKBONE]


def test_phase_b_starts_at_the_stage_that_the_reference_names(name: str) -> None:
    row = BACKBONES[name]
    network = row.build()
    model = Classifier(row.stages(network), row.embedding_size, 3)
    assert model.stages[phase_b_cut(name, model)] is network.get_submodule(STARTS[name])


def test_what_is_frozen_ends_in_maps_of_14_cells(name: str, model: Classifier) -> None:
    """Heat maps are as fine as these."""
    with torch.inference_mode():
        maps = model.stages[: phase_b_cut(name, model)](model.normalise(torch.zeros(1, 224, 224)))
    assert maps.shape[2:] == (14, 14)


def test_stages_are_the_whole_network(name: str) -> None:
    """Up to its own pooling and last layer: what torchvision computes of the same weights."""
    row = BACKBONES[name]
    network = row.build().eval()
    as_if_trained(network)
    images = torch.rand(2, 3, 64, 64)
    seen: list[torch.Tensor] = []
    last = [module for module in network.modules() if isinstance(module, torch.nn.Linear)][-1]
    last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        network(images)
        torch.testing.assert_close(Classifier(row.stages(network), row.embedding_size, 3).stages(images), seen[0])


def test_folded_stages_are_the_stages(model: Classifier) -> None:
    images = model.normalise(torch.randint(0, 256, (2, 64, 64)))
    norms = sum(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    fewer = folded(model.stages)
    assert sum(isinstance(module, torch.nn.BatchNorm2d) for module in fewer.modules()) < norms / 1.9
    with torch.inference_mode():
        torch.testing.assert_close(fewer(images), model.stages(images), rtol=1e-3, atol=1e-4)


def test_phase_b_moves_the_tail_and_nothing_before_it(name: str, model: Classifier) -> None:
    model.requires_grad_(False)
    cut = phase_b_cut(name, model)
    tail = Tail(model, cut).requires_grad_(True)
    torch.autograd.backward(
        tail(model.stages[:cut](model.normalise(torch.randint(0, 256, (2, 64, 64))))).square().sum()
    )
    moved = {id(one) for one in model.parameters() if one.grad is not None and one.grad.abs().sum() > 0}
    assert moved == {id(one) for one in tail.parameters()}
    model.zero_grad()
