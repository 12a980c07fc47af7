import numpy as np
from PIL import Image, ImageFilter

from bento.imaging.intake import fit
from bento.imaging.preprocessing import Preprocessing
from bento.imaging.properties import PROPERTIES, input_properties
from tests.support.pictures import radiograph

SPEC = Preprocessing(image_size=64)
IMAGE = Image.fromarray(radiograph(90, 120).repeat(3, axis=0).repeat(3, axis=1))


def properties(image: Image.Image) -> dict[str, float]:
    return dict(zip(PROPERTIES, input_properties(fit(image, SPEC)).tolist(), strict=True))


def test_a_property_is_what_its_name_says() -> None:
    grey = np.asarray(IMAGE, float)
    told = properties(IMAGE)
    assert abs(told["brightness"] - grey.mean()) < 2
    assert abs(told["contrast"] - grey.std()) < 2
    assert told["aspect"] == 1.333
    assert properties(Image.new("L", (50, 50), 90)) == {"brightness": 90, "contrast": 0, "aspect": 1, "detail": 0}


def test_each_kind_of_change_moves_its_own_property() -> None:
    told = properties(IMAGE)
    assert properties(IMAGE.point([grey // 2 for grey in range(256)]))["contrast"] < 0.6 * told["contrast"]
    assert properties(IMAGE.point([min(255, grey + 40) for grey in range(256)]))["brightness"] > told["brightness"] + 20
    assert properties(IMAGE.crop((0, 0, 270, 270)))["aspect"] == 1
    noise = np.random.default_rng(0).integers(-90, 91, (270, 360))
    noisy = Image.fromarray(np.clip(np.asarray(IMAGE).astype(int) + noise, 0, 255).astype(np.uint8))
    assert properties(noisy)["detail"] > 2 * told["detail"]
    blurred = noisy.filter(ImageFilter.GaussianBlur(8))
    assert properties(blurred)["detail"] < 0.7 * properties(noisy)["detail"]
