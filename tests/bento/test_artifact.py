import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bento.artifact import (
    MANIFEST_FILE,
    ONNX_FILE,
    SEEN_FILE,
    WEIGHTS_FILE,
    ArtifactError,
    Manifest,
    SiteThreshold,
    load_manifest,
)
from tests.support.artifacts import CLASSES, as_format, make_site, write_site


def _edit(folder: Path, **changes: object) -> None:
    path = folder / MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _flip_byte(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)


POINT = {
    "label": "TUBERCULOSIS",
    "threshold": 0.5,
    "target_sensitivity": 0.9,
    "validation_sensitivity": 0.9,
    "validation_specificity": 0.9,
    "test_sensitivity": None,
    "test_specificity": None,
}

ORIENTATION = {
    "kind": "inverted",
    "threshold": 0.5,
    "validation_recall": 1.0,
    "validation_false_alarms": 0.0,
    "test_false_alarms": None,
}


def _site_threshold(folder: Path, **changes: object) -> SiteThreshold:
    (point,) = make_site(load_manifest(folder).files[ONNX_FILE]).thresholds
    return point.model_copy(update=changes)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda folder: (folder / MANIFEST_FILE).unlink(), "can't be read"),
    "a manifest that is not JSON": (lambda folder: (folder / MANIFEST_FILE).write_text("{"), "Invalid JSON"),
    "a manifest that is not text": (lambda folder: (folder / MANIFEST_FILE).write_bytes(b"\xff"), "UTF-8"),
    "a manifest without a version": (
        lambda folder: (folder / MANIFEST_FILE).write_text("{}"),
        "format_version: Field required",
    ),
    "a newer format, whatever else it holds": (
        lambda folder: (folder / MANIFEST_FILE).write_text('{"format_version": 99, "new": 1}'),
        "format version 99 is newer",
    ),
    "an unknown field": (lambda folder: _edit(folder, colour="grey"), "colour: Extra inputs"),
    "one class": (lambda folder: _edit(folder, classes=["A"]), "classes: List should have at least 2"),
    "a class twice": (lambda folder: _edit(folder, classes=["A", "A"]), "not distinct"),
    "other classes than the metrics'": (lambda folder: _edit(folder, classes=["A", "B"]), "per_class"),
    "a temperature of zero": (lambda folder: _edit(folder, temperature=0), "temperature: Input"),
    "a threshold for a class that is not there": (
        lambda folder: _edit(folder, operating_points=[POINT | {"label": "CAT"}]),
        "operating_points name a class",
    ),
    "a threshold above 1": (
        lambda folder: _edit(folder, operating_points=[POINT | {"threshold": 1.5}]),
        "operating_points.0.threshold: Input",
    ),
    "an orientation that is none": (
        lambda folder: _edit(folder, orientations=[ORIENTATION | {"kind": "upright"}]),
        "orientations name a kind that is none",
    ),
    "thresholds of another version": (
        lambda folder: write_site(folder, "other-1"),
        "site St Elsewhere: the thresholds are of the model test, not of other-1; calibrate the model again",
    ),
    "thresholds of another graph": (
        lambda folder: write_site(folder, "test-1", graph="0" * 64),
        "site St Elsewhere: the thresholds are of another graph (SHA-256 000000000000…",
    ),
    "thresholds of other classes": (
        lambda folder: write_site(folder, "test-1", classes=[*CLASSES[::-1]]),
        "the thresholds are of the classes TUBERCULOSIS, PNEUMONIA, NORMAL, not NORMAL, PNEUMONIA, TUBERCULOSIS",
    ),
    "a site's threshold of a class that is not there": (
        lambda folder: write_site(folder, "test-1", thresholds=[_site_threshold(folder, label="CAT")]),
        "it names a class that the model does not have, CAT",
    ),
    "a distribution of a score that is not there": (
        lambda folder: _edit(folder, operating_points=[]),
        "reference names a score",
    ),
    "no hash of the graph": (lambda folder: _edit(folder, files={}), ONNX_FILE),
    "no graph": (lambda folder: (folder / ONNX_FILE).unlink(), "model.onnx: missing"),
    "a graph with one bit flipped": (lambda folder: _flip_byte(folder, ONNX_FILE), "model.onnx: SHA-256"),
    "a truncated graph": (lambda folder: (folder / ONNX_FILE).write_bytes(b"short"), "model.onnx: SHA-256"),
    "another list of seen images": (lambda folder: _flip_byte(folder, SEEN_FILE), "seen_images.csv: SHA-256"),
    "other weights": (lambda folder: _flip_byte(folder, WEIGHTS_FILE), "weights.safetensors: SHA-256"),
}


def test_a_whole_artifact_is_loaded(artifact: Path) -> None:
    assert load_manifest(artifact).classes == CLASSES


def _load_as_format(folder: Path, version: int) -> Manifest:
    path = folder / MANIFEST_FILE
    path.write_text(json.dumps(as_format(json.loads(path.read_text()), version)))
    return load_manifest(folder)


def test_a_graph_that_was_changed_after_the_calibration_is_refused(artifact: Path) -> None:
    write_site(artifact, "test-1")
    _flip_byte(artifact, ONNX_FILE)
    with pytest.raises(ArtifactError, match="SHA-256 differs"):
        load_manifest(artifact)


def test_a_site_threshold_stands_for_the_models_own(artifact: Path) -> None:
    own = load_manifest(artifact)
    write_site(artifact, "test-1")
    calibrated = load_manifest(artifact)
    assert [(point.label, point.threshold) for point in own.thresholds] == [("PNEUMONIA", 0.2), ("TUBERCULOSIS", 0.2)]
    assert [(point.label, point.threshold) for point in calibrated.thresholds] == [
        ("PNEUMONIA", 0.2),
        ("TUBERCULOSIS", 0.6),
    ]
    assert calibrated.operating_points == own.operating_points


def test_a_class_is_no_longer_never_flagged_where_a_site_has_a_threshold_for_it(artifact: Path) -> None:
    _edit(artifact, operating_points=[], reference=None, no_threshold={"TUBERCULOSIS": "few", "PNEUMONIA": "few"})
    assert load_manifest(artifact).never_flagged == {"TUBERCULOSIS": "few", "PNEUMONIA": "few"}
    write_site(artifact, "test-1")
    assert load_manifest(artifact).never_flagged == {"PNEUMONIA": "few"}


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6])
def test_an_artifact_of_an_older_format_is_read_as_having_none_of_what_came_later(artifact: Path, version: int) -> None:
    present = load_manifest(artifact)
    files = {name: digest for name, digest in present.files.items() if name != SEEN_FILE or version >= 6}
    later: dict[str, Any] = {"format_version": version, "files": files, "reference": None}
    if version < 4:
        later |= {"novelty": None, "orientations": []}
    if version < 2:
        later |= {"operating_points": [], "warnings": []}
    assert _load_as_format(artifact, version) == present.model_copy(update=later)


def test_the_names_of_format_4_are_read_as_those_of_format_5(artifact: Path) -> None:
    path = artifact / MANIFEST_FILE
    manifest = json.loads(path.read_text())
    metrics = manifest["metrics"]
    sealed = manifest | {"metrics_by_site": {"A": metrics}, "intervals_by_site": {"A": {}}}
    sealed["novelty"] |= {"test_flagged_by_site": {"A": {"value": 0.1, "low": 0.0, "high": 0.2}}}
    del sealed["files"][SEEN_FILE]
    former = as_format(sealed, 4)
    assert former["views"] == sealed["orientations"]
    assert former["metrics_by_source"] == {"A": metrics}
    assert former["data"]["sources"] == {"A": 90}
    assert former["novelty"]["films"] == 30
    assert former["config"]["source_alignment"] == 1.0
    path.write_text(json.dumps(former))
    loaded = load_manifest(artifact).model_dump(mode="json")
    assert loaded == sealed | {"format_version": 4, "reference": None}
    # The setting `views`, of augmentation, has kept its name.
    assert loaded["config"]["views"] == 4


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_artifact_is_refused_in_one_line(artifact: Path, name: str) -> None:
    damage, message = DAMAGE[name]
    damage(artifact)
    with pytest.raises(ArtifactError) as error:
        load_manifest(artifact)
    assert message in str(error.value)
    assert str(artifact) in str(error.value)
    assert "\n" not in str(error.value)
