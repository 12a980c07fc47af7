"""Fine class activation maps: what is added keeps the score, and comes from the tail's own gradients."""

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer.export.cam import FineMap, fit_fine_map, gradient_times_activation
from trainer.features.batches import from_cache
from trainer.models.backbones import build_classifier, phase_b_cut

CPU = torch.device("cpu")


@pytest.mark.parametrize(("coarse", "fine"), [((7, 7), (14, 14)), ((3, 3), (6, 6)), ((4, 3), (7, 5))])
def test_a_fine_map_keeps_the_mean_of_the_coarse_one(coarse: tuple[int, int], fine: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    cam = torch.randn(2, 3, *coarse, generator=generator)
    frozen = torch.rand(2, 5, *fine, generator=generator)
    found = FineMap(torch.randn(3, 5, 1, 1, generator=generator))(cam, frozen)
    assert found.shape == (2, 3, *fine)
    torch.testing.assert_close(found.mean(dim=(2, 3)), cam.mean(dim=(2, 3)))


def test_gradient_times_activation_of_a_linear_tail_is_its_class_activation_map() -> None:
    model = build_classifier("efficientnet_lite0", 3, weights="none").eval()
    x = torch.rand(2, 1280, 4, 4)
    tail = torch.nn.Sequential(model.stages[-1], model.head)
    expected = torch.einsum("nkhw,ck->nchw", x, model.head.weight)
    torch.testing.assert_close(gradient_times_activation(tail, x), expected, rtol=1e-4, atol=1e-5)


def test_the_read_out_finds_what_a_tail_looks_at() -> None:
    """Images whose one bright cell in channel 3 makes the class: the fine map's peak is that very cell."""
    torch.manual_seed(0)
    model = build_classifier("efficientnet_lite0", 2, dropout=0, weights="none")
    cut = phase_b_cut("efficientnet_lite0", model)
    rng = np.random.default_rng(0)
    features = rng.uniform(0, 0.3, (1, 96, 112, 6, 6)).astype(np.float16)
    labels = np.arange(96) % 2
    places = rng.integers(0, 36, 96)
    features.reshape(96, 112, 36)[np.arange(96), 3, places] = np.where(labels, 4, 0)
    tail = torch.nn.Sequential(*model.stages[cut:], model.head).train()
    optimizer = torch.optim.Adam(tail.parameters(), 1e-3)
    x = torch.from_numpy(features[0]).float()
    for _ in range(12):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(tail(x), torch.from_numpy(labels)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    state = torch.random.get_rng_state()
    fine_map = fit_fine_map(model, cut, from_cache(features, CPU), 96, seed=1)
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(fine_map.weight, fit_fine_map(model, cut, from_cache(features, CPU), 96, seed=1).weight)
    with torch.inference_mode():
        model.eval()
        coarse = torch.einsum("nkhw,ck->nchw", model.stages[cut:-1](x), model.head.weight)
        found: Tensor = fine_map(coarse, x)
    hits = found[:, 1].flatten(1).argmax(1).numpy() == places
    assert hits[labels == 1].mean() > 0.9
