"""Backbones: the table, its weights, its cuts."""

from pathlib import Path
from typing import get_args

import pytest
import torch
from sklearn.datasets import load_sample_images
from torch import nn
from torchvision import models
from torchvision.transforms import v2

from trainer.errors import UserError
from trainer.export.onnx import save_weights
from trainer.models.backbones import BACKBONES, Classifier, Tail, build_classifier, phase_b_cut
from trainer.settings import Settings


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub cache folder that holds torchvision's ResNet-18 file, under its true name, with seeded weights."""
    folder = tmp_path_factory.mktemp("hub")
    (folder / "checkpoints").mkdir()
    torch.manual_seed(0)
    torch.save(models.resnet18().state_dict(), folder / "checkpoints" / "resnet18-f37072fd.pth")
    return folder


def first_convolution(model: Classifier) -> torch.Tensor:
    return next(module.weight for module in model.modules() if isinstance(module, nn.Conv2d))


def test_the_setting_offers_exactly_the_rows_of_the_table() -> None:
    assert set(get_args(Settings.model_fields["backbone"].annotation)) == set(BACKBONES)


def test_lite0_with_its_packaged_weights_recognises_photographs() -> None:
    network = BACKBONES["efficientnet_lite0"].build()
    network.load_state_dict(BACKBONES["efficientnet_lite0"].imagenet())
    names = models.EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]
    transform = v2.Compose([v2.ToImage(), v2.Resize(256), v2.CenterCrop(224)])
    batch = torch.stack([transform(image.copy()) for image in load_sample_images().images]).float() / 127.5 - 1
    with torch.inference_mode():
        found = network.eval()(batch).argmax(dim=1).tolist()
    assert [names[index] for index in found] == ["palace", "daisy"]


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


def test_normalise_is_torchvisions_on_three_equal_channels() -> None:
    model = build_classifier("resnet18", classes=2, weights="none")
    grey = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    reference = v2.functional.normalize(
        grey.unsqueeze(1).expand(-1, 3, -1, -1) / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    )
    torch.testing.assert_close(model.normalise(grey), reference)


def test_imagenet_weights_come_through_torchvisions_own_loader(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(hub))
    model = build_classifier("resnet18", classes=3)
    file = torch.load(hub / "checkpoints" / "resnet18-f37072fd.pth", weights_only=True)
    assert torch.equal(first_convolution(model), file["conv1.weight"])


def test_weights_out_of_reach_name_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    # A proxy that refuses at once stands for a machine without a network, whatever this one has.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"can't be downloaded.*--weights FILE.*efficientnet_lite0.*--weights none"):
        build_classifier("resnet18", classes=3)


def test_own_weights_come_back_and_a_head_of_another_size_is_left_out(tmp_path: Path) -> None:
    model = build_classifier("resnet18", classes=3, weights="none")
    save_weights(model, tmp_path / "weights.safetensors")
    same = build_classifier("resnet18", classes=3, weights=str(tmp_path / "weights.safetensors"))
    assert torch.equal(same.head.weight, model.head.weight)
    other = build_classifier("resnet18", classes=5, weights=str(tmp_path / "weights.safetensors"))
    assert other.head.out_features == 5
    assert torch.equal(first_convolution(other), first_convolution(model))


def test_a_plain_torchvision_state_dict_is_taken(tmp_path: Path) -> None:
    network = models.resnet18(num_classes=7)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    model = build_classifier("resnet18", classes=3, weights=str(tmp_path / "w.pth"))
    assert torch.equal(first_convolution(model), network.conv1.weight)


def test_weights_that_do_not_fit_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"a": 1}, tmp_path / "other.pth")
    torch.save(models.resnet18().state_dict(), tmp_path / "resnet.pth")
    for file, words in (("text.pth", "not a readable"), ("other.pth", "no plain state_dict")):
        with pytest.raises(UserError, match=words):
            build_classifier("resnet18", 3, weights=str(tmp_path / file))
    with pytest.raises(UserError, match="does not fit efficientnet_lite0"):
        build_classifier("efficientnet_lite0", 3, weights=str(tmp_path / "resnet.pth"))
