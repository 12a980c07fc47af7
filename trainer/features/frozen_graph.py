"""The frozen stages as a graph that ONNX Runtime runs on CPUs, in 0.6 of the time that PyTorch takes."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from onnx.utils import Extractor
from onnxruntime import InferenceSession, SessionOptions
from torch import Tensor, nn

from trainer.models.classifier import Classifier
from trainer.models.onnx_program import onnx_program

QUICK = 200_000_000
"""Pixels, of all images and views, from which on the graph is worth the ten seconds of one core that making it takes:
4,000 views of 224×224."""


class _FrozenStages(nn.Module):
    """Grey images N×S×S in [0, 255] to the outputs of the stages before each cut."""

    def __init__(self, model: Classifier, stages: nn.Sequential, cuts: Sequence[int]) -> None:
        super().__init__()
        self.model, self.stages, self.cuts = model, stages, cuts

    def forward(self, images: Tensor) -> list[Tensor]:
        x, outputs = self.model.normalise(images), []
        for first, end in pairwise([0, *self.cuts]):
            x = self.stages[first:end](x)
            outputs.append(x)
        return outputs


def frozen_graph(
    model: Classifier, stages: nn.Sequential, cuts: Sequence[int], image_size: int
) -> Callable[[Tensor, Sequence[int]], list[Tensor]]:
    """What computes the outputs of frozen stages before the first cuts; several threads may call it at once.

    Args:
        model: whose normalisation comes first.
        stages: on the CPU, in evaluation mode and without gradients.
        cuts: indices into the stages, ascending. It is asked for all of them or for the first ones.
        image_size: S, side of the images N×S×S that it takes, ``float32`` or ``uint8``.
    """
    graph = _FrozenStages(model, stages, cuts).eval()
    program = onnx_program(graph, torch.zeros(2, image_size, image_size), [str(cut) for cut in cuts])
    options = SessionOptions()
    options.intra_op_num_threads = 1  # each caller's thread
    sessions = {}
    for end in range(1, len(cuts) + 1):
        part = Extractor(program).extract_model(["images"], [str(cut) for cut in cuts[:end]])
        sessions[end] = InferenceSession(part.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def outputs(images: Tensor, wanted: Sequence[int]) -> list[Tensor]:
        return [torch.from_numpy(x) for x in sessions[len(wanted)].run(None, {"images": images.float().numpy()})]

    return outputs
