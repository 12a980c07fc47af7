"""Decoded images: the service's intake, once."""

from pathlib import Path

import numpy as np
from PIL import Image

from bento.imaging.intake import load_array
from bento.imaging.preprocessing import Preprocessing
from trainer.data.sample import generate
from trainer.features.decoded_store import ImageFiles, decoded_images
from trainer.features.store import Store


def test_images_are_decoded_by_the_services_intake_once(tmp_path: Path) -> None:
    paths = []
    for radiograph in generate(4, 64, hospitals=1, seed=2):
        paths.append(tmp_path / radiograph.name)
        Image.fromarray(radiograph.pixels).save(paths[-1])
    spec = Preprocessing(image_size=48)
    files, store = ImageFiles(paths, spec, workers=2), Store(tmp_path / "cache", 0)
    images = decoded_images(files, list("abcd"), store, "t")
    assert images.dtype == np.uint8
    for index, path in enumerate(paths):
        np.testing.assert_array_equal(images[index], load_array(path, spec))
    for path in paths:
        path.unlink()
    np.testing.assert_array_equal(decoded_images(files, list("abcd"), store, "t"), images)
