"""EfficientNet-Lite0, which torchvision does not have: built from torchvision's blocks."""

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.efficientnet import EfficientNet, MBConv, MBConvConfig


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "SAME" padding, which at stride 2 is not symmetric."""

    def forward(self, input: Tensor) -> Tensor:
        pads: list[int] = []
        for axis in (1, 0):
            size, kernel, stride = input.shape[2 + axis], self.kernel_size[axis], self.stride[axis]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(input, pads), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def efficientnet_lite0() -> EfficientNet:
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
    # Private: torchvision does not list MBConv and its configuration as public. Without them, no EfficientNet-Lite0.
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
