"""What is set for a device, as far as it can be seen without a GPU."""

import pytest
import torch

from trainer.device import full_precision, prepare, side_by_side, to_device
from trainer.errors import UserError

CPU = torch.device("cpu")


def test_full_precision_forbids_tf32_and_gives_it_back() -> None:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    kept = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = True
    try:
        with full_precision():
            assert not matmul.allow_tf32
            assert not cudnn.allow_tf32
        assert matmul.allow_tf32
        assert cudnn.allow_tf32
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = kept


def test_on_a_cpu_nothing_is_copied() -> None:
    x = torch.ones(3)
    assert to_device(x, CPU) is x


def test_parts_are_answered_in_their_order_and_errors_come_through() -> None:
    assert list(side_by_side(lambda part: part * 2, range(50), CPU)) == [2 * part for part in range(50)]
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(lambda part: 1 // part, [1, 0], CPU))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_said_in_one_line() -> None:
    with pytest.raises(UserError, match="sees no GPU; give --device cpu"):
        prepare("cuda")
