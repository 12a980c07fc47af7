"""Evaluation of real runs: what is chosen without the test images, what warns, and how long it takes."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from bento.artifact import load_manifest
from tests.support.runs import FLAGS, Trained, trainer
from trainer.cli import main
from trainer.data.sample import SampleSet, write
from trainer.evaluation.operating_points import choose_threshold
from trainer.types import Floats


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def odds_of(rows: list[dict[str, str]], label: str) -> Floats:
    """The share ``p / (p + p_NORMAL)`` of each row."""
    disease, normal = (np.array([float(row[name]) for row in rows]) for name in (label, "NORMAL"))
    odds: Floats = disease / (disease + normal)
    return odds


@pytest.fixture(scope="module")
def metrics(trained: Trained) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(trained.run.metrics.read_text())
    return found


def test_thresholds_can_be_rebuilt_from_the_validation_predictions(trained: Trained, metrics: dict[str, Any]) -> None:
    rows = read_rows(trained.run.validation_predictions)
    assert {row["split"] for row in rows} == {"val"}
    assert [point["label"] for point in metrics["operating_points"]] == ["PNEUMONIA", "TUBERCULOSIS"]
    for point in metrics["operating_points"]:
        ill = np.array([row["label"] == point["label"] for row in rows])
        assert point["threshold"] == pytest.approx(choose_threshold(odds_of(rows, point["label"]), ill, 0.75), abs=1e-6)
        assert point["validation_sensitivity"] >= 0.75
        assert point["validation_positives"] == ill.sum()


def test_the_new_figures_can_be_rebuilt_from_predictions(trained: Trained, metrics: dict[str, Any]) -> None:
    rows = read_rows(trained.run.predictions)
    for name in ("NORMAL", "TUBERCULOSIS"):
        truth = [row["label"] == name for row in rows]
        auc = roc_auc_score(truth, [float(row[name]) for row in rows])
        assert metrics["intervals"]["test"][f"roc_auc.{name}"]["value"] == pytest.approx(auc, abs=1e-9)
    for site, figures in metrics["intervals"]["by_site"].items():
        part = [row for row in rows if row["site"] == site]
        assert figures["accuracy"]["value"] == pytest.approx(metrics["by_site"][site]["accuracy"])
        assert metrics["by_site"][site]["images"] == len(part)


def test_no_warning_of_sites_where_class_and_hospital_are_independent(metrics: dict[str, Any]) -> None:
    assert not any("Class and site go together" in warning for warning in metrics["warnings"])
    assert metrics["sites"]["association"]["cramers_v"] < 0.3


def test_the_manifest_carries_what_the_service_says(trained: Trained, metrics: dict[str, Any]) -> None:
    manifest = load_manifest(trained.run.sealed)
    assert [point.model_dump() for point in manifest.operating_points] == metrics["operating_points"]
    assert manifest.warnings == metrics["warnings"]
    assert manifest.calibration is not None
    assert manifest.calibration.after.ece.value == metrics["calibration"]["after"]["ece"]["value"]


def test_no_label_of_a_test_image_has_a_part_in_any_choice(
    trained: Trained, metrics: dict[str, Any], tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    shutil.copytree(trained.data_dir, data_dir, symlinks=True)
    rows = read_rows(data_dir / "manifest.csv")
    turned = {"NORMAL": "PNEUMONIA", "PNEUMONIA": "TUBERCULOSIS", "TUBERCULOSIS": "NORMAL"}
    for row in rows:
        if row["split"] == "test":
            row["label"] = turned[row["label"]]
    with (data_dir / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    words = [*FLAGS, "--data-dir", str(data_dir), "--runs-dir", str(tmp_path), "--run", "turned"]
    done = trainer("train", *words)
    assert done.returncode == 0, done.stderr
    ours, theirs = (
        json.loads((folder / "training.json").read_text()) for folder in (trained.run.folder, tmp_path / "turned")
    )
    assert ours["temperature"] == theirs["temperature"]
    assert ours["files"] == theirs["files"]

    # Another target is the user's to set.
    assert main(["evaluate", *words, "--target-sensitivity", "0.5"]) == 0
    found = json.loads((tmp_path / "turned" / "metrics.json").read_text())
    assert found["test"]["confusion_matrix"] != metrics["test"]["confusion_matrix"]
    unturned = read_rows(trained.run.validation_predictions)
    for point, lower in zip(metrics["operating_points"], found["operating_points"], strict=True):
        scores = odds_of(unturned, point["label"])
        ill = np.array([row["label"] == point["label"] for row in unturned])
        assert lower["target_sensitivity"] == 0.5
        assert lower["threshold"] == pytest.approx(choose_threshold(scores, ill, 0.5), abs=1e-6)
        assert lower["threshold"] > point["threshold"]


def test_a_set_in_which_class_and_hospital_go_together_is_warned_of(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "radiographs", SampleSet(100, 64, 3, seed=5, confounded=True))
    out = tmp_path / "out"
    words = ["--model", trained.tag, "--dataset", str(tmp_path / "radiographs"), "--out", str(out)]
    assert main(["evaluate", *words]) == 0
    found = json.loads((out / "metrics.json").read_text())
    assert list(found)[:3] == ["warnings", "by_site", "test"]
    assert "Class and site go together" in found["warnings"][0]
    assert "hospital-a" in found["warnings"][0]
    assert "Class and site go together" in capsys.readouterr().out
    # The model's own thresholds, judged on these images.
    thresholds = {point.label: point.threshold for point in load_manifest(trained.run.sealed).operating_points}
    assert {point["label"]: point["threshold"] for point in found["operating_points"]} == thresholds
