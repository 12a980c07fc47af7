"""The device: asked for and not there is an error, and ``auto`` says which it has taken."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from bento.artifact import ONNX_FILE, ArtifactError
from bento.inference import device
from bento.inference.device import DeviceChoice, DeviceError
from bento.inference.session import Predictor, Session
from tests.support.artifacts import CLASSES, IMAGE_SIZE

without_cuda = pytest.mark.skipif(
    device.CUDA in onnxruntime.get_available_providers(), reason="this ONNX Runtime is built for CUDA"
)


@without_cuda
def test_cuda_asked_for_and_not_there_is_an_error_of_one_line(artifact: Path) -> None:
    with pytest.raises(DeviceError) as error:
        Predictor(artifact, device="cuda")
    assert "the installed ONNX Runtime has no CUDA" in str(error.value)
    assert "pip install 'onnxruntime-gpu[cuda,cudnn]'" in str(error.value)
    assert "\n" not in str(error.value)


@without_cuda
def test_auto_takes_the_cpu_and_says_why_with_the_same_answers(artifact: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    chosen, told = Predictor(artifact), Predictor(artifact, device="auto")
    assert (chosen.device, chosen.no_cuda) == ("cpu", "")
    assert told.device == "cpu"
    assert "has no CUDA" in told.no_cuda
    np.testing.assert_array_equal(told.predict(images).probabilities, chosen.predict(images).probabilities)


def _built_for_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [device.CUDA, device.CPU])


def test_without_a_driver_the_error_says_so(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _built_for_cuda(monkeypatch)
    monkeypatch.setattr(device, "DRIVER", "libnothing.so.1")
    with pytest.raises(DeviceError, match=r"no NVIDIA driver \(libnothing.so.1\).*--gpus all"):
        Predictor(artifact, device="cuda")


@without_cuda
@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
def test_where_onnx_runtime_goes_on_with_the_cpu_by_itself_it_is_noticed(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is known to be missing; the session then comes without CUDA, and with no exception.
    monkeypatch.setattr(device, "_lacking", lambda: "")
    with pytest.raises(DeviceError, match="can't start its CUDA provider"):
        Predictor(artifact, device="cuda")
    auto = Predictor(artifact, device="auto")
    assert auto.device == "cpu"
    assert "can't start its CUDA provider" in auto.no_cuda


@pytest.mark.parametrize("choice", ["cpu", "cuda", "auto"])
def test_a_damaged_graph_is_no_fault_of_the_device(tmp_path: Path, choice: DeviceChoice) -> None:
    (tmp_path / ONNX_FILE).write_bytes(b"no graph")
    with pytest.raises(ArtifactError, match="can't load it"):
        Session(tmp_path / ONNX_FILE, len(CLASSES), IMAGE_SIZE, device=choice)


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        (
            "*** EP Error ***\nEP Error /a.cc:1 T f(int) CUDA failure 35: the driver is too old ; GPU=-1 ; file=b.cc",
            "CUDA failure 35: the driver is too old",
        ),
        (
            "Failed to load libcublasLt.so.13: no such file\nFailed to load",
            "Failed to load libcublasLt.so.13: no such file",
        ),
        ("\n***\n", ""),
    ],
)
def test_of_what_onnx_runtime_prints_the_cause_is_told(printed: str, told: str) -> None:
    assert device.cause(printed) == told
