"""Gradients of depthwise convolutions with wide kernels, by a faster way on CPUs.

oneDNN has fast code for the weights' gradient of kernels that are up to three wide; of one that is five wide it takes
six to eight times as long, a quarter of a training step of an EfficientNet's last blocks. A wide kernel's gradient is
that of its columns, three at a time, side by side: the same sums.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

COLUMNS = 3
"""The widest kernel with fast code."""
Pair = tuple[int, int]
"""Down and right."""


class NarrowGradients(TorchFunctionMode):
    """In such a block, wide depthwise convolutions whose weights are trained on a CPU get their gradient quickly."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        return (_conv2d if func is F.conv2d else func)(*args, **(kwargs or {}))


def _conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair | int = 1,
    padding: Pair | int | str = 0,
    dilation: Pair | int = 1,
    groups: int = 1,
) -> Tensor:
    wide = groups == x.shape[1] == weight.shape[0] and weight.shape[3] > COLUMNS
    trained = weight.requires_grad and torch.is_grad_enabled() and x.device.type == "cpu"
    if wide and trained and bias is None and _pair(dilation) == (1, 1) and not isinstance(padding, str):
        result: Tensor = _WideDepthwise.apply(x, weight, _pair(stride), _pair(padding))
        return result
    return F.conv2d(x, weight, bias, stride, padding, dilation, groups)


def _pair(value: Pair | int) -> Pair:
    return (value, value) if isinstance(value, int) else value


class _WideDepthwise(torch.autograd.Function):
    """A depthwise convolution N×C×H×W with C×1×h×w weights."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = _gradients(gradient, x, weight, ctx.stride, ctx.padding, (True, False, False))[0]
        down, right = ctx.padding
        parts = []
        for first in range(0, weight.shape[3], COLUMNS):
            part = weight[..., first : first + COLUMNS]
            # The columns of x that these columns of the kernel see: one place for each of the gradient's.
            start = first - right
            end = start + (gradient.shape[3] - 1) * ctx.stride[1] + part.shape[3]
            seen = F.pad(x, (-start, end - x.shape[3]))
            parts.append(_gradients(gradient, seen, part, ctx.stride, (down, 0), (False, True, False))[1])
        return of_x, torch.cat(parts, dim=3), None, None


def _gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """A depthwise convolution's gradients of x, weight and bias, as far as they are wanted.

    ``torch.nn.grad`` asks for the same, but stands in for x and weight in a layout that is slow.
    """
    gradients: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, stride, padding, (1, 1), False, (0, 0), len(weight), wanted
    )
    return gradients
