"""Failure analysis: the images that it chooses are the ones to look at."""

import numpy as np

from bento.artifact import OperatingPoint
from tests.support.judged import judged
from trainer.evaluation.bootstrap import JudgedImages
from trainer.evaluation.failures import EACH, find_failures, image_and_overlay, likely_label_errors


def analysed(one: JudgedImages, points: list[OperatingPoint] | None = None):  # type: ignore[no-untyped-def]
    paths = [str(i) for i in range(len(one.truth))]
    sites = ["x" if i % 2 else "y" for i in range(len(one.truth))]
    return find_failures(one, paths, sites, points or [], "NORMAL")


def test_cells_are_the_confusion_matrix_with_the_most_confident_first() -> None:
    one = judged()
    predicted = one.probabilities.argmax(axis=1)
    found = analysed(one)
    assert sum(cell.radiographs for cell in found.cells) == (predicted != one.truth).sum()
    for cell in found.cells:
        assert len(cell.cases) == min(EACH, cell.radiographs)
        confidence = [case.probabilities[cell.predicted] for case in cell.cases]
        assert confidence == sorted(confidence, reverse=True)
        assert {(case.label, case.predicted) for case in cell.cases} == {(cell.label, cell.predicted)}


def test_tuberculosis_called_normal_comes_first_with_its_rate_and_sites() -> None:
    one = judged()
    point = OperatingPoint(
        label="TUBERCULOSIS",
        threshold=0.0,
        reference="NORMAL",
        target_sensitivity=0.9,
        validation_sensitivity=1.0,
        validation_specificity=0.0,
        test_sensitivity=None,
        test_specificity=None,
    )
    missed = analysed(one, [point]).missed[0]
    predicted = one.probabilities.argmax(axis=1)
    lost = (one.truth == 2) & (predicted == 0)
    assert missed.label == "TUBERCULOSIS"
    assert (missed.radiographs, missed.of) == (lost.sum(), (one.truth == 2).sum())
    assert missed.rate.value == missed.radiographs / missed.of
    assert missed.flagged == missed.radiographs  # from a threshold of zero on, every image is
    assert sum(part[0] for part in missed.by_site.values()) == missed.radiographs
    assert analysed(one).missed[0].flagged is None


def test_the_least_certain_have_the_smallest_margin() -> None:
    one = judged()
    top = np.sort(one.probabilities, axis=1)
    margins = np.sort(top[:, 2] - top[:, 1])
    for case, margin in zip(analysed(one).least_certain, margins, strict=False):
        first, second, _ = sorted(case.probabilities.values(), reverse=True)
        assert abs((first - second) - margin) < 1e-3


def test_flipped_labels_are_found() -> None:
    one = judged(600, seed=3)
    truth = one.probabilities.argmax(axis=1)
    sure = np.argsort(-one.probabilities.max(axis=1))[:5]
    wrong = truth.copy()
    wrong[sure] = (wrong[sure] + 1) % 3
    assert set(likely_label_errors(one.probabilities, wrong)[:5].tolist()) == set(sure.tolist())


def test_right_labels_are_not_suspected() -> None:
    one = judged()
    assert len(likely_label_errors(one.probabilities, one.probabilities.argmax(axis=1))) == 0


def test_the_overlay_is_brightest_where_the_map_is() -> None:
    image = np.full((64, 64), 60, np.uint8)
    cam = np.zeros((3, 4, 4), np.float32)[0]
    cam[0, 3] = 5.0
    sheet = np.asarray(image_and_overlay(image, cam)).astype(int).sum(axis=2)
    side = sheet.shape[0]
    radiograph, overlay = sheet[:, :side], sheet[:, side:]
    assert np.ptp(radiograph) == 0
    assert overlay[: side // 4, -side // 4 :].mean() > 1.5 * overlay[side // 2 :, : side // 2].mean()


def test_a_model_without_the_normal_class_misses_nothing_of_that_kind() -> None:
    one = judged()
    other = JudgedImages(["A", "B", "C"], one.truth, one.probabilities, one.patients)
    assert analysed(other).missed == []
