"""How often do the intervals of a site's calibration hold the truth? ``python -m tests.benchmarks.site_coverage``.

Logits of scores are drawn from two normal distributions, of patients with and without the disease, so that the truth is
known: at each drawn threshold the sensitivity, specificity and what follows from them; for probabilities that of a
large sample.
"""

import argparse
from collections import defaultdict

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from bento.artifact import Interval
from trainer.sites.programme import Row, Samples, Terms, programme_table
from trainer.sites.recalibration import IDENTITY, fit_logit, recalibrate
from trainer.sites.stratified import Sample
from trainer.sites.thresholds import highest_rank
from trainer.types import Floats

MEANS = (-2.0, 0.5)
"""Of the logits without and with the disease; both have a standard deviation of 1.5."""
SPREAD = 1.5
TERMS = Terms(prevalence=0.05, cost_image=2.0, cost_test=15.0)
SHARE = 0.5
"""Of the patients who have the disease."""
OWN = 0.5


def truth(threshold: float) -> dict[str, float]:
    """The figures of a threshold, of one image a patient."""
    at = np.log(threshold / (1 - threshold))
    sensitivity, specificity = float(norm.sf(at, MEANS[1], SPREAD)), float(norm.cdf(at, MEANS[0], SPREAD))
    share = TERMS.prevalence or 0
    found, alarms = share * sensitivity, (1 - share) * (1 - specificity)
    missed, passed = share * (1 - sensitivity), (1 - share) * specificity
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "positive_value": found / (found + alarms),
        "negative_value": passed / (passed + missed),
        "referred": 1000 * (found + alarms),
        "missed": 1000 * missed,
        "cost": ((TERMS.cost_image or 0) + (TERMS.cost_test or 0) * (found + alarms)) / found,
    }


def sample(patients: int, rng: np.random.Generator) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Scores of so many patients with one image each, and who of them has the disease."""
    positive = np.arange(patients) < round(SHARE * patients)
    return expit(rng.normal(np.where(positive, MEANS[1], MEANS[0]), SPREAD)), positive


def of_rows(patients: int, simulations: int, held: dict[str, list[bool]]) -> None:
    """Intervals of the chosen threshold's row, of one in the middle of the table and of a fixed threshold."""
    rng = np.random.default_rng(patients)
    for _ in range(simulations):
        scores, positive = sample(patients, rng)
        of = Samples(scores, positive, [str(i) for i in range(patients)])
        rows = programme_table(of, TERMS, 0.8, highest_rank(len(of.lowest), 0.9, 0.8), OWN)
        middle = [row for row in rows if not row.use][len(rows) // 2]
        for row in (middle, *(row for row in rows if row.use)):
            _count(row, held)


def _count(row: Row, held: dict[str, list[bool]]) -> None:
    true = truth(row.threshold)
    kind = row.use or "middle"
    for name, value in true.items():
        interval = getattr(row, name)
        if isinstance(interval, Interval):
            held[f"{kind}: {name}"].append(interval.low <= value <= interval.high)
    if row.at_least is not None:
        held[f"{kind}: at least (80 %)"].append(row.at_least <= true["sensitivity"])


def of_probabilities(patients: int, simulations: int, held: dict[str, list[bool]]) -> None:
    """Intervals of Brier score and cross-entropy; the truth of a recalibration is its own on a large sample."""
    rng = np.random.default_rng(patients)
    many, ill = sample(100_000, rng)
    for _ in range(simulations):
        scores, positive = sample(patients, rng)
        found = recalibrate("ILL", scores, positive, Sample([str(i) for i in range(patients)]), None)
        fit = fit_logit(scores, positive, np.ones(patients))
        before, after = (_losses(one.probabilities(many), ill) for one in (IDENTITY, fit))
        for name, metrics, true in (("before", found.before, before), ("after", found.after, after)):
            for kind, interval, value in zip(
                ("brier", "cross_entropy"), (metrics.brier, metrics.cross_entropy), true, strict=True
            ):
                held[f"{kind} {name}"].append(interval.low <= value <= interval.high)
        change = after[0] - before[0]
        held["brier change"].append(found.brier_change.low <= change <= found.brier_change.high)


def _losses(chances: Floats, positive: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[float, float]:
    of_truth = np.where(positive, chances, 1 - chances)
    return float(((1 - of_truth) ** 2).mean()), float(-np.log(np.maximum(of_truth, 1e-6)).mean())


def main() -> None:
    """Print the shares of simulations in which each interval held the truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=1000)
    simulations = parser.parse_args().simulations
    columns: dict[int, dict[str, list[bool]]] = {}
    for patients in (40, 80, 200):
        columns[patients] = defaultdict(list)
        of_rows(patients, simulations, columns[patients])
        of_probabilities(patients, simulations // 5, columns[patients])
    print(f"{'':32}" + "".join(f"{patients:>6} patients" for patients in columns))
    for name in columns[200]:
        cells = "".join(
            f"{np.mean(column[name]):>15.3f}" if name in column else f"{'–':>15}" for column in columns.values()
        )
        print(f"{name:32}{cells}")


if __name__ == "__main__":
    main()
