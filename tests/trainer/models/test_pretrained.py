"""Weights to start from: the hub's, one's own, and what is said where they can't be had or don't fit."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

from trainer.errors import UserError
from trainer.export.onnx import save_weights
from trainer.models.backbones import build_classifier
from trainer.models.classifier import Classifier


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub cache folder that holds torchvision's ResNet-18 file, under its true name, with seeded weights."""
    folder = tmp_path_factory.mktemp("torch") / "hub"
    (folder / "checkpoints").mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(models.resnet18().state_dict(), folder / "checkpoints" / "resnet18-f37072fd.pth")
    return folder


def first_convolution(model: Classifier) -> torch.Tensor:
    return next(module.weight for module in model.modules() if isinstance(module, nn.Conv2d))


def test_imagenet_weights_come_through_torchvisions_own_loader(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(hub.parent))
    model = build_classifier("resnet18", classes=3)
    file = torch.load(hub / "checkpoints" / "resnet18-f37072fd.pth", weights_only=True)
    assert torch.equal(first_convolution(model), file["conv1.weight"])


def test_weights_out_of_reach_name_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
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
