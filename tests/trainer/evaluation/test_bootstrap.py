"""Metrics are scikit-learn's; their intervals agree with scipy's bootstrap and with a known case."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom, bootstrap
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from tests.support.judged import CLASSES, judged
from trainer.evaluation.bootstrap import (
    JudgedImages,
    intervals,
    metrics_with_intervals,
    paired_difference,
    patient_weights,
    ranking_metrics,
    weighted_metrics,
)


@pytest.mark.parametrize("decimals", [1, 3, 12])
def test_every_figure_is_scikit_learns(decimals: int) -> None:
    one = judged(decimals=decimals)
    truth, rows = one.truth, one.probabilities
    predicted = rows.argmax(axis=1)
    expected = {
        "accuracy": accuracy_score(truth, predicted),
        "macro_f1": f1_score(truth, predicted, average="macro"),
        "weighted_f1": f1_score(truth, predicted, average="weighted"),
        "cross_entropy": log_loss(truth, rows),
        "brier": float(np.mean(((rows - np.eye(3)[truth]) ** 2).sum(axis=1))),
    }
    for i, name in enumerate(CLASSES):
        expected[f"precision.{name}"] = precision_score(truth, predicted, average=None)[i]
        expected[f"recall.{name}"] = recall_score(truth, predicted, average=None)[i]
        expected[f"f1.{name}"] = f1_score(truth, predicted, average=None)[i]
        expected[f"roc_auc.{name}"] = roc_auc_score(truth == i, rows[:, i])
        expected[f"average_precision.{name}"] = average_precision_score(truth == i, rows[:, i])
    found = {name: figure.value for name, figure in metrics_with_intervals(one, resamples=10).items()}
    ece = found.pop("ece")
    assert found == pytest.approx(expected, abs=1e-12)
    assert 0 < ece < 1


def test_a_weight_of_two_is_the_image_twice() -> None:
    one = judged(60, decimals=1)
    weights = np.random.default_rng(1).integers(0, 4, (1, 60)).astype(float)
    rows = np.repeat(np.arange(60), weights[0].astype(int))
    twice = JudgedImages(CLASSES, one.truth[rows], one.probabilities[rows], [str(i) for i in rows])
    expected = weighted_metrics(twice, np.ones((1, len(rows))))
    for name, value in weighted_metrics(one, weights).items():
        assert value[0] == pytest.approx(expected[name][0], abs=1e-12), name


def test_the_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    confidence = np.repeat([0.55, 0.95], 50)
    right = np.r_[np.repeat([1, 0], [40, 10]), np.repeat([1, 0], [45, 5])]
    rows = np.stack([confidence, 1 - confidence], axis=1)
    one = JudgedImages(["A", "B"], 1 - right, rows, [str(i) for i in range(100)])
    figure = weighted_metrics(one, np.ones((1, 100)))["ece"]
    assert figure[0] == pytest.approx(0.5 * (0.8 - 0.55) + 0.5 * (0.95 - 0.9))


def test_accuracy_of_single_images_has_the_binomials_interval() -> None:
    one = judged(400)
    figure = metrics_with_intervals(one, resamples=4000)["accuracy"]
    known = binom(400, figure.value)
    assert figure.low == pytest.approx(known.ppf(0.025) / 400, abs=0.005)
    assert figure.high == pytest.approx(known.ppf(0.975) / 400, abs=0.005)


@pytest.mark.parametrize("name", ["macro_f1", "roc_auc.TUBERCULOSIS", "average_precision.NORMAL", "brier"])
def test_intervals_by_patient_agree_with_scipys_bootstrap(name: str) -> None:
    one = judged(240, patients=60)
    owner = np.array([int(patient[1:]) for patient in one.patients])

    def statistic(drawn: npt.NDArray[np.intp]) -> float:
        rows = np.concatenate([np.flatnonzero(owner == patient) for patient in drawn])
        truth, probabilities = one.truth[rows], one.probabilities[rows]
        if name == "macro_f1":
            return float(f1_score(truth, probabilities.argmax(axis=1), average="macro"))
        if name == "roc_auc.TUBERCULOSIS":
            return float(roc_auc_score(truth == 2, probabilities[:, 2]))
        if name == "average_precision.NORMAL":
            return float(average_precision_score(truth == 0, probabilities[:, 0]))
        return float(np.mean(((probabilities - np.eye(3)[truth]) ** 2).sum(axis=1)))

    other = bootstrap(
        (np.arange(60),),
        statistic,
        vectorized=False,
        n_resamples=600,
        method="percentile",
        rng=np.random.default_rng(3),
    )
    figure = metrics_with_intervals(one)[name]
    # The standard error of a 2.5th percentile is about 2.7 standard errors over the root of the resamples' number.
    tolerance = 4 * 2.7 * float(other.standard_error) * np.sqrt(1 / 600 + 1 / 2000)
    assert figure.low == pytest.approx(other.confidence_interval.low, abs=tolerance)
    assert figure.high == pytest.approx(other.confidence_interval.high, abs=tolerance)


def test_images_of_one_patient_move_together() -> None:
    # Four copies of each image tell no more than one does: the interval must not shrink.
    one = judged(100)
    rows = np.repeat(np.arange(100), 4)
    copies = JudgedImages(CLASSES, one.truth[rows], one.probabilities[rows], [f"p{i}" for i in rows])
    alone, together = (metrics_with_intervals(each)["accuracy"] for each in (one, copies))
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.1)
    strangers = JudgedImages(CLASSES, copies.truth, copies.probabilities, [str(i) for i in range(400)])
    apart = metrics_with_intervals(strangers)["accuracy"]
    assert apart.high - apart.low < 0.7 * (alone.high - alone.low)


def test_an_absent_class_has_no_figures_and_does_not_count_for_macro_f1() -> None:
    one = judged(90)
    part = one.subset(one.truth < 2)
    figures = metrics_with_intervals(part, resamples=100)
    assert not {name for name in figures if name.endswith("TUBERCULOSIS")}
    f1 = f1_score(part.truth, part.probabilities.argmax(axis=1), average=None, labels=[0, 1])
    assert figures["macro_f1"].value == pytest.approx(f1.mean())


def test_resamples_are_reproducible_and_keep_the_number_of_patients() -> None:
    first, again = (np.concatenate(list(patient_weights(["a", "b", "b", "c"], 50, 0))) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (first[:, 1] == first[:, 2]).all()
    assert (first[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_a_ranking_without_a_positive_image_is_not_a_number() -> None:
    auc, precision = ranking_metrics(np.array([0.1, 0.9]), np.array([False, False]), np.ones((1, 2)))
    assert np.isnan(auc[0])
    assert np.isnan(precision[0])


def test_many_resamples_take_seconds() -> None:
    figures = intervals(lambda w: weighted_metrics(judged(2000), w), [str(i) for i in range(2000)])
    assert figures["accuracy"].low < figures["accuracy"].high


def test_a_paired_difference_sees_what_two_intervals_hide() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 400)
    worse = np.where(rng.random(400) < 0.8, truth, (truth + 1) % 3)
    better = np.where((worse != truth) & (rng.random(400) < 0.3), truth, worse)
    patients = [str(i) for i in range(400)]
    difference = paired_difference(truth, better, worse, 3, patients)
    expected = f1_score(truth, better, average="macro") - f1_score(truth, worse, average="macro")
    assert difference.value == pytest.approx(expected, abs=1e-12)
    assert difference.low > 0
    same = paired_difference(truth, worse, worse, 3, patients)
    assert (same.low, same.value, same.high) == (0, 0, 0)


def test_nothing_wrong_among_few_images_is_no_certainty() -> None:
    truth = np.array([0, 0, 0, 1, 1, 1])
    perfect = JudgedImages(["A", "B"], truth, np.eye(2)[truth] * 0.8 + 0.1, [str(i) for i in range(6)])
    for name, metric in metrics_with_intervals(perfect).items():
        if metric.value == 1:
            assert metric.high == 1
            assert metric.low < 0.75, name
    assert metrics_with_intervals(perfect)["accuracy"].low == pytest.approx(0.05 ** (1 / 6))  # mid-P


def test_a_class_that_was_never_predicted_has_no_precision() -> None:
    truth = np.array([0, 0, 1, 1])
    metrics = metrics_with_intervals(JudgedImages(["A", "B"], truth, np.eye(2)[[0, 0, 0, 0]], list("abcd")))
    assert "precision.B" not in metrics
    assert metrics["recall.B"].value == 0
    assert metrics["recall.B"].high > 0.7
