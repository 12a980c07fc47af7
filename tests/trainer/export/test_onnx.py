"""The sealed graph: the trained network, and nothing of the machine that made it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax

from bento.artifact import ONNX_FILE, WEIGHTS_FILE
from bento.imaging.intake import load_array
from bento.imaging.preprocessing import Preprocessing
from bento.inference.session import Session
from tests.support.networks import as_if_trained, grey_densenet, shorten
from tests.support.runs import Trained
from tests.support.server import ROOT
from trainer.errors import UserError
from trainer.export.cam import FineMap
from trainer.export.likeness import Novelty, cells
from trainer.export.novelty import FrozenStageHeads, pooled
from trainer.export.onnx import check_parity, export_onnx, logits_of
from trainer.export.orientation import OrientationHead
from trainer.models.backbones import BACKBONES, build_classifier, phase_b_cut


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


@pytest.mark.parametrize("name", BACKBONES)
def test_the_sealed_graph_of_every_backbone_is_the_network(name: str, tmp_path: Path) -> None:
    """With random weights, and fewer blocks, since exporting takes long; ``densenet121`` with one grey channel."""
    torch.manual_seed(0)
    weights = "none"
    if name == "densenet121":
        weights = str(tmp_path / "grey.pt")
        torch.save(grey_densenet().state_dict(), weights)
    model = build_classifier(name, 3, weights=weights)
    shorten(model)
    as_if_trained(model)
    torch.nn.init.normal_(model.head.weight, 0, 0.1)
    torch.nn.init.normal_(model.head.bias)
    cut = phase_b_cut(name, model.eval())
    images = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        frozen = model.stages[:cut](model.normalise(images))
        channels = frozen.shape[1]
        likeness = Novelty.fit(torch.randn(5, channels, 7, 7), np.array(["A"] * 5))
        orientation = OrientationHead(torch.randn(5, 2 * channels) / channels, torch.randn(5))
        embedding, logits = model.stages(model.normalise(images)), model(images)
        novelty, turned = likeness(cells(frozen)), orientation(pooled(frozen))
    fine_map = FineMap(torch.randn(3, channels, 1, 1) / channels)
    export_onnx(model, 1.7, FrozenStageHeads(cut, likeness, orientation).eval(), fine_map, 64, tmp_path / "model.onnx")
    found = Session(tmp_path / "model.onnx", classes=3, image_size=64).predict(images.numpy())
    assert found.cam.shape == (3, 3, 4, 4)
    assert found.novelty is not None
    assert found.orientation is not None
    for sealed, network in (
        (found.probabilities, torch.softmax(logits / 1.7, dim=1)),
        (found.embedding, embedding),
        (found.cam.mean(axis=(2, 3)) + model.head.bias.detach().numpy(), logits),
        (found.novelty, novelty),
        (found.orientation, turned),
    ):
        np.testing.assert_allclose(sealed, network.numpy(), rtol=1e-4, atol=2e-5)
