import threading
from pathlib import Path

import numpy as np
import onnx
import pytest

from bento.artifact import ORIENTATIONS, ArtifactError
from bento.inference.session import Predictor
from tests.support.artifacts import CHANNELS, CLASSES, IMAGE_SIZE, make_graph, write_artifact


@pytest.fixture
def batch() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (3, IMAGE_SIZE, IMAGE_SIZE), np.uint8)


def test_shapes_and_dtypes_are_as_promised(artifact: Path, batch: np.ndarray) -> None:
    result = Predictor(artifact).predict(batch)
    assert result.probabilities.shape == (3, len(CLASSES))
    assert result.embedding.shape == (3, CHANNELS)
    assert result.cam.shape[:2] == (3, len(CLASSES))
    assert result.cam.ndim == 4
    assert result.novelty is not None
    assert result.orientation is not None
    assert result.novelty.shape == (3,)
    assert result.orientation.shape == (3, len(ORIENTATIONS))
    assert {array.dtype for array in vars(result).values()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, rtol=1e-6)


def test_the_mean_of_an_activation_map_is_the_logit_the_probabilities_come_from(
    artifact: Path, batch: np.ndarray
) -> None:
    result = Predictor(artifact).predict(batch)
    logits = result.cam.mean(axis=(2, 3))
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(result.probabilities, expected, rtol=1e-4)


def test_an_image_gets_the_same_answer_alone_in_a_batch_and_from_many_threads(
    artifact: Path, batch: np.ndarray
) -> None:
    predictor = Predictor(artifact)
    together = predictor.predict(batch).probabilities
    answers: dict[int, np.ndarray] = {}

    def ask(index: int) -> None:
        answers[index] = predictor.predict(batch[index : index + 1]).probabilities[0]

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(batch))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(np.stack([answers[i] for i in range(len(batch))]), together, rtol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, IMAGE_SIZE, IMAGE_SIZE), np.float32),
        np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.uint8),
        np.zeros((1, IMAGE_SIZE, IMAGE_SIZE + 1), np.uint8),
        np.zeros((1, 1, IMAGE_SIZE, IMAGE_SIZE), np.uint8),
    ],
    ids=["float", "no batch", "too wide", "channels"],
)
def test_another_dtype_or_shape_is_refused(artifact: Path, wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected uint8 N×64×64"):
        Predictor(artifact).predict(wrong)


def _renamed(name: str) -> onnx.ModelProto:
    """The graph with one output under another name."""
    graph = make_graph()
    for node in graph.graph.node:
        node.output[:] = ["other" if output == name else output for output in node.output]
        node.input[:] = ["other" if value == name else value for value in node.input]
    next(output for output in graph.graph.output if output.name == name).name = "other"
    return graph


def _fixed_batch() -> onnx.ModelProto:
    graph = make_graph()
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    return graph


def _not_a_number() -> onnx.ModelProto:
    graph = make_graph()
    bias = next(constant for constant in graph.graph.initializer if constant.name == "bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(len(CLASSES), np.nan, np.float32), "bias"))
    return graph


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        pytest.param(make_graph(classes=4), "probabilities is", id="another number of classes"),
        pytest.param(make_graph(size=32), "images is", id="another image size"),
        pytest.param(_renamed("cam"), "it maps", id="an output is missing"),
        pytest.param(_fixed_batch(), "fixed batch", id="no dynamic batch"),
        pytest.param(make_graph(tells_novelty=False), "lacks the outputs", id="novelty that the manifest speaks of"),
        pytest.param(_not_a_number(), "do not sum to 1", id="weights that are not numbers"),
        pytest.param(onnx.ModelProto(), "can't load", id="no graph at all"),
    ],
)
def test_a_graph_that_is_not_the_manifests_is_refused(tmp_path: Path, graph: onnx.ModelProto, message: str) -> None:
    write_artifact(tmp_path, graph)
    with pytest.raises(ArtifactError) as error:
        Predictor(tmp_path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
