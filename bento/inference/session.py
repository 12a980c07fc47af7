"""Load a sealed artifact's graph, check it, and run it on images."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from bento.artifact import ONNX_FILE, ORIENTATIONS, ArtifactError, Manifest, load_manifest
from bento.inference.device import Device, DeviceChoice, DeviceError, cause, open_graph
from bento.inference.memory import give_back

__all__ = ["INPUT", "NOVELTY_OUTPUTS", "OUTPUTS", "Prediction", "Predictor", "Session"]

INPUT = "images"
OUTPUTS = ("probabilities", "embedding", "cam")
NOVELTY_OUTPUTS = ("novelty", "view")
"""Further outputs of graphs since format 4; ``view`` is what the graph calls the orientation."""


@dataclass(frozen=True)
class Prediction:
    """The graph's outputs for N images, all ``float32``."""

    probabilities: npt.NDArray[np.float32]
    """N×C, calibrated; each row sums to 1."""
    embedding: npt.NDArray[np.float32]
    """N×D: the penultimate layer."""
    cam: npt.NDArray[np.float32]
    """N×C×h×w: class activation maps."""
    novelty: npt.NDArray[np.float32] | None = None
    """N: how unlike the training images; None of graphs before format 4."""
    orientation: npt.NDArray[np.float32] | None = None
    """N×5: probability of each of ``ORIENTATIONS``; None of graphs before format 4."""

    def row(self, index: int) -> "Prediction":
        """The outputs for one of the images."""
        row = slice(index, index + 1)
        novelty, orientation = (None if array is None else array[row] for array in (self.novelty, self.orientation))
        return Prediction(self.probabilities[row], self.embedding[row], self.cam[row], novelty, orientation)


class Session:
    """A graph, checked and ready to run. :meth:`predict` may be called from several threads at once.

    Args:
        path: the ONNX file.
        classes: C, the number of classes that it must have.
        image_size: side of its input in pixels.
        threads: threads that share one run; None: one per core. 1 is the fastest where there are many callers.
        device: where it runs; see :func:`bento.inference.device.open_graph`.

    Raises:
        ArtifactError: a file that can't be loaded, or a graph of another signature.
        DeviceError: ``cuda`` was asked for and can't be had, or a forward pass fails on it.
    """

    def __init__(
        self, path: Path, classes: int, image_size: int, threads: int | None = 1, device: DeviceChoice = "cpu"
    ) -> None:
        self._path, self._classes, self._size = path, classes, image_size
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        # Spinning threads lose most of their speed beside a busy neighbour.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self.device: Device
        """Where it runs."""
        self.no_cuda: str
        """Why ``auto`` has taken the CPU; "" otherwise."""
        try:
            self._session, self.device, self.no_cuda = open_graph(path, options, device)
        except DeviceError:
            raise
        except Exception as error:  # the runtime's exceptions share no base class
            raise ArtifactError(f"{path}: ONNX Runtime can't load it; publish the model again") from error
        names = {node.name for node in self._session.get_outputs()}
        self.tells_novelty = set(NOVELTY_OUTPUTS) <= names
        """Whether the graph has outputs for novelty and orientation."""
        self._outputs = OUTPUTS + NOVELTY_OUTPUTS if self.tells_novelty else OUTPUTS
        self._check_signature()
        self.check_run()

    def predict(self, batch: npt.NDArray[np.uint8]) -> Prediction:
        """Run the graph.

        Args:
            batch: ``uint8`` N×H×W; H and W are ``image_size``.

        Raises:
            ValueError: another dtype or shape.
        """
        size = self._size
        if batch.dtype != np.uint8 or batch.ndim != 3 or batch.shape[1:] != (size, size):
            raise ValueError(f"expected uint8 N×{size}×{size}, got {batch.dtype} {batch.shape}")
        return Prediction(*self._session.run(self._outputs, {INPUT: batch}))

    def _check_signature(self) -> None:
        """Compare names, types and shapes of inputs and outputs with what the artifact must have.

        Raises:
            ArtifactError: one differs.
        """
        size, classes = self._size, self._classes
        inputs = {node.name: node for node in self._session.get_inputs()}
        outputs = {node.name: node for node in self._session.get_outputs()}
        if set(inputs) != {INPUT} or not set(OUTPUTS) <= set(outputs):
            raise self._wrong(f"it maps {sorted(inputs)} to {sorted(outputs)}, not {INPUT} to {OUTPUTS}")
        expected: dict[str, tuple[str, tuple[int | None, ...]]] = {
            INPUT: ("tensor(uint8)", (None, size, size)),
            "probabilities": ("tensor(float)", (None, classes)),
            "embedding": ("tensor(float)", (None, None)),
            "cam": ("tensor(float)", (None, classes, None, None)),
        }
        if self.tells_novelty:
            expected |= {
                "novelty": ("tensor(float)", (None,)),
                "view": ("tensor(float)", (None, len(ORIENTATIONS))),
            }
        for name, (kind, shape) in expected.items():
            node = (inputs | outputs)[name]
            if node.type != kind or not _fits(node.shape, shape):
                raise self._wrong(f"{name} is {node.type} {node.shape}, not {kind} {list(shape)}")
        if isinstance(inputs[INPUT].shape[0], int):
            raise self._wrong(f"{INPUT} has a fixed batch of {inputs[INPUT].shape[0]}")

    def check_run(self) -> None:
        """Run the graph once: declared shapes may be symbolic, and the first run is the slow one.

        Raises:
            ArtifactError: the run fails, or gives other shapes or no probabilities.
            DeviceError: the run fails on the GPU.
        """
        size = self._size
        try:
            result = self.predict(np.zeros((2, size, size), np.uint8))
        except Exception as error:
            if self.device == "cuda":
                raise DeviceError(f"a forward pass fails on the GPU: {cause(str(error))}") from error
            raise self._wrong("a forward pass fails") from error
        classes = self._classes
        if (
            result.probabilities.shape != (2, classes)
            or result.embedding.shape[:1] != (2,)
            or result.cam.shape[:2] != (2, classes)
        ):
            raise self._wrong("a forward pass gives other shapes than the manifest's classes ask for")
        # NaN fails this too.
        if not np.allclose(result.probabilities.sum(axis=1), 1, atol=1e-3):
            raise self._wrong("the probabilities of a forward pass do not sum to 1")
        if result.novelty is not None and not np.isfinite(result.novelty).all():
            raise self._wrong("the novelty of a forward pass is no number")

    def _wrong(self, what: str) -> ArtifactError:
        return ArtifactError(f"{self._path}: not the manifest's model: {what}; publish the model again")


class Predictor:
    """An artifact's manifest and graph, checked and ready to run.

    Args:
        folder: the artifact's folder.
        threads: see :class:`Session`.
        device: see :class:`Session`.

    Raises:
        ArtifactError: missing, damaged, of an unknown format, or a graph that is not what the manifest says.
        DeviceError: see :class:`Session`.
    """

    def __init__(self, folder: Path, threads: int | None = 1, device: DeviceChoice = "cpu") -> None:
        self.manifest: Manifest = load_manifest(folder)
        self._folder, self._threads, self._choice = folder, threads, device
        # A bad graph is refused here, not with the first image.
        self.device: Device = self.session.device
        """Where the graph runs."""
        self.no_cuda = self.session.no_cuda
        """Why ``auto`` has taken the CPU; "" otherwise."""

    @functools.cached_property
    def session(self) -> Session:
        """The graph, loaded when it is first asked for."""
        size = self.manifest.preprocessing.image_size
        path = self._folder / ONNX_FILE
        session = Session(path, len(self.manifest.classes), size, self._threads, self._choice)
        if not session.tells_novelty and (self.manifest.novelty or self.manifest.orientations):
            raise ArtifactError(f"{path}: lacks the outputs {NOVELTY_OUTPUTS} of its manifest; publish the model again")
        return session

    def release(self) -> None:
        """Give the graph's memory back, in a process that only had to check it. The next use loads it again."""
        del self.session
        give_back()

    def predict(self, batch: npt.NDArray[np.uint8]) -> Prediction:
        """Run the graph; see :meth:`Session.predict`."""
        return self.session.predict(batch)


def _fits(shape: list[int | str | None], expected: tuple[int | None, ...]) -> bool:
    """Whether a declared shape has the expected rank and fixed dimensions; symbolic ones (a name or None) fit any."""
    return len(shape) == len(expected) and all(
        want is None or not isinstance(have, int) or have == want for have, want in zip(shape, expected, strict=True)
    )
