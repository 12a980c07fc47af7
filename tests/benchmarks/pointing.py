"""The pointing game (Zhang et al. 2018): does a heat map's peak lie on the lesion?

On generated images the lesions' place is known. Only diseased images that the model calls right are counted; the peak
is the middle of the map's strongest cell. ``python -m tests.benchmarks.pointing --model chest_xray:latest``.
"""

import argparse
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from bento.imaging.intake import ImageFrame, fit
from trainer.data.sample import LABELS, Radiograph, generate
from trainer.inference.model_store import stored_model

SIZE = 256


@dataclass(frozen=True)
class Point:
    """One image's outcome."""

    inside: bool
    """The peak lies on a lesion."""
    near: bool
    """It lies at most half a cell of the map from one: as far as a map of this resolution can tell."""
    chance: float
    """Share of the model's square that lesions cover."""
    chance_near: float
    """The same, with half a cell around them."""


def judge(cam: npt.NDArray[np.float32], frame: ImageFrame, lesion: npt.NDArray[np.bool_]) -> Point:
    """Where the peak of a map lies.

    Args:
        cam: h×w, the map of the image's class.
        frame: of the map on the image.
        lesion: H×W, ``bool``, of the image.
    """
    (rows, columns), (height, width) = cam.shape, lesion.shape
    row, column = np.unravel_index(int(cam.argmax()), cam.shape)
    x = frame.left + (frame.right - frame.left) * (column + 0.5) / columns
    y = frame.top + (frame.bottom - frame.top) * (row + 0.5) / rows
    cell = (frame.right - frame.left) * width / columns
    distance = ndimage.distance_transform_edt(~lesion)
    at = (int(np.clip(y * height, 0, height - 1)), int(np.clip(x * width, 0, width - 1)))
    left, right = (int(np.clip(edge * width, 0, width)) for edge in (frame.left, frame.right))
    top, bottom = (int(np.clip(edge * height, 0, height)) for edge in (frame.top, frame.bottom))
    square = distance[top:bottom, left:right]
    return Point(
        bool(distance[at] == 0),
        bool(distance[at] <= cell / 2),
        float((square == 0).mean()),
        float((square <= cell / 2).mean()),
    )


def main() -> None:
    """Print a table by class."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="chest_xray:latest")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1001, help="another than the model's images had")
    arguments = parser.parse_args()
    predictor = stored_model(arguments.model)
    manifest = predictor.manifest
    points: dict[str, list[Point]] = defaultdict(list)
    diseased: dict[str, int] = defaultdict(int)

    def look_at(radiograph: Radiograph) -> None:
        intake = fit(Image.fromarray(radiograph.pixels), manifest.preprocessing)
        prediction = predictor.predict(intake.image[np.newaxis])
        diseased[radiograph.label] += 1
        index = manifest.classes.index(radiograph.label)
        if int(prediction.probabilities[0].argmax()) == index:
            points[radiograph.label].append(judge(prediction.cam[0, index], intake.frame, radiograph.lesion))

    for radiograph in generate(arguments.images, SIZE, 3, arguments.seed):
        if radiograph.lesion.any():
            look_at(radiograph)
    print(f"{'class':14} images  right  inside  within half a cell  (chance: inside, within)")
    for name in (*LABELS[1:], "all"):
        chosen = points[name] if name != "all" else [p for label in LABELS[1:] for p in points[label]]
        count = diseased[name] if name != "all" else sum(diseased[label] for label in LABELS[1:])
        shares = np.array([(p.inside, p.near, p.chance, p.chance_near) for p in chosen]).mean(axis=0)
        inside, near, chance, chance_near = (f"{value:.0%}" for value in shares)
        print(f"{name:14} {count:5}  {len(chosen):5}  {inside:>6}  {near:>18}  ({chance}, {chance_near})")


if __name__ == "__main__":
    main()
