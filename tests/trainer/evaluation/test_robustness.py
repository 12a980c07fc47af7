"""What simulated scanners cost a model whose weak point is known."""

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from bento.imaging.preprocessing import Preprocessing
from bento.inference.session import Prediction, Session
from trainer.data.listing import Radiograph
from trainer.errors import UserError
from trainer.evaluation.robustness import measure_robustness, robustness_table
from trainer.inference.model_store import SealedModel


class Brightness(Session):
    """Calls an image ``BRIGHT`` where its middle is brighter than middle grey: exposure is all that it sees."""

    def __init__(self) -> None:
        pass

    def predict(self, batch: npt.NDArray[np.uint8]) -> Prediction:
        bright = batch[:, 16:48, 16:48].mean(axis=(1, 2)) > 128
        probabilities = np.stack([bright, ~bright], axis=1).astype(np.float32)
        nothing = np.zeros((len(batch), 1), np.float32)
        return Prediction(probabilities, nothing, nothing)


def sealed(classes: list[str], workers: int = 0) -> SealedModel:
    return SealedModel(Brightness(), classes, Preprocessing(image_size=64), workers)


@pytest.fixture(scope="module")
def radiographs(tmp_path_factory: pytest.TempPathFactory) -> list[Radiograph]:
    folder = tmp_path_factory.mktemp("radiographs")
    rng = np.random.default_rng(0)
    found = []
    for i in range(40):
        grey = 60 + 120 * (i % 2)
        file = folder / f"{i}.png"
        Image.fromarray(rng.integers(grey - 20, grey + 20, (80, 80), dtype=np.uint8)).save(file)
        label, site = ("DARK", "BRIGHT")[i % 2], "ab"[i // 20]
        found.append(Radiograph(file, file.name, label, site, f"p{i}", "test"))
    broken = folder / "broken.png"
    broken.write_bytes(b"no image")
    return [*found, Radiograph(broken, broken.name, "DARK", "a", "p99", "test")]


def test_a_model_that_sees_exposure_alone_loses_by_exposure_alone(radiographs: list[Radiograph]) -> None:
    found = measure_robustness(radiographs, sealed(["BRIGHT", "DARK"], workers=2), (1, 5))
    assert found.all.radiographs == 40
    assert found.all.clean.value == 1
    for name in ("blur", "jpeg", "rotation", "crop", "stretch", "noise", "marker"):
        assert found.all.corrupted[name][5].value == 1, name
    assert found.all.corrupted["contrast"][5].value < 0.9
    for strength in (1, 5):
        values = [row[strength].value for row in found.all.corrupted.values()]
        assert found.all.loss[strength].value == pytest.approx(1 - np.mean(values))
    assert found.all.loss[1].value < found.all.loss[5].value
    assert 0 < found.all.loss[5].low < found.all.loss[5].value < found.all.loss[5].high
    assert {name: losses.radiographs for name, losses in found.by_site.items()} == {"a": 20, "b": 20}
    assert found == measure_robustness(radiographs, sealed(["BRIGHT", "DARK"]), (1, 5))
    table = robustness_table("all", found.all)
    assert f"contrast        1.00{found.all.corrupted['contrast'][1].value:8.2f}" in table
    assert f"mean loss at strength 5: {found.all.loss[5].value:.2f} (" in table


def test_a_label_that_the_model_does_not_know_is_refused(radiographs: list[Radiograph]) -> None:
    with pytest.raises(UserError, match="'DARK' is none of the model's classes"):
        measure_robustness(radiographs, sealed(["BRIGHT", "OTHER"]))
