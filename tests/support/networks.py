"""Networks with random weights, and files of them as torchxrayvision publishes its own."""

import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models import densenet


def as_if_trained(network: nn.Module) -> None:
    """Give BatchNorms what they have after training: with fresh ones, errors in their use would not show."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            nn.init.normal_(norm.running_mean, 0, 0.1)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, 0, 0.1)


def shorten(network: nn.Module) -> None:
    """Leave two of the equal blocks of each stage of an EfficientNet, ResNet or RegNet."""
    for stage in network.modules():
        kinds = {type(block) for block in stage.children()}
        if isinstance(stage, nn.Sequential) and len(kinds) == 1 and not issubclass(kinds.pop(), nn.Sequential):
            del stage[2:]


def grey_densenet() -> nn.Module:
    """A DenseNet-121 with one input channel and 18 outputs, as torchxrayvision's."""
    network: nn.Module = models.densenet121(num_classes=18)
    convolution = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    nn.init.normal_(convolution.weight, 0, 1e-4)  # for values from -1024 to 1024
    network.get_submodule("features").conv0 = convolution
    as_if_trained(network)
    return network.eval()


def save_as_torchxrayvision(network: nn.Module, path: Path, monkeypatch: pytest.MonkeyPatch, old: bool = True) -> None:
    """Pickle a whole DenseNet under the names of torchxrayvision's classes.

    Args:
        old: in the layout of PyTorch before 1.6, which its published files have.
    """
    package = ModuleType("torchxrayvision.models")
    for name in ("DenseNet", "_DenseBlock", "_DenseLayer", "_Transition"):
        setattr(package, name, type(name, (getattr(densenet, name),), {"__module__": package.__name__}))
    monkeypatch.setitem(sys.modules, "torchxrayvision", ModuleType("torchxrayvision"))
    monkeypatch.setitem(sys.modules, package.__name__, package)
    for part in network.modules():
        part.__class__ = getattr(package, type(part).__name__, type(part))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the classes above have no source code that could be saved
        torch.save(network, path, _use_new_zipfile_serialization=not old)


def torchxrayvision_features(network: nn.Module, images: Tensor) -> Tensor:
    """Pooled features N×1024 of grey images N×H×W in [0, 255], in torchxrayvision's own words."""
    scaled = (2 * (images.float() / 255) - 1) * 1024
    with torch.inference_mode():
        return torch.relu(network.get_submodule("features")(scaled.unsqueeze(1))).mean(dim=(2, 3))
