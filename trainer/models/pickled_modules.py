"""Networks that were pickled whole, read without running anything that the file names.

torchxrayvision publishes its weights so. A pickle can call whatever it names; here every class of a network stands for
the same class without methods, what rebuilds tensors does nothing else, and any other name is refused.

PyTorch reads such files with ``weights_only=True`` and a list of classes, except those of PyTorch before 1.6, which
also hold the classes' source code: its ``weights_only`` refuses that. They are read here, from the layout that
``torch.save(..., _use_new_zipfile_serialization=False)`` writes.
"""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

HEADER = [0x1950A86A20F9469CFC6C, 1001]
"""Magic number and version of the layout."""
DTYPES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.LongStorage": torch.int64,
}
CLASSES = [
    *(
        f"{module}.{name}"
        for module in ("torchxrayvision.models", "torchvision.models.densenet")
        for name in ("DenseNet", "_DenseBlock", "_DenseLayer", "_Transition")
    ),
    "torch.nn.modules.activation.ReLU",
    "torch.nn.modules.batchnorm.BatchNorm2d",
    "torch.nn.modules.container.Sequential",
    "torch.nn.modules.conv.Conv2d",
    "torch.nn.modules.linear.Linear",
    "torch.nn.modules.pooling.AvgPool2d",
    "torch.nn.modules.pooling.MaxPool2d",
]
"""What a DenseNet consists of."""


def read_pickled(path: Path) -> Any:
    """What ``torch.save`` wrote; of a whole network its ``state_dict``.

    Raises:
        pickle.UnpicklingError: it names something that is no part of a DenseNet or of a ``state_dict``.
        Exception: it is damaged, or no such file at all; ``torch`` and ``pickle`` raise many kinds.
    """
    part = type("Part", (), {})
    with torch.serialization.safe_globals([(part, name) for name in CLASSES]):
        try:
            content = torch.load(path, weights_only=True, map_location="cpu")
        except pickle.UnpicklingError:
            if zipfile.is_zipfile(path):
                names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
                raise pickle.UnpicklingError(f"it names {', '.join(names)}" if names else "damaged") from None
            with path.open("rb") as file:
                content = _read(file, part)
    return dict(_state(content, part)) if isinstance(content, part) else content


def _state(module: Any, part: type, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of a network made of ``part``."""
    content = vars(module)
    for name, tensor in [*content["_parameters"].items(), *content["_buffers"].items()]:
        if tensor is not None:
            yield prefix + name, tensor.detach()
    for name, child in content["_modules"].items():
        if not isinstance(child, part):
            raise pickle.UnpicklingError(f"{prefix}{name} is no module")
        yield from _state(child, part, f"{prefix}{name}.")


def _read(file: BinaryIO, part: type) -> Any:
    """A file in the layout of PyTorch before 1.6, with ``part`` for every class of :data:`CLASSES`."""
    if [_Unpickler(file, {}).load() for _ in HEADER] != HEADER:
        raise pickle.UnpicklingError("no file of torch.save")
    _Unpickler(file, {}).load()  # the machine's byte order and sizes of numbers
    # Functions of this call alone: whatever the file does to them ends with it.
    known: dict[str, Any] = {
        **DTYPES,
        **dict.fromkeys(CLASSES, part),
        "__builtin__.set": set,  # as protocol 2 names it
        "collections.OrderedDict": OrderedDict,
        "torch._utils._rebuild_parameter": lambda data, *_: data,
        "torch._utils._rebuild_tensor_v2": lambda flat, offset, size, stride, *_: flat.as_strided(size, stride, offset),
    }
    unpickler = _Unpickler(file, known)
    content = unpickler.load()
    for key in _Unpickler(file, {}).load():
        flat = unpickler.storages[key]
        numbers = int.from_bytes(file.read(8), "little")
        if numbers != flat.numel():
            raise pickle.UnpicklingError("damaged")
        if numbers:
            data = bytearray(file.read(numbers * flat.itemsize))
            flat.copy_(torch.frombuffer(data, dtype=flat.dtype, count=numbers))
    return content


class _Unpickler(pickle.Unpickler):
    """Knows the given names and no other; storages are filled later."""

    def __init__(self, file: BinaryIO, known: dict[str, Any]) -> None:
        super().__init__(file)
        self.known = known
        self.storages: dict[str, Tensor] = {}
        """Flat tensors by their key in the file."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.known[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        kind, *content = pid
        if kind == "module":  # a class, the path of its source file, its source code
            return content[0]
        dtype, key, _place, numbers, view = content
        if kind != "storage" or view is not None:
            raise pickle.UnpicklingError("damaged")
        if key not in self.storages:
            self.storages[key] = torch.empty(numbers, dtype=dtype)
        return self.storages[key]
