"""Does a hospital's own threshold hold, and which recalibration is best? On draws from a site left out of training.

``python -m tests.benchmarks.site_calibration PREDICTIONS``: a run's ``held_out_site_predictions.csv``, or the
``predictions.csv`` of ``evaluate --model``. Some images are drawn and calibrated on, and all others judged.
"""

import argparse
import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bento.inference.odds import odds
from tests.benchmarks.calibrators import METHODS, Booleans, Calibrator
from trainer.sites.thresholds import highest_rank, just_below
from trainer.types import Floats

SIZES = (20, 40, 80)
BINS = 10


class Site(NamedTuple):
    """A site's images."""

    scores: Floats
    positive: Booleans


def read_site(path: Path, label: str, normal: str) -> Site:
    """The images of a disease and of the class without it."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["label"] in (label, normal)]
    both = np.array([[float(row[label]), float(row[normal])] for row in rows])
    return Site(odds(both, [label, normal], label, normal), np.array([row["label"] == label for row in rows]))


def draw(site: Site, size: int, diseased: int | None, rng: np.random.Generator) -> Booleans:
    """Which of the images are drawn: as they come, or so many with the disease."""
    if diseased is None:
        chosen = rng.choice(len(site.scores), size, replace=False)
    else:
        ill, well = np.flatnonzero(site.positive), np.flatnonzero(~site.positive)
        chosen = np.r_[rng.choice(ill, diseased, replace=False), rng.choice(well, size - diseased, replace=False)]
    drawn = np.zeros(len(site.scores), dtype=np.bool_)
    drawn[chosen] = True
    return drawn


class Outcome(NamedTuple):
    """What a drawn threshold does on the other images."""

    sensitivity: float
    specificity: float
    best: float
    """Specificity of the highest threshold that has the wanted sensitivity on these images: who knows all labels."""
    likewise: float
    """The same for the sensitivity that a threshold of as many patients has on average: what the confidence costs."""


def judge(site: Site, drawn: Booleans, target: float, confidence: float) -> Outcome | None:
    """Threshold from the drawn images, judged on the others; None: too few are drawn."""
    ill = np.sort(site.scores[drawn & site.positive])
    rank = highest_rank(len(ill), target, confidence)
    if rank is None:
        return None
    threshold = just_below(float(ill[rank - 1]))
    others, well = np.sort(site.scores[~drawn & site.positive]), site.scores[~drawn & ~site.positive]
    mean = (len(ill) + 1 - rank) / (len(ill) + 1)
    best, likewise = (
        float((well < others[int(np.floor((1 - wanted) * len(others) + 1e-9))]).mean()) for wanted in (target, mean)
    )
    return Outcome(float((others >= threshold).mean()), float((well < threshold).mean()), best, likewise)


def thresholds_table(site: Site, draws: int, target: float, confidence: float) -> None:
    """Print how often the sensitivity is reached on the rest, and what it costs."""
    print(f"thresholds for {target:.0%} with confidence {confidence}, {draws} draws each")
    heads = (
        "images",
        "diseased",
        "with a threshold",
        "sensitivity reached",
        "median sens",
        "spec",
        "best",
        "loss",
        "loss by confidence alone",
    )
    print("  ".join(heads))
    for size, diseased in ((20, None), (20, 16), (40, None), (80, None), (160, None)):
        rng = np.random.default_rng(0)
        outcomes = [judge(site, draw(site, size, diseased, rng), target, confidence) for _ in range(draws)]
        some = np.array([one for one in outcomes if one])
        if not len(some):
            print(f"{size:6}  no draw has a threshold")
            continue
        sensitivity, specificity, best, likewise = np.median(some, axis=0)
        print(
            f"{size:6}  {diseased or 'as drawn'}  {len(some) / draws:.0%}  {(some[:, 0] >= target).mean():.1%}  "
            f"{sensitivity:.3f}  {specificity:.3f}  {best:.3f}  {np.median(some[:, 2] - some[:, 1]):.3f}  "
            f"{best - likewise:.3f}"
        )


def calibration_error(chances: Floats, positive: Booleans) -> float:
    """Expected calibration error in :data:`BINS` bins of as many images each."""
    # Equal chances in random order: that of the table goes by class.
    order = np.lexsort((np.random.default_rng(0).random(len(chances)), chances))
    gaps = [abs(chances[part].mean() - positive[part].mean()) * len(part) for part in np.array_split(order, BINS)]
    return float(sum(gaps) / len(chances))


def losses(calibrator: Calibrator, scores: Floats, positive: Booleans) -> tuple[float, float, float, float]:
    """Calibration error, Brier score, cross-entropy (in nats); and 1 where the Brier score is worse beyond chance.

    Beyond chance: the mean difference from the score as it is exceeds 1.96 of its standard errors over the images.
    """
    chances = np.clip(calibrator(scores), 1e-6, 1 - 1e-6)
    of_truth = np.where(positive, chances, 1 - chances)
    change = (chances - positive) ** 2 - (scores - positive) ** 2
    beyond = change.mean() > max(1e-9, 1.96 * change.std() / np.sqrt(len(change)))
    error = calibration_error(chances, positive)
    return error, float(((1 - of_truth) ** 2).mean()), float(-np.log(of_truth).mean()), float(beyond)


def calibration_table(site: Site, draws: int) -> None:
    """Print each method's losses on the rest, and how often it is worse than no recalibration."""
    print(f"\nrecalibration, on the rest: mean of {draws} draws; in brackets the share of draws worse than as it is")
    print("size  method  calibration error  Brier score  cross-entropy  Brier score worse beyond chance")
    for size in SIZES:
        rng = np.random.default_rng(0)
        found: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in METHODS}
        while len(found["as it is"]) < draws:
            drawn = draw(site, size, None, rng)
            if not 0 < site.positive[drawn].sum() < size:
                continue
            for name, method in METHODS.items():
                calibrator = method(site.scores[drawn], site.positive[drawn])
                found[name].append(losses(calibrator, site.scores[~drawn], site.positive[~drawn]))
        without = np.array(found["as it is"])
        for name, values in found.items():
            table = np.array(values)
            worse, means = (table > without).mean(axis=0), table.mean(axis=0)
            cells = (f"{means[i]:.3f} ({worse[i]:.0%})" for i in range(3))
            print(f"{size:4}  {name:18}  {'  '.join(cells)}  {means[3]:.1%}")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("--label", default="TUBERCULOSIS")
    parser.add_argument("--normal", default="NORMAL")
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--target-sensitivity", type=float, default=0.9)
    parser.add_argument("--confidence", type=float, default=0.8)
    given = parser.parse_args()
    site = read_site(given.predictions, given.label, given.normal)
    print(f"{len(site.scores)} images, {site.positive.sum()} of {given.label}")
    thresholds_table(site, given.draws, given.target_sensitivity, given.confidence)
    calibration_table(site, given.draws)


if __name__ == "__main__":
    main()
