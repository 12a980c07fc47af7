"""Heat maps: what the answer holds, and that it lies on the image where the model looked."""

import base64
import io

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from bento.imaging.intake import take_in
from bento.imaging.preprocessing import Preprocessing
from tests.support import pictures
from tests.support.artifacts import CLASSES

IMAGE = pictures.GOOD["a grey PNG"]
MARK = (0.75, 0.3)
"""Of the upright image's width and height."""


def marked(width: int, height: int, orientation: int) -> bytes:
    """A dark image with one bright mark, stored as a camera with that EXIF orientation stores it."""
    y, x = np.mgrid[0:height, 0:width]
    far = np.hypot(x - MARK[0] * width, y - MARK[1] * height)
    upright = Image.fromarray(np.where(far < 14, 250, 20).astype(np.uint8))
    stored = upright.transpose(Image.Transpose.ROTATE_90) if orientation == 6 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    return pictures.encode(stored, "JPEG", exif=exif)


def ask(client: httpx.Client, radiograph: bytes, explain: str = "true") -> httpx.Response:
    return client.post("/predict", params={"explain": explain}, files={"file": radiograph})


def image_of(body: dict[str, dict[str, str]]) -> Image.Image:
    head, data = body["explanation"]["image"].split(",")
    assert head == "data:image/jpeg;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    image.load()
    return image


def on_image(place: tuple[float, float], frame: dict[str, float]) -> tuple[float, float]:
    """A place of the model's square, in fractions of its side, as fractions of the image."""
    across = frame["left"] + place[0] * (frame["right"] - frame["left"])
    return across, frame["top"] + place[1] * (frame["bottom"] - frame["top"])


def brightest(picture: npt.NDArray[np.uint8]) -> tuple[float, float]:
    rows, columns = np.nonzero(picture > 150)
    return float((columns.mean() + 0.5) / picture.shape[1]), float((rows.mean() + 0.5) / picture.shape[0])


@pytest.mark.parametrize("orientation", [1, 6], ids=["upright", "rotated by EXIF"])
@pytest.mark.parametrize(("width", "height"), [(300, 300), (420, 200), (180, 390), (2100, 1500)])
def test_a_mark_lies_at_the_same_place_of_the_image_and_through_the_frame_of_the_models_square(
    client: httpx.Client, width: int, height: int, orientation: int
) -> None:
    data = marked(width, height, orientation)
    body = ask(client, data).json()
    radiograph = image_of(body)
    assert (radiograph.mode, max(radiograph.size) <= 512) == ("L", True)
    assert radiograph.width / radiograph.height == pytest.approx(width / height, rel=0.02)
    assert brightest(np.asarray(radiograph)) == pytest.approx(MARK, abs=0.02)
    square = take_in(data, Preprocessing(image_size=64)).image.astype(np.float64)
    rows, columns = np.nonzero(square > 0.6 * square.max())
    found = on_image(((columns.mean() + 0.5) / 64, (rows.mean() + 0.5) / 64), body["explanation"]["frame"])
    # Half a pixel of the model's square.
    assert found == pytest.approx(MARK, abs=0.5 * max(width, height) / min(width, height) / 64 + 0.01)


def test_maps_are_the_models_own_for_every_class(client: httpx.Client) -> None:
    body = ask(client, IMAGE).json()
    assert [one["label"] for one in body["explanation"]["maps"]] == CLASSES
    maps = np.array([one["values"] for one in body["explanation"]["maps"]])
    assert maps.ndim == 3
    # The test graph's head has no bias and its temperature is 1: the maps' means are the logits.
    logits = maps.mean(axis=(1, 2))
    expected = np.exp(logits - logits.max())
    answers = {one["label"]: one["confidence"] for one in body["predictions"]}
    assert [answers[name] for name in CLASSES] == pytest.approx((expected / expected.sum()).tolist(), abs=1e-3)


def test_all_else_in_the_answer_stays_as_it_is_without(client: httpx.Client) -> None:
    plain = client.post("/predict", files={"file": IMAGE}).json()
    explained = ask(client, IMAGE).json()
    assert explained.pop("explanation")
    assert explained == plain == ask(client, IMAGE, "false").json()


@pytest.mark.parametrize(
    "query", ["explain=banana", "explain=", "explain=TRUE", "again=1", "explain=true&explain=false"]
)
def test_another_value_is_refused(client: httpx.Client, query: str) -> None:
    response = client.post(f"/predict?{query}", files={"file": IMAGE})
    assert response.status_code == 422
    assert response.json()["type"] == "/problems/wrong-parameter"


def test_a_batch_takes_no_such_parameter(client: httpx.Client) -> None:
    response = client.post("/predict/batch?explain=true", files={"files": IMAGE})
    assert response.status_code == 422
    assert response.json()["type"] == "/problems/wrong-parameter"


def test_a_bad_image_is_the_same_problem_as_without(client: httpx.Client) -> None:
    assert ask(client, b"garbage").json()["type"] == "/problems/not-an-image"
