"""Names of backbones and of weights for the settings, which load no PyTorch; ``trainer.models`` has what they mean."""

from pathlib import Path
from typing import Literal

BackboneName = Literal[
    "efficientnet_b0",
    "efficientnet_lite0",
    "regnet_y_800mf",
    "efficientnet_b1",
    "efficientnet_b2",
    "resnet18",
    "efficientnet_b3",
    "efficientnet_v2_s",
    "densenet121",
    "resnet50",
]
CHEST_BACKBONE = "densenet121"
CHEST_WEIGHTS = ("xrv-all", "xrv-chex", "xrv-mimic_ch", "xrv-mimic_nb", "xrv-nih", "xrv-pc", "xrv-rsna")
"""torchxrayvision's weights for that backbone."""


def checked_weights(weights: str, backbone: str | None) -> str:
    """``weights``, if there are such for ``backbone``; None: which backbone is not known.

    Raises:
        ValueError: there are none.
    """
    if weights in CHEST_WEIGHTS:
        if backbone not in (None, CHEST_BACKBONE):
            raise ValueError(f"{weights} are weights of {CHEST_BACKBONE}; give --backbone {CHEST_BACKBONE} too")
    elif weights not in ("imagenet", "none") and not Path(weights).is_file():
        raise ValueError(f"{weights!r} is not a file; give imagenet, {', '.join(CHEST_WEIGHTS)}, none or a file")
    return weights
