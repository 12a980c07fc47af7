"""Weights to start from: torchvision's for ImageNet, those of an installed package, or a file of the user's."""

from pathlib import Path
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from trainer.errors import UserError
from trainer.models.efficientnet_lite0 import efficientnet_lite0

State = dict[str, Tensor]


def lite0_weights(path: Path) -> State:
    """The ImageNet weights of EfficientNet-Lite0 from a file that has timm's names, under torchvision's names."""
    state: State = torch.load(path, weights_only=True, map_location="cpu")
    # Order and shapes are the same.
    return dict(zip(efficientnet_lite0().state_dict(), state.values(), strict=True))


def hub_weights(weights: WeightsEnum) -> State:
    """ImageNet weights from torchvision's hub, downloaded if need be.

    Raises:
        UserError: they can't be downloaded.
    """
    try:
        state: State = weights.get_state_dict(progress=True, check_hash=True)
    except (URLError, OSError) as error:
        raise UserError(
            f"the ImageNet weights {weights} can't be downloaded ({error}); ways out: put the file from "
            f"{weights.url} into {torch.hub.get_dir()}/checkpoints, give --weights FILE, "
            "take --backbone efficientnet_lite0 (its weights come with the installation), "
            "or ask for --weights none (random weights)"
        ) from error
    return state


def read_state_dict(path: Path) -> State:
    """The ``state_dict`` in a ``.safetensors`` or ``.pth`` file.

    Raises:
        UserError: the file holds none.
    """
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


def load_weights(module: nn.Module, state: State, title: str, may_miss: tuple[str, ...]) -> None:
    """Load ``state`` into ``module``; parameters whose names start with ``may_miss`` are left out where they don't fit.

    Raises:
        UserError: another parameter is missing or does not fit; ``title`` begins the message.
    """
    wanted = module.state_dict()
    fitting = {
        name: value
        for name, value in state.items()
        if not (name.startswith(may_miss) and (name not in wanted or wanted[name].shape != value.shape))
    }
    wrong = [name for name, value in fitting.items() if name not in wanted or wanted[name].shape != value.shape]
    missing = [name for name in wanted if name not in fitting and not name.startswith(may_miss)]
    if wrong or missing:
        first = (wrong or missing)[0]
        raise UserError(f"{title}: {first} is {'wrong' if wrong else 'missing'}")
    module.load_state_dict(fitting, strict=False)
