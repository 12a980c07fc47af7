"""The sealed graph: the trained network, and nothing of the machine that made it."""

import json

import numpy as np
import pytest
import torch
from scipy.special import softmax

from bento.artifact import ONNX_FILE, WEIGHTS_FILE
from bento.imaging.intake import load_array
from bento.imaging.preprocessing import Preprocessing
from bento.inference.session import Session
from tests.support.runs import Trained
from tests.support.server import ROOT
from trainer.errors import UserError
from trainer.export.onnx import check_parity, logits_of
from trainer.models.backbones import build_classifier


def test_the_sealed_graph_is_the_trained_network(trained: Trained) -> None:
    weights = str(trained.run.sealed / WEIGHTS_FILE)
    model = build_classifier("efficientnet_lite0", 3, weights=weights)
    spec = Preprocessing(image_size=96)
    files = sorted((trained.data_dir / "val").rglob("*.png"))
    images = np.stack([load_array(file, spec) for file in files])
    temperature = json.loads(trained.run.training.read_text())["temperature"]
    session = Session(trained.run.sealed / ONNX_FILE, classes=3, image_size=96)
    logits = logits_of(model, images, torch.device("cpu"))
    probabilities = softmax(logits / temperature, axis=1)
    assert check_parity(session, images, probabilities) < 1e-4
    prediction = session.predict(images)
    # The map's mean and the head's bias are the logit: a class activation map explains the very score it is shown with.
    assert prediction.cam.shape[1:] == (3, 6, 6)  # as fine as the frozen stages' output, not as the last stage's
    from_map = prediction.cam.mean(axis=(2, 3)) + model.head.bias.detach().numpy()
    np.testing.assert_allclose(from_map, logits, atol=1e-3)
    with pytest.raises(UserError, match="not the trained network"):
        check_parity(session, images, np.roll(probabilities, 1, axis=1))


def test_the_exported_file_names_no_module_and_no_path(trained: Trained) -> None:
    content = (trained.run.sealed / ONNX_FILE).read_bytes()
    for word in (b"trainer.", b".py", b"site-packages", b"torch.nn", b"stack_trace", bytes(ROOT)):
        assert word not in content, word
