"""What the report says of resolution: the model's input, the sources' sizes, and what a larger input would give."""

from collections.abc import Mapping
from statistics import median_high

LARGER = 320
"""Side in pixels of the larger input that is worth a try."""
MEASURED = (
    "Larger inputs were measured: trained on two thirds of Shenzhen, the AUC of tuberculosis against normal was 0.92 "
    f"at 224 pixels and 0.95 at {LARGER} on the other third, but 0.86 at both on a hospital never seen (means of three "
    "folds), for 1.9 times the computing; 384 and 448 pixels gave no more (docs/experiments.md)."
)


def resolution_text(image_size: int, sizes: Mapping[str, int]) -> str:
    """At which size a model was trained, how large its sources are, and whether a larger input can be tried.

    Args:
        image_size: side of the model's input in pixels.
        sizes: number of images by ``width×height`` in pixels.
    """
    sides = [max(map(int, size.split("×"))) for size, images in sizes.items() for _ in range(images)]
    if not sides:
        return f"Trained at {image_size}×{image_size} pixels."
    typical, larger = median_high(sides), sum(side >= LARGER for side in sides)
    trained = (
        f"Trained at {image_size}×{image_size} pixels; the longer side of the sources has {typical:,} in the median."
    )
    if image_size >= LARGER:
        return trained
    if typical < LARGER:
        return f"{trained} An input of {LARGER} pixels can't be tried with these files, which have fewer."
    some = f" ({larger:,} of {len(sides):,} images are large enough)" if larger < len(sides) else ""
    return f"{trained} {MEASURED} Try it by --image-size {LARGER}{some}."
