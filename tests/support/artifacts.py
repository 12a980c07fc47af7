"""Small but real artifacts: an ONNX graph with seeded random weights, and a complete manifest."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from bento.artifact import (
    FORMAT_VERSION,
    MANIFEST_FILE,
    ONNX_FILE,
    ORIENTATIONS,
    SEEN_FILE,
    STORE_NAME,
    WEIGHTS_FILE,
    ClassMetrics,
    DataSummary,
    Interval,
    Manifest,
    NoveltyFit,
    OperatingPoint,
    OrientationPoint,
    Recalibration,
    RecalibrationMetrics,
    ReferenceDistributions,
    SiteCalibration,
    SiteThreshold,
    TestMetrics,
    describe_images,
    load_manifest,
    sha256_file,
)
from bento.imaging.preprocessing import Preprocessing

CLASSES = ["NORMAL", "PNEUMONIA", "TUBERCULOSIS"]
IMAGE_SIZE = 64
CHANNELS = 8
TEMPERATURE = 1.0
WARNINGS = ["Class and site go together."]
NOVELTY_THRESHOLD = 0.4
"""Of :func:`make_graph`'s novelty, the difference of an image's mean from a third of white."""
NODES = [
    helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
    helper.make_node("Div", ["float", "scale"], ["unit"]),
    helper.make_node("Sub", ["unit", "mean"], ["centred"]),
    helper.make_node("Unsqueeze", ["centred", "channel"], ["planes"]),
    helper.make_node("Conv", ["planes", "kernel"], ["filtered"], strides=[4, 4]),
    helper.make_node("Relu", ["filtered"], ["features"]),
    helper.make_node("Conv", ["features", "head_map"], ["cam"]),
    helper.make_node("GlobalAveragePool", ["features"], ["pooled"]),
    helper.make_node("Flatten", ["pooled"], ["embedding"]),
    helper.make_node("Gemm", ["embedding", "head", "bias"], ["logits"], transB=1),
    helper.make_node("Div", ["logits", "temperature"], ["calibrated"]),
    helper.make_node("Softmax", ["calibrated"], ["probabilities"], axis=1),
]
"""Normalise, convolve, pool, one linear layer, softmax; embedding and class activation maps beside it."""
NOVELTY_NODES = [
    helper.make_node("ReduceMean", ["unit", "axes"], ["light"], keepdims=0),
    helper.make_node("Sub", ["light", "usual"], ["difference"]),
    helper.make_node("Abs", ["difference"], ["novelty"]),
    helper.make_node("Unsqueeze", ["light", "channel"], ["column"]),
    helper.make_node("Gemm", ["column", "slopes", "offsets"], ["view_logits"]),
    helper.make_node("Softmax", ["view_logits"], ["view"], axis=1),
]
"""An image's novelty is how far its mean is from a third of white; it is inverted where that mean is above 0.8."""
ADDED_BY_FORMAT = {
    2: ("intervals", "intervals_by_site", "operating_points", "calibration", "warnings"),
    4: ("novelty", "orientations"),
    7: ("reference", "site"),
}
"""Fields of the manifest that each format has brought."""
NAMES_BEFORE_FORMAT_5 = {
    "metrics_by_site": "metrics_by_source", "intervals_by_site": "intervals_by_source", "orientations": "views",
    "sites": "sources", "images": "films", "test_flagged_by_site": "test_flagged_by_source",
    "hold_out_site": "hold_out_source", "site_alignment": "source_alignment",
}  # fmt: skip


def make_graph(
    classes: int = len(CLASSES), size: int = IMAGE_SIZE, *, seed: int = 0, tells_novelty: bool = True
) -> onnx.ModelProto:
    """A graph of :data:`NODES`, with ``tells_novelty`` also of :data:`NOVELTY_NODES`, which format 4 adds."""
    rng = np.random.default_rng(seed)
    head = rng.normal(size=(classes, CHANNELS)).astype(np.float32)
    constants: dict[str, npt.NDArray[Any]] = {
        "scale": np.array(255, np.float32),
        "mean": np.array(0.5, np.float32),
        "channel": np.array([1], np.int64),
        "kernel": rng.normal(size=(CHANNELS, 1, 5, 5)).astype(np.float32),
        "head": head,
        "head_map": head[:, :, None, None],
        "bias": np.zeros(classes, np.float32),
        "temperature": np.array(TEMPERATURE, np.float32),
    }
    if tells_novelty:
        constants |= {
            "axes": np.array([1, 2], np.int64),
            "usual": np.array(1 / 3, np.float32),
            "slopes": np.array([[0, 100, 0, 0, 0]], np.float32),
            "offsets": np.array([0, -80, -9, -9, -9], np.float32),
        }
    outputs = []
    if tells_novelty:
        outputs = [
            helper.make_tensor_value_info("novelty", TensorProto.FLOAT, ["N"]),
            helper.make_tensor_value_info("view", TensorProto.FLOAT, ["N", len(ORIENTATIONS)]),
        ]
    side = (size - 5) // 4 + 1
    graph = helper.make_graph(
        NODES + NOVELTY_NODES if tells_novelty else NODES,
        "test",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", size, size])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", classes]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", CHANNELS]),
            helper.make_tensor_value_info("cam", TensorProto.FLOAT, ["N", classes, side, side]),
            *outputs,
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def make_manifest(
    files: dict[str, str], *, version: str = "test", classes: list[str] = CLASSES, synthetic: bool = True
) -> Manifest:
    """A complete manifest, with metrics of a model that is right about every image but one."""
    count = len(classes)
    metrics = TestMetrics(
        images=10 * count,
        accuracy=0.97,
        macro_f1=0.96,
        weighted_f1=0.95,
        cross_entropy=0.1,
        per_class={name: ClassMetrics(precision=1, recall=1, f1=1, support=10) for name in classes},
        confusion_matrix=(10 * np.eye(count, dtype=int)).tolist(),
    )
    return Manifest(
        model_name="efficientnet_lite0",
        model_version=version,
        created=datetime(2026, 1, 2, tzinfo=UTC),
        classes=classes,
        preprocessing=Preprocessing(image_size=IMAGE_SIZE),
        temperature=TEMPERATURE,
        metrics=metrics,
        data=DataSummary(
            dataset="sample:test",
            fingerprint="0" * 64,
            split="grouped",
            counts={split: dict.fromkeys(classes, 10) for split in ("train", "val", "test")},
            sites={"A": 30 * count},
            synthetic=synthetic,
        ),
        operating_points=[
            _operating_point(name, "NORMAL" if "NORMAL" in classes else None) for name in classes if name != "NORMAL"
        ],
        novelty=NoveltyFit(
            method="difference of the mean grey",
            images=30,
            threshold=NOVELTY_THRESHOLD,
            validation_pass=0.98,
            test_flagged=Interval(value=0.02, low=0.0, high=0.1),
        ),
        orientations=[
            OrientationPoint(
                kind=kind,
                threshold=0.5,
                validation_recall=1.0,
                validation_false_alarms=0.0,
                test_false_alarms=Interval(value=0.0, low=0.0, high=0.1),
            )
            for kind in ORIENTATIONS[1:]
        ],
        reference=_reference([name for name in classes if name != "NORMAL"]),
        warnings=WARNINGS,
        config={"seed": 1, "views": 4, "hold_out_site": None, "site_alignment": 1.0},
        libraries={"onnxruntime": onnxruntime.__version__},
        git_commit="0" * 40,
        files=files,
        limits=["Random weights."],
    )


def _reference(diseases: list[str]) -> ReferenceDistributions:
    """Of 200 made-up images, of which 20 are flagged and 4 novel."""
    rng = np.random.default_rng(0)
    spreads = {"novelty": (0.0, NOVELTY_THRESHOLD), "brightness": (60, 140), "contrast": (30, 80)}
    spreads |= {"aspect": (0.8, 1.25), "detail": (2, 12)} | {f"score.{name}": (0, 1) for name in diseases}
    figures = {name: rng.uniform(low, high, 200) for name, (low, high) in spreads.items()}
    marks = {name: np.arange(200) < count for name, count in {"flagged": 20, "novel": 4, "doubted": 5}.items()}
    return describe_images(figures, marks)


def _operating_point(label: str, reference: str | None) -> OperatingPoint:
    return OperatingPoint(
        label=label,
        threshold=0.2,
        reference=reference,
        validation_positives=30,
        validation_negatives=40,
        target_sensitivity=0.9,
        validation_sensitivity=0.9,
        validation_specificity=0.8,
        test_sensitivity=Interval(value=0.9, low=0.8, high=1.0),
        test_specificity=None,
    )


def make_site(
    graph: str, *, base: str = "test", threshold: float = 0.6, prevalence: float | None = 0.02
) -> SiteCalibration:
    """A site's calibration of a model of :func:`make_manifest`, for tuberculosis alone.

    Args:
        graph: SHA-256 of the model's graph.
        base: the model's version.
        threshold: of tuberculosis.
        prevalence: of tuberculosis; None: not stated.
    """
    share = Interval(value=0.9, low=0.8, high=0.95)
    losses = RecalibrationMetrics(cross_entropy=share, brier=share)
    return SiteCalibration(
        name="St Elsewhere",
        created=datetime(2026, 2, 3, tzinfo=UTC),
        dataset="local",
        images=45,
        patients=40,
        counts={"NORMAL": 25, "TUBERCULOSIS": 20},
        fingerprint="1" * 64,
        reusable_by="this site alone",
        base_version=base,
        graph=graph,
        classes=CLASSES,
        thresholds=[
            SiteThreshold(
                label="TUBERCULOSIS",
                threshold=threshold,
                reference="NORMAL",
                target_sensitivity=0.95,
                confidence=0.8,
                reached_confidence=0.88,
                rank=1,
                positive_patients=18,
                positive_images=20,
                negative_patients=22,
                negative_images=25,
                sensitivity=share,
                specificity=share,
            )
        ],
        no_threshold={"PNEUMONIA": "no image of PNEUMONIA"},
        recalibration=[
            Recalibration(
                label="TUBERCULOSIS",
                slope=0.5,
                offset=1.0,
                sample_share=0.45,
                prevalence=prevalence,
                before=losses,
                after=losses,
                brier_change=Interval(value=-0.1, low=-0.2, high=0.0),
            )
        ],
    )


def write_site(folder: Path, version: str, **changes: Any) -> None:
    """Make a whole artifact that of a calibrated model; ``changes`` are of its site's block."""
    manifest = load_manifest(folder)
    site = make_site(manifest.files[ONNX_FILE], base=manifest.model_version).model_copy(update=changes)
    calibrated = manifest.model_copy(update={"model_version": version, "site": site})
    (folder / MANIFEST_FILE).write_text(calibrated.model_dump_json(), encoding="utf-8")


def write_artifact(
    folder: Path,
    graph: onnx.ModelProto | None = None,
    *,
    version: str = "test",
    classes: list[str] = CLASSES,
    synthetic: bool = True,
    format_version: int = FORMAT_VERSION,
) -> None:
    """Write a whole artifact into a folder; ``graph`` defaults to :func:`make_graph` of the classes and the format."""
    onnx.save(graph or make_graph(len(classes), tells_novelty=format_version >= 4), folder / ONNX_FILE)
    # The service never reads the trainer's weights, but their hash is checked.
    (folder / WEIGHTS_FILE).write_bytes(b"weights")
    (folder / SEEN_FILE).write_text("sha256,perceptual_hash\n")
    files = {name: sha256_file(folder / name) for name in (ONNX_FILE, WEIGHTS_FILE, SEEN_FILE)}
    manifest = make_manifest(files, version=version, classes=classes, synthetic=synthetic)
    document = as_format(manifest.model_dump(mode="json"), format_version)
    (folder / MANIFEST_FILE).write_text(json.dumps(document, indent=2), encoding="utf-8")


def as_format(document: dict[str, Any], version: int) -> dict[str, Any]:
    """A manifest as a program of an earlier format has written it."""
    document = {**document, "format_version": version}
    for added_in, names in ADDED_BY_FORMAT.items():
        if version < added_in:
            document = {name: value for name, value in document.items() if name not in names}
    if version < 6:
        document["files"] = {name: digest for name, digest in document["files"].items() if name != SEEN_FILE}
    if version >= 5:
        return document
    for part in ("data", "novelty", "config"):
        if part in document:
            document[part] = {NAMES_BEFORE_FORMAT_5.get(name, name): value for name, value in document[part].items()}
    return {NAMES_BEFORE_FORMAT_5.get(name, name): value for name, value in document.items()}


def store_artifact(
    version: str,
    *,
    name: str = STORE_NAME,
    classes: list[str] = CLASSES,
    synthetic: bool = True,
    format_version: int = FORMAT_VERSION,
) -> Path:
    """Save a whole artifact in the model store of this process, as the trainer does; its folder."""
    with bentoml.models.create(f"{name}:{version}") as model:
        write_artifact(
            Path(model.path), version=version, classes=classes, synthetic=synthetic, format_version=format_version
        )
    return Path(bentoml.models.get(model.tag).path)
