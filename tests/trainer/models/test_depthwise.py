"""The quick gradient of wide depthwise convolutions is the plain one."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainer.models.backbones import build_classifier, phase_b_cut
from trainer.models.classifier import Tail
from trainer.models.depthwise import NarrowGradients


def gradients(convolution: nn.Conv2d, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Output, and gradients of its squares' sum, of input and weights."""
    x = x.detach().requires_grad_(True)
    out = convolution(x)
    of_x, of_weight = torch.autograd.grad(out.square().sum(), (x, convolution.weight))
    return out, of_x, of_weight


@pytest.mark.parametrize("kernel", [4, 5, (3, 7), (5, 4)])
@pytest.mark.parametrize(("stride", "padding"), [(1, 2), (2, 0), ((1, 2), (0, 1))])
def test_gradients_are_the_plain_ones(
    kernel: int | tuple[int, int], stride: int | tuple[int, int], padding: int | tuple[int, int]
) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(6, 6, kernel, stride, padding, groups=6, bias=False).double()
    x = torch.randn(3, 6, 11, 12, dtype=torch.double).contiguous(memory_format=torch.channels_last)
    plain = gradients(convolution, x)
    with NarrowGradients():
        quick = gradients(convolution, x)
    torch.testing.assert_close(quick, plain)


def test_the_gradient_of_weights_alone_is_the_plain_one() -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(4, 1, 5, 5, requires_grad=True), torch.randn(2, 4, 9, 9)
    (plain,) = torch.autograd.grad(F.conv2d(x, weight, groups=4).square().sum(), weight)
    with NarrowGradients():
        (quick,) = torch.autograd.grad(F.conv2d(x, weight, groups=4).square().sum(), weight)
    torch.testing.assert_close(quick, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(4, 8, 5, padding="same"),
        nn.Conv2d(4, 4, 5, groups=4),
        nn.Conv2d(4, 4, 5, groups=4, dilation=2, bias=False),
        nn.Conv2d(4, 4, 3, groups=4, bias=False),
    ],
    ids=["not depthwise", "with a bias", "dilated", "narrow"],
)
def test_other_convolutions_are_left_alone(other: nn.Conv2d) -> None:
    x = torch.randn(2, 4, 12, 12)
    with NarrowGradients():
        assert type(other(x).grad_fn).__name__ == "ConvolutionBackward0"


def test_a_tail_uses_them_and_has_the_gradients_of_the_blocks_without() -> None:
    torch.manual_seed(0)
    model = build_classifier("efficientnet_lite0", 3).double()
    tail = Tail(model, phase_b_cut("efficientnet_lite0", model)).eval().requires_grad_(True)
    x = torch.randn(2, 112, 6, 6, dtype=torch.double).contiguous(memory_format=torch.channels_last)
    quick = torch.autograd.grad(tail(x).square().sum(), list(tail.parameters()))
    plain = torch.autograd.grad(tail.head(tail.stages(x)).square().sum(), list(tail.parameters()))
    torch.testing.assert_close(quick, plain)
