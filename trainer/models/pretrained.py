"""Weights to start from: torchvision's for ImageNet, torchxrayvision's for chest radiographs, those of an installed
package, or a file of the user's."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from trainer.errors import UserError
from trainer.models.efficientnet_lite0 import efficientnet_lite0
from trainer.models.pickled_modules import read_pickled

State = dict[str, Tensor]

RELEASE = "https://github.com/mlmed/torchxrayvision/releases/download/v1"
DOTTED = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
"""Names in a DenseNet's files that are older than torchvision 0.3: ``norm.1`` is ``norm1``."""


def in_hub(url: str) -> Path:
    """Where torch's hub keeps the file of that address."""
    return Path(torch.hub.get_dir(), "checkpoints", PurePosixPath(url).name)


@dataclass(frozen=True)
class ChestWeights:
    """One set of torchxrayvision's weights (Cohen et al. 2022) for ``densenet121``, all at 224×224 pixels."""

    datasets: str
    """Of the file's name: what they were trained on."""
    sha256: str | None = None
    """As several users have noted it down, since its authors publish none; None: not known."""

    @property
    def url(self) -> str:
        """Where it is published."""
        return f"{RELEASE}/{self.datasets}-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt"


CHEST_WEIGHTS = {
    "xrv-all": ChestWeights(
        "nih-pc-chex-mimic_ch-google-openi-kaggle", "56524913dd16a906422e8d8b66a7a5c46be1d82eb7ac012d8103776f1aa68899"
    ),
    "xrv-chex": ChestWeights("chex"),
    "xrv-mimic_ch": ChestWeights("mimic_ch", "23b13a04459684ffa41247d068207a7657b4e1b4dec2b02431f5026bd75b1189"),
    "xrv-mimic_nb": ChestWeights("mimic_nb"),
    "xrv-nih": ChestWeights("nih"),
    "xrv-pc": ChestWeights("pc"),
    "xrv-rsna": ChestWeights("kaggle"),
}


def chest_weights(name: str) -> State:
    """Weights of a DenseNet-121 with one grey input channel, downloaded if need be.

    Args:
        name: a key of :data:`CHEST_WEIGHTS`.

    Raises:
        UserError: they can't be downloaded, or the file is another or damaged.
    """
    row = CHEST_WEIGHTS[name]
    path = in_hub(row.url)
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(row.url, str(path), hash_prefix=row.sha256)
        except (OSError, RuntimeError) as error:  # torch raises RuntimeError for a wrong hash
            raise UserError(
                f"the weights {name} can't be downloaded ({error}); put the file from {row.url} into {path.parent}, "
                "or give it by --weights FILE"
            ) from error
    elif row.sha256:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != row.sha256:
                raise UserError(
                    f"weights: {path}: not the published file of {name}, or a damaged one; delete it, so that it is "
                    "downloaded anew, or give it by --weights FILE if you want that very file"
                )
    return read_state_dict(path)


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
    return _renamed(state)


def _renamed(state: State) -> State:
    return {DOTTED.sub(r"\1\2.", name): value for name, value in state.items()}


def read_state_dict(path: Path) -> State:
    """The ``state_dict`` in a ``.safetensors``, ``.pth`` or ``.pt`` file, or of the DenseNet that was pickled into it.

    Raises:
        UserError: the file holds none, or a pickle names something else.
    """
    try:
        state = load_file(path) if path.suffix == ".safetensors" else read_pickled(path)
    except Exception as error:  # torch, pickle and safetensors raise a dozen kinds for a file that isn't theirs
        reason = str(error).partition("\n")[0]
        raise UserError(f"weights: {path}: not a readable .safetensors or .pth state_dict ({reason})") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"weights: {path}: holds no plain state_dict (names to tensors)")
    return _renamed(state)


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
