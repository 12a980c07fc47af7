"""Which device the graph runs on: a GPU by ONNX Runtime's CUDA provider, or the CPU; never the CPU without a word."""

import contextlib
import ctypes
import io
import re
from pathlib import Path
from typing import Literal

import onnxruntime

Device = Literal["cpu", "cuda"]
DeviceChoice = Literal["cpu", "cuda", "auto"]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
# TF32 has ten bits of mantissa; the model's thresholds were chosen on scores of full precision.
CUDA_OPTIONS = {"use_tf32": "0"}
DRIVER = "libcuda.so.1"
PACKAGE = "onnxruntime-gpu[cuda,cudnn]"


class DeviceError(Exception):
    """CUDA was asked for and can't be had, or a forward pass fails on it."""


def open_graph(
    path: Path, options: onnxruntime.SessionOptions, choice: DeviceChoice
) -> tuple[onnxruntime.InferenceSession, Device, str]:
    """Load a graph on the chosen device; ``auto`` takes CUDA where it works and the CPU elsewhere.

    Args:
        path: the ONNX file.
        options: of the session.
        choice: of the device.

    Returns:
        The session, its device, and why ``auto`` has taken the CPU ("" otherwise).

    Raises:
        DeviceError: ``choice`` is ``cuda``, which can't be had.
        Exception: ONNX Runtime can't load the file; its exceptions share no base class.
    """
    if choice == "cpu":
        return onnxruntime.InferenceSession(path, options, providers=[CPU]), "cpu", ""
    if lacking := _lacking():
        session = onnxruntime.InferenceSession(path, options, providers=[CPU])
    else:
        said = io.StringIO()
        # What fails here is printed by ONNX Runtime, which then goes on with the CPU.
        with contextlib.redirect_stdout(said):
            onnxruntime.preload_dlls()
            session = onnxruntime.InferenceSession(path, options, providers=[(CUDA, CUDA_OPTIONS)])
        if CUDA in session.get_providers():
            session.disable_fallback()  # of a single run, too
            return session, "cuda", ""
        lacking = cause(said.getvalue()) or "ONNX Runtime can't start its CUDA provider; its lines above say why"
    if choice == "cuda":
        raise DeviceError(lacking)
    return session, "cpu", lacking


def _lacking() -> str:
    """What is known to be missing for CUDA before it is tried; "" if nothing is."""
    if CUDA not in onnxruntime.get_available_providers():
        return (
            f"the installed ONNX Runtime has no CUDA; `pip uninstall onnxruntime`, then `pip install '{PACKAGE}'`, "
            "or build the CUDA image"
        )
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return f"there is no NVIDIA driver ({DRIVER}); a container needs the GPU given to it, as by `--gpus all`"
    return ""


def cause(text: str) -> str:
    """What ONNX Runtime says is wrong, in one line: CUDA's own words, else the first line; "" if there is none."""
    if found := re.search(r"CUDA failure \d+: [^;\n]*", text):
        return found[0].strip()
    return next((line.strip() for line in text.splitlines() if line.strip(" *")), "")
