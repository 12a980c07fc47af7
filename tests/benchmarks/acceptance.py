"""How often do a site's intervals hold the truth, and models get accepted? ``python -m tests.benchmarks.acceptance``.

First table: images drawn by score (``select``) and weighed back, by prevalence, size of the folder, and how far the
scores are shifted at the site. Second: ``accept`` on a model that lies at its targets, and on one as good as assumed.
Third: subgroups that do not differ, with three images a patient. Fourth: the threshold that ``calibrate`` finds on
images drawn by score, and on as many drawn at random.
"""

import argparse
import math
from pathlib import Path

import numpy as np
from scipy.stats import norm

from bento.inference.odds import logit
from trainer.data.listing import Radiograph
from trainer.site_settings import AcceptSettings
from trainer.sites.acceptance import Measured, Plan
from trainer.sites.look import measured, verdict_of
from trainer.sites.plan import make_plan
from trainer.sites.programme import Samples
from trainer.sites.sample_size import look_sizes
from trainer.sites.strata import draw, stratify
from trainer.sites.stratified import Rate, Sample, stratified_rate
from trainer.sites.subgroups import judge_subgroups
from trainer.sites.thresholds import just_below

DISTANCE = 2.0
"""Of the two normal distributions of scores, in standard deviations: an AUC of 0.92."""
FOLDERS = ((0.3, 100), (0.3, 1000), (0.05, 2000))
"""Prevalence, and images of the folder."""
DRAWN = (40, 120)
CALIBRATED = (40, 80, 120)
SHIFTS = (0.0, -1.5)
"""Of the log odds at the site: -1.5 makes a sensitivity of 0.90 one of 0.70."""


def covered(prevalence: float, images: int, drawn: int, shift: float, draws: int) -> list[float]:
    """Sensitivity, then specificity: mean error, root mean square error over that of as many images drawn at random,
    share of intervals that hold the truth, and mean width.

    The truth is the site's, of which the folder is a draw.
    """
    rng = np.random.default_rng(0)
    own = math.exp(DISTANCE * (norm.ppf(0.1) + DISTANCE / 2))
    threshold = own / (1 + own)
    edge = (math.log(own) - shift) / DISTANCE + DISTANCE / 2
    truths = (float(norm.sf(edge - DISTANCE)), float(norm.cdf(edge)))
    found: list[list[tuple[float, float, bool, float]]] = [[], []]
    for seed in range(draws):
        ill = rng.random(images) < prevalence
        place = rng.normal(size=images) + DISTANCE * ill
        scores = 1 / (1 + np.exp(-(DISTANCE * (place - DISTANCE / 2) + shift)))
        strata = stratify(scores, threshold, drawn)
        rows = draw(strata, seed)
        weights, flagged = (strata.images / strata.drawn)[strata.numbers[rows]], scores[rows] >= threshold
        plain = rng.choice(images, drawn, replace=False)
        sides = ((flagged, ill[rows], scores[plain] >= threshold, ill[plain]),
                 (~flagged, ~ill[rows], scores[plain] < threshold, ~ill[plain]))  # fmt: skip
        for errors, (hits, side, plain_hits, plain_side), truth in zip(found, sides, truths, strict=True):
            if not side.any() or not plain_side.any():
                continue
            rate = stratified_rate(hits, side, strata.numbers[rows], weights)
            low, high = rate.limits()
            errors.append((
                rate.value - truth, plain_hits[plain_side].mean() - truth, low <= truth <= high, high - low,
            ))  # fmt: skip
    result = []
    for errors in found:
        error, plain_error, held, width = np.array(errors, dtype=float).T
        ratio = math.sqrt((error**2).mean() / (plain_error**2).mean())
        result += [error.mean(), ratio, held.mean(), width.mean()]
    return result


def thresholds(prevalence: float, images: int, drawn: int, shift: float, draws: int) -> list[float]:
    """Of images drawn by score, then of as many drawn at random: share of draws that give a threshold; of these, share
    whose sensitivity at the site reaches 0.9, as asked for with a confidence of 0.8, and mean specificity; all NaN but
    the first where none does."""
    rng = np.random.default_rng(3)
    own = math.exp(DISTANCE * (norm.ppf(0.1) + DISTANCE / 2))
    found: list[list[tuple[bool, float]]] = [[], []]
    for seed in range(draws):
        ill = rng.random(images) < prevalence
        place = rng.normal(size=images) + DISTANCE * ill
        scores = 1 / (1 + np.exp(-(DISTANCE * (place - DISTANCE / 2) + shift)))
        strata = stratify(scores, own / (1 + own), drawn)
        rows, plain = draw(strata, seed), rng.choice(images, drawn, replace=False)
        names, numbers = [str(row) for row in range(drawn)], strata.numbers[rows]
        sample = Sample(names, numbers, (strata.images / strata.drawn)[numbers])
        for results, of in zip(
            found,
            (Samples(scores[rows], ill[rows], names, sample), Samples(scores[plain], ill[plain], names)),
            strict=True,
        ):
            rank = of.highest(0.9, 0.8)
            if rank is not None:
                edge = (logit(just_below(float(of.lowest[rank - 1]))) - shift) / DISTANCE + DISTANCE / 2
                results.append((norm.sf(edge - DISTANCE) >= 0.9, norm.cdf(edge)))
    nothing = [math.nan, math.nan]
    return [
        cell
        for results in found
        for cell in (len(results) / draws, *(np.array(results, float).mean(axis=0).tolist() if results else nothing))
    ]


def verdicts(plan: Plan, sensitivity: float, specificity: float, draws: int) -> dict[str, float]:
    """Share of tests that end with each verdict, looks evenly spaced."""
    rng = np.random.default_rng(1)
    counts = dict.fromkeys(("met", "not met", "can't tell"), 0)
    sizes = list(zip(*(look_sizes(n, plan.looks) for n in (plan.with_disease, plan.without_disease)), strict=True))
    known: dict[tuple[int, ...], Measured] = {}
    for _ in range(draws):
        hits = (rng.random(plan.with_disease) < sensitivity, rng.random(plan.without_disease) < specificity)
        former: tuple[list[Measured], list[Measured]] = ([], [])
        verdict = "can't tell"
        for look, of in enumerate(sizes):
            for side, target in enumerate((plan.target_sensitivity, plan.target_specificity)):
                right = int(hits[side][: of[side]].sum())
                key = (side, look, right)
                if key not in known:
                    known[key] = measured(Rate(right / of[side], of[side], of[side]), target, plan, former[side])
                former[side].append(known[key])
            verdict, _ = verdict_of(plan, former[0][-1], former[1][-1])
            if verdict != "can't tell":
                break
        counts[verdict] += 1
    return {name: count / draws for name, count in counts.items()}


def false_warnings(draws: int) -> float:
    """Share of tests with a warning, where four ages, two sexes and two devices do not differ."""
    rng = np.random.default_rng(2)
    warned = 0
    for _ in range(draws):
        owner = np.repeat(np.arange(120), 3)
        columns = [rng.integers(0, kinds, 120)[owner].astype(str) for kinds in (4, 2, 2)]
        radiographs = [
            Radiograph(Path(), str(number), "", columns={"age": f"group {age}", "sex": sex, "device": device})
            for number, (age, sex, device) in enumerate(zip(*columns, strict=True))
        ]
        positive = (rng.random(120) < 0.4)[owner]
        right = rng.random(360) < rng.beta(0.85, 0.15, 120)[owner]
        groups = judge_subgroups(radiographs, Sample(owner.astype(str).tolist()), right == positive, positive)
        warned += any(group.worse for group in groups)
    return warned / draws


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    draws = parser.parse_args().draws
    heads = "".join(f"{side:>7}{'ratio':>7}{'holds':>7}{'width':>7}" for side in ("sens", "spec"))
    print(f"{'prev':>5}{'images':>7}{'drawn':>6}{'shift':>6}{heads}")
    for prevalence, images in FOLDERS:
        for drawn in (size for size in DRAWN if size < images):
            for shift in SHIFTS:
                cells = "".join(f"{cell:7.3f}" for cell in covered(prevalence, images, drawn, shift, draws))
                print(f"{prevalence:5}{images:7}{drawn:6}{shift:6}{cells}", flush=True)
    print(f"\n{'looks':>5}{'with':>6}{'without':>8}{'true values':>13}{'met':>8}{'not met':>9}{'open':>8}")
    for looks in (1, 2, 3, 5):
        plan = make_plan(AcceptSettings(looks=looks))
        for truth in ((0.9, 0.99), (0.99, 0.7), (0.9, 0.7), (0.95, 0.85)):
            shares = verdicts(plan, *truth, 10 * draws)
            cells = "".join(f"{share:{width}.4f}" for share, width in zip(shares.values(), (8, 9, 8), strict=True))
            print(f"{looks:5}{plan.with_disease:6}{plan.without_disease:8}{truth[0]:7}{truth[1]:6}{cells}", flush=True)
    print(f"\nsubgroups that do not differ, with a warning: {false_warnings(draws):.3f} of the tests")
    heads = "".join(f"{side:>8}{'holds':>7}{'spec':>7}" for side in ("drawn", "random"))
    print(f"\n{'prev':>5}{'images':>7}{'n':>6}{'shift':>6}{heads}")
    for prevalence, images in FOLDERS:
        for drawn in (size for size in CALIBRATED if size < images):
            for shift in SHIFTS:
                cells = "".join(f"{cell:7.3f}" for cell in thresholds(prevalence, images, drawn, shift, draws))
                print(f"{prevalence:5}{images:7}{drawn:6}{shift:6} {cells}", flush=True)


if __name__ == "__main__":
    main()
