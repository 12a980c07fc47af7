"""Would a faster variant of a model keep its answers? ``python -m tests.benchmarks.variants --images FOLDER``.

FOLDER holds ``train`` and ``val`` as the trainer's split leaves them. Each variant is timed on one thread and
compared with fp32 on the validation images: it may be served only if at least 99.5 % of them keep their top class.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from bento.artifact import ONNX_FILE, load_manifest
from bento.imaging.intake import load_array
from bento.imaging.preprocessing import Preprocessing

Images = npt.NDArray[np.uint8]
Run = Callable[[Images], npt.NDArray[np.float32]]
CALIBRATION = 96
AGREEMENT = 0.995


class LabelledImages(CalibrationDataReader):  # type: ignore[misc]
    """Training images, one by one."""

    def __init__(self, images: Images) -> None:
        self._rest: Iterator[Images] = iter(images[:, np.newaxis])

    def get_next(self) -> dict[str, Images] | None:
        image = next(self._rest, None)
        return None if image is None else {"images": image}


def read_images(folder: Path, spec: Preprocessing, most: int) -> Images:
    """Up to ``most`` images of a split's class folders, spread evenly: ``uint8`` N×S×S."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return np.stack([load_array(path, spec) for path in paths[:: max(1, len(paths) // most)][:most]])


def onnx_runtime(path: Path) -> Run:
    """ONNX Runtime on one thread, as the service has it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: np.asarray(session.run(["probabilities"], {"images": images})[0])


def openvino(path: Path, precision: str) -> Run:
    """OpenVINO on one thread."""
    from openvino import Core

    core = Core()
    options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1}
    request = core.compile_model(core.read_model(path), "CPU", options).create_infer_request()
    return lambda images: np.array(request.infer({0: images})[0])


def int8(path: Path, radiographs: Images, folder: Path) -> Run:
    """Static quantisation of every convolution, calibrated on training images."""
    prepared, quantised = folder / "prepared.onnx", folder / "int8.onnx"
    quant_pre_process(path, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        quantised,
        LabelledImages(radiographs),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=["Conv"],
    )
    return onnx_runtime(quantised)


def milliseconds(run: Run, image: Images) -> float:
    """CPU time of one image, median; a busy neighbour takes little part in it."""
    times = []
    for _ in range(30):
        begin = time.thread_time()
        run(image)
        times.append(1000 * (time.thread_time() - begin))
    return float(np.median(times))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="chest_xray:latest", help="tag in the BentoML model store")
    parser.add_argument("--images", type=Path, required=True)
    options = parser.parse_args()
    artifact = Path(bentoml.models.get(options.model).path)
    spec = load_manifest(artifact).preprocessing
    train = read_images(options.images / "train", spec, CALIBRATION)
    val = read_images(options.images / "val", spec, 10_000)
    path = artifact / ONNX_FILE
    fp32 = onnx_runtime(path)
    expected = np.concatenate([fp32(image[np.newaxis]) for image in val])
    with tempfile.TemporaryDirectory() as folder:
        variants: dict[str, Callable[[], Any]] = {
            "ONNX Runtime fp32": lambda: fp32,
            "OpenVINO f32": lambda: openvino(path, "f32"),
            "OpenVINO bf16": lambda: openvino(path, "bf16"),
            "ONNX Runtime INT8": lambda: int8(path, train, Path(folder)),
        }
        for name, make in variants.items():
            run = make()
            found = np.concatenate([run(image[np.newaxis]) for image in val])
            same = float((found.argmax(axis=1) == expected.argmax(axis=1)).mean())
            verdict = "may be served" if same >= AGREEMENT else "changes too many answers"
            largest = float(np.abs(found - expected).max())
            print(
                f"{name:<18} {milliseconds(run, val[:1]):6.2f} ms, top class agrees on {100 * same:.1f} % of "
                f"{len(val)} images, a probability differs by up to {largest:.1e}: {verdict}"
            )


if __name__ == "__main__":
    main()
