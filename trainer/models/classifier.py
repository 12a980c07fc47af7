"""The classifier: normalisation, a backbone's stages, pooling and a linear head; and the part of it that is trained."""

from copy import deepcopy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from trainer.models.depthwise import NarrowGradients

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each input channel, for values in [0, 1]."""
IMAGENET: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class GlobalAveragePool(nn.Module):
    """``N×D×h×w`` to the embedding ``N×D``."""

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            # The mean's own gradient has another layout in memory, with which the last block's takes a tenth longer.
            x.register_hook(_in_channels_last)  # type: ignore[no-untyped-call]
        return x.mean(dim=(2, 3))


def _in_channels_last(gradient: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=torch.channels_last)


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
        normalisation: Normalisation = IMAGENET,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.normalise_by(normalisation)
        self.stages = nn.Sequential(*blocks, GlobalAveragePool())
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(embedding_size, classes)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def normalise_by(self, normalisation: Normalisation) -> None:
        """Feed the backbone as many channels as ``normalisation`` has, each the grey image with its mean and spread."""
        for name, values in zip(("mean", "std"), normalisation, strict=True):
            self.register_buffer(name, 255 * torch.tensor(values).view(1, -1, 1, 1), persistent=False)

    def normalise(self, images: Tensor) -> Tensor:
        """Grey ``N×H×W`` in [0, 255], any dtype, to ``float32`` ``N×K×H×W`` as the backbone was pre-trained on."""
        return (images.float().unsqueeze(1) - self.mean) / self.std

    def forward(self, images: Tensor) -> Tensor:
        """Grey images ``N×H×W`` in [0, 255] to logits ``N×C``."""
        logits: Tensor = self.head(self.dropout(self.stages(self.normalise(images))))
        return logits


class Tail(nn.Module):
    """The trained part of a :class:`Classifier` from ``cut`` on; shares its parameters.

    ``batch_norm`` is the momentum with which its BatchNorm statistics follow the images; with 0 they stay those of the
    weights it started from. What a backbone's authors chose for millions of steps would lag behind whole epochs here.

    The first ``frozen`` of its stages are run and not trained: they are part of it because the cache ends before them.
    """

    def __init__(self, model: Classifier, cut: int, batch_norm: float = 0.0, frozen: int = 0) -> None:
        super().__init__()
        self.stages = model.stages[cut:]
        self.dropout = model.dropout
        self.head = model.head
        self.batch_norm = batch_norm
        self.frozen = frozen
        self.requires_grad_(True)
        self.stages[:frozen].requires_grad_(False)
        for norm in self._norms():
            norm.momentum = batch_norm

    def _norms(self) -> list[nn.BatchNorm2d]:
        return [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]

    def train(self, mode: bool = True) -> "Tail":
        """Dropout, stochastic depth and BatchNorm as ``mode`` says; without momentum BatchNorm in evaluation mode."""
        super().train(mode)
        self.stages[: self.frozen].eval()
        if not self.batch_norm:
            for norm in self._norms():
                norm.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """The prefix's output (``N×…``) to logits ``N×C``."""
        with NarrowGradients():
            logits: Tensor = self.head(self.dropout(self.stages(x)))
        return logits


def folded(stages: nn.Sequential) -> nn.Sequential:
    """A copy of stages whose BatchNorms are part of the convolutions before them: the same to rounding.

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
