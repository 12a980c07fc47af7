"""A network as an ONNX graph."""

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn


def onnx_program(graph: nn.Module, example: Tensor, outputs: Sequence[str]) -> Any:
    """The graph of a module that takes ``images``, N×… with a dynamic N, as an ONNX ``ModelProto``.

    Args:
        graph: in evaluation mode, on the CPU.
        example: of its input, with an N of 2 or more.
        outputs: their names.
    """
    graph = deepcopy(graph)
    for module in graph.modules():
        # Half of the exporter's time for a ReLU6: what works in place is traced anew as a chain of smaller operations.
        if isinstance(module, nn.Hardtanh | nn.ReLU | nn.SiLU):
            module.inplace = False
    # The exporter narrates on standard output and in its log, and warns of its own deprecations.
    for name in ("torch.onnx", "onnxscript"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program: Any = torch.onnx.export(
            graph,
            (example,),
            input_names=["images"],
            output_names=list(outputs),
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1, max=4096)}},
            dynamo=True,
            verbose=False,
        )
    return program.model_proto
