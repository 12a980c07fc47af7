"""What speaks against an answer, and a service that refuses what it does not know."""

from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from bento.artifact import load_manifest
from bento.imaging.intake import ImageFrame, Intake
from bento.imaging.quality import InputWarning
from bento.inference.input_warnings import assess_input
from bento.inference.session import Prediction
from tests.support import pictures
from tests.support.artifacts import NOVELTY_THRESHOLD, store_artifact
from tests.support.server import running_service

IMAGE = pictures.GOOD["a grey PNG"]
ODD = InputWarning("odd", "Something that is no reason to refuse it.")


def said(novelty: float | None, orientation: list[float] | None, *warnings: InputWarning) -> tuple[Intake, Prediction]:
    """An image of which graph and input checks say this."""
    nothing = np.zeros((1, 1), np.float32)
    intake = Intake(Image.new("L", (8, 8)), np.zeros((8, 8), np.uint8), ImageFrame(0, 0, 1, 1), warnings)
    return intake, Prediction(
        nothing,
        nothing,
        nothing,
        None if novelty is None else np.array([novelty], np.float32),
        None if orientation is None else np.array([orientation], np.float32),
    )


@pytest.mark.parametrize(
    ("outputs", "known", "kinds", "refused"),
    [
        pytest.param(said(0.0, [1, 0, 0, 0, 0]), True, [], False, id="a usual image is fine"),
        pytest.param(
            said(NOVELTY_THRESHOLD / 2, [0.5, 0.49, 0, 0, 0.01]), True, [], False, id="what is not sure is not said"
        ),
        pytest.param(said(9.0, [1, 0, 0, 0, 0]), False, ["not-like-training"], True, id="novel"),
        pytest.param(said(0.0, [0, 1, 0, 0, 0]), True, ["inverted"], True, id="inverted"),
        pytest.param(said(0.0, [0, 0, 1, 0, 0]), True, ["rotated"], True, id="on its left side"),
        pytest.param(said(0.0, [0, 0, 0, 1, 0]), True, ["rotated"], True, id="on its right side"),
        pytest.param(said(0.0, [0, 0, 0, 0, 1]), True, ["upside-down"], True, id="upside down"),
        pytest.param(said(0.0, [1, 0, 0, 0, 0], ODD), True, ["odd"], False, id="a lesser warning"),
        pytest.param(said(9.0, [0, 1, 0, 0, 0], ODD), False, ["not-like-training", "inverted", "odd"], True, id="all"),
        pytest.param(said(None, None), None, [], False, id="a graph that can't tell"),
    ],
)  # fmt: skip
def test_novelty_orientation_and_input_checks_become_warnings(
    artifact: Path, outputs: tuple[Intake, Prediction], known: bool | None, kinds: list[str], refused: bool
) -> None:
    assessment = assess_input(*outputs, load_manifest(artifact))
    assert assessment.in_distribution is known
    assert [warning.kind for warning in assessment.warnings] == kinds
    assert bool(assessment.refusal) is refused
    assert not assessment.refusal.endswith(".")


def test_a_service_can_refuse_what_it_does_not_know(stored_artifact: Path, tmp_path: Path) -> None:
    model = f"chest_xray:{stored_artifact.name}"
    blank = pictures.encode(Image.new("L", (90, 90), 90), "PNG")
    with (
        running_service(tmp_path / "log", CHEST_XRAY_MODEL=model, CHEST_XRAY_REFUSE_UNKNOWN="true") as url,
        httpx.Client(base_url=url) as client,
    ):
        assert client.post("/predict", files={"file": IMAGE}).status_code == 200
        for data, word in ((pictures.glaring(), "unlike the images"), (blank, "blank")):
            response = client.post("/predict", files={"file": data})
            assert response.status_code == 422
            assert response.json()["type"] == "/problems/outside-what-the-model-knows"
            assert word in response.json()["detail"]
        files = [("files", ("a", data)) for data in (IMAGE, blank)]
        first, second = client.post("/predict/batch", files=files).json()["results"]
        assert first["prediction"]["in_distribution"] is True
        assert second["problem"]["status"] == 422


def test_an_older_model_says_that_it_can_not_tell(tmp_path: Path) -> None:
    folder = store_artifact("format-3", format_version=3)
    with running_service(tmp_path / "log", CHEST_XRAY_MODEL=f"chest_xray:{folder.name}") as url:
        body = httpx.post(f"{url}/predict", files={"file": pictures.glaring()}).json()
        metadata = httpx.get(f"{url}/metadata").json()
    assert body["in_distribution"] is None
    assert body["novelty"] is None
    assert body["input_warnings"] == []
    assert metadata["novelty"] is None
    assert metadata["orientations"] == []
