"""How long the tasks of a run take, by estimate: for the time left that :mod:`trainer.running.progress` shows."""

from collections.abc import Mapping

from trainer.settings import Settings


def training_seconds(settings: Settings, images: Mapping[str, int]) -> dict[str, float]:
    """Seconds of each task of training by its name, in their order, of ``efficientnet_b0`` on two cores.

    Elsewhere all of them are longer or shorter, at much the same proportions.

    Args:
        settings: of the run.
        images: number of them by split.
    """
    s, pixels = settings, (settings.image_size / 224) ** 2
    train, val = images["train"], images["val"]
    frozen = 0.02 * pixels
    anew = 0.0 if s.cache == "views" else frozen * (train + val)
    return {
        "decoding train": 0.01 * train,
        "decoding val": 0.01 * val,
        "caching train": frozen * s.views * train,
        "caching val": frozen * val,
        "Phase A": s.epochs_a * (0.5 + anew + 0.0005 * train),
        "Phase B": s.epochs_b * (0.5 + anew + 0.02 * pixels * train),
        "sealing: novelty and orientation": 3 + frozen * (2 * min(train, 300) + 2 * min(val, 150)),
        "sealing: ONNX graph": 14.0,
        "sealing: comparison": frozen * val,
    }


def judging_seconds(settings: Settings, images: Mapping[str, int]) -> dict[str, float]:
    """As :func:`training_seconds`, of the evaluation."""
    pixels = (settings.image_size / 224) ** 2
    return {
        "judging validation images": (0.01 + 0.02 * pixels) * images["val"],
        "judging test images": (0.01 + 0.06 * pixels) * images["test"],
        "metrics": 3.0,
        "reading training images": 0.01 * images["train"] if settings.cache == "off" else 0.0,  # thumbnails
        "controls": 3.0,
        "pictures": 3.0,
        "hashing images": 0.01 * (images["train"] + images["val"]),
        "report": 3.0,
        "TensorBoard": 3.0,
    }
