"""The classifier: what prefix and tail compute, and how images are normalised."""

import pytest
import torch
from torchvision.transforms import v2

from trainer.models.backbones import BACKBONES, build_classifier, phase_b_cut
from trainer.models.classifier import Tail


@pytest.mark.parametrize("name", BACKBONES)
def test_prefix_then_tail_is_the_whole_network_at_every_cut(name: str) -> None:
    torch.manual_seed(0)
    model = build_classifier(name, classes=4, weights="none").eval()
    images = torch.randint(0, 256, (2, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        whole = model(images)
        assert whole.shape == (2, 4)
        for cut in (0, phase_b_cut(name, model), len(model.stages)):
            parts = Tail(model, cut)(model.stages[:cut](model.normalise(images)))
            torch.testing.assert_close(parts, whole)


def test_normalise_is_torchvisions_on_three_equal_channels() -> None:
    model = build_classifier("resnet18", classes=2, weights="none")
    grey = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    reference = v2.functional.normalize(
        grey.unsqueeze(1).expand(-1, 3, -1, -1) / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    )
    torch.testing.assert_close(model.normalise(grey), reference)
