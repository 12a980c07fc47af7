"""Figures on images of another hospital, which may lack some classes; and the matrix that leaves out each in turn."""

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.support.runs import trainer
from trainer.evaluation.bootstrap import JudgedImages
from trainer.evaluation.cross_site import judge_cross_site, judge_present, restrict, specificity_at
from trainer.files import read_json

CLASSES = ["NORMAL", "PNEUMONIA", "TUBERCULOSIS"]


def judged(radiographs: int, classes: list[int], seed: int = 0) -> JudgedImages:
    rng = np.random.default_rng(seed)
    truth = rng.choice(classes, radiographs)
    logits = rng.normal(size=(radiographs, 3)) + 1.5 * np.eye(3)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return JudgedImages(CLASSES, truth, probabilities, [f"p{i}" for i in range(radiographs)])


def test_probabilities_are_restricted_to_the_classes_asked_for() -> None:
    some = judged(60, [0, 1, 2])
    found = restrict(some, ["NORMAL", "TUBERCULOSIS"])
    assert len(found.truth) == int((some.truth != 1).sum())
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    kept = some.probabilities[some.truth != 1]
    np.testing.assert_allclose(found.probabilities[:, 1], kept[:, 2] / (kept[:, 0] + kept[:, 2]))
    assert set(found.truth.tolist()) == {0, 1}


def test_a_disease_against_normal_is_scikit_learns_auc() -> None:
    some = judged(80, [0, 2])
    found = judge_present(some, "NORMAL")
    assert found.classes == ["NORMAL", "TUBERCULOSIS"]
    against = found.against_normal["TUBERCULOSIS"]
    assert against.roc_auc.value == pytest.approx(roc_auc_score(some.truth == 2, some.probabilities[:, 2]))
    assert against.radiographs == (int((some.truth == 2).sum()), int((some.truth == 0).sum()))


@pytest.mark.parametrize(
    ("scores", "positive", "sensitivity", "specificity"),
    [
        ([0.9, 0.8, 0.7, 0.1], [1, 1, 0, 0], 1.0, 1.0),  # apart
        ([0.9, 0.2, 0.7, 0.1], [1, 1, 0, 0], 1.0, 0.5),  # one normal image above the lowest ill one
        ([0.9, 0.2, 0.7, 0.1], [1, 1, 0, 0], 0.5, 1.0),  # half of the ill ones are enough
        ([0.5, 0.5, 0.5, 0.5], [1, 1, 0, 0], 0.9, 0.0),  # a tie spares nobody
    ],
)
def test_specificity_at_a_sensitivity(
    scores: list[float], positive: list[int], sensitivity: float, specificity: float
) -> None:
    found = specificity_at(np.array(scores), np.array(positive) == 1, np.ones((1, 4)), sensitivity)
    assert found.tolist() == [specificity]


def test_without_an_ill_image_there_is_no_specificity() -> None:
    assert np.isnan(specificity_at(np.array([0.5]), np.array([False]), np.ones((1, 1)), 0.9)).all()


def test_the_drop_is_in_site_less_out_of_site() -> None:
    inside, outside = judged(90, [0, 1, 2]), judged(70, [0, 2], seed=1)
    found = judge_cross_site("elsewhere", inside, outside, {"OTHER": 3}, [], "NORMAL")
    assert found.classes == ["NORMAL", "TUBERCULOSIS"]
    assert found.left_out == {"OTHER": 3}
    inner, outer = found.seen_sites["macro_f1"].value, found.held_out_site.metrics["macro_f1"].value
    assert found.drop.value == pytest.approx(inner - outer)
    assert sum(map(sum, found.confusion_matrix)) == found.radiographs == 70


def test_the_matrix_goes_on_where_it_stopped_and_keeps_to_its_settings(tmp_path: Path) -> None:
    flags = (
        "matrix --dataset sample --sample-images 240 --sample-size 64 --sample-hospitals 2 --run m "
        "--backbone resnet18 --weights none --image-size 32 --views 2 --epochs-b 0"
    )
    folders = ["--data-dir", str(tmp_path / "data"), "--runs-dir", str(tmp_path / "runs")]
    words = [*flags.split(), *folders]
    done = trainer(*words, "--epochs-a", "1")
    assert done.returncode == 0, done.stderr
    runs = sorted((tmp_path / "runs").iterdir())
    assert len(runs) == 2
    assert "mean drop of macro F1" in done.stdout
    for run in runs:
        found = read_json(run / "metrics.json", "evaluate")["cross_site"]
        assert run.name.endswith(re.sub(r"\W+", "-", found["site"]))
        assert found["radiographs"] > 0
    stamps = [(run / "training.json").stat().st_mtime_ns for run in runs]
    assert trainer(*words, "--epochs-a", "1").returncode == 0
    assert [(run / "training.json").stat().st_mtime_ns for run in runs] == stamps
    other = trainer(*words, "--epochs-a", "2")
    assert other.returncode == 2
    assert "epochs_a is 2 now and was 1" in other.stderr
