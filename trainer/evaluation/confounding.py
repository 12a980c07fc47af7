"""Do class and site go together, and can the model's own embedding tell the site?"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from pydantic import BaseModel
from scipy.stats import chi2_contingency
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from bento.artifact import Interval
from trainer.evaluation.bootstrap import Figures, intervals
from trainer.types import Floats, Integers

TOGETHER = 0.3
"""Cramér's V from which class and site are said to go together: Cohen's medium effect for a 2×2 table."""
PROBE_IMAGES = 2000
FOLDS = 5


class Association(BaseModel):
    """How strongly class and site go together, counted by patient."""

    cramers_v: float
    """0: independent; 1: the site tells the class. Corrected for chance (Bergsma 2013)."""
    mutual_information: float
    """Of class and site, in bits."""
    patients: dict[str, dict[str, int]]
    """By site, then by class."""

    @property
    def together(self) -> bool:
        """Whether readers must be warned."""
        return self.cramers_v >= TOGETHER


class Probe(BaseModel):
    """A linear classifier that guesses the site from the embedding, on patients that it has not seen."""

    accuracy: Interval
    chance: float
    """Of always guessing the largest site."""
    chance_from_class: float
    """Of guessing, for each class, the site that sends most of it: what a perfect classifier of the class tells."""
    radiographs: int


class Call(BaseModel):
    """Images of a class at a site that the model calls a class which that site has none of."""

    site: str
    label: str
    called: str
    radiographs: int
    """Of the class at the site."""
    share: Interval


def association(labels: Sequence[str], sites: Sequence[str], patients: Sequence[str]) -> Association | None:
    """Association of class and site, or None where fewer than two sites are named."""
    rows = sorted(
        {row for row in zip(patients, labels, sites, strict=True) if row[2]}
    )  # a patient counts once for each class and site
    label, site = [row[1] for row in rows], [row[2] for row in rows]
    if len(set(site)) < 2 or len(set(label)) < 2:
        return None
    names, columns = sorted(set(site)), sorted(set(label))
    counts = np.zeros((len(names), len(columns)), dtype=np.int64)
    np.add.at(counts, ([names.index(one) for one in site], [columns.index(one) for one in label]), 1)
    return Association(
        cramers_v=corrected_cramers_v(counts),
        mutual_information=float(mutual_info_score(label, site) / np.log(2)),
        patients={name: dict(zip(columns, row, strict=True)) for name, row in zip(names, counts.tolist(), strict=True)},
    )


def corrected_cramers_v(counts: Integers) -> float:
    """Cramér's V of a table of counts, each row and column with some, corrected for chance (Bergsma 2013)."""
    total = counts.sum()
    rows, columns = counts.shape
    phi = chi2_contingency(counts, correction=False).statistic / total
    excess = max(0.0, phi - (rows - 1) * (columns - 1) / (total - 1))
    side = min(rows - (rows - 1) ** 2 / (total - 1), columns - (columns - 1) ** 2 / (total - 1)) - 1
    return float(np.sqrt(excess / side)) if side > 0 else 0.0


def cross_site_calls(
    truth: Integers,
    predicted: Integers,
    classes: Sequence[str],
    sites: Sequence[str],
    patients: Sequence[str],
    found: Association | None,
) -> list[Call]:
    """How often an image is called a class that its site has none of: what a model does that tells hospitals apart.

    Args:
        truth: N class indices.
        predicted: N class indices.
        classes: names.
        sites: N names.
        patients: N names.
        found: which classes each site has; None gives no calls.
    """
    calls = []
    named = np.array(sites)
    for site, counts in (found.patients if found else {}).items():
        lacking = [i for i, name in enumerate(classes) if not counts.get(name)]
        for i, label in enumerate(classes):
            rows = np.flatnonzero((named == site) & (truth == i))
            owners = [patients[row] for row in rows.tolist()]
            for j in lacking if len(rows) else []:
                hits = (predicted[rows] == j).astype(np.float64)
                share = intervals(partial(_share, hits), owners)["share"]
                calls.append(Call(site=site, label=label, called=classes[j], radiographs=len(rows), share=share))
    return calls


def _share(hits: Floats, weights: Floats) -> Figures:
    return {"share": weights @ hits / weights.sum(axis=1)}


def calls_text(calls: Sequence[Call]) -> str:
    """The same for a terminal, a line each."""
    return "\n".join(
        f"site {one.site}, which has no {one.called}: {one.share.value:.1%} of its {one.radiographs} {one.label} images "
        f"({one.share.low:.1%} to {one.share.high:.1%}) are called {one.called}"
        for one in calls
    )


def linear_probe() -> Pipeline:
    """What guesses an image's site from its embedding."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))


def probe_site(
    embeddings: Floats, labels: Sequence[str], sites: Sequence[str], patients: Sequence[str]
) -> Probe | None:
    """Guess each image's site from its embedding N×D, by a logistic regression that never saw the patient.

    None where fewer than two sites have at least :data:`FOLDS` patients each.
    """
    named = np.array(sites)
    own = {name: len({p for p, s in zip(patients, sites, strict=True) if s == name}) for name in set(sites) - {""}}
    known = [name for name, count in own.items() if count >= FOLDS]
    if len(known) < 2:
        return None
    rows = np.flatnonzero(np.isin(named, known))
    if len(rows) > PROBE_IMAGES:
        rows = np.sort(np.random.default_rng(0).choice(rows, PROBE_IMAGES, replace=False))
    site, label = named[rows], np.array(labels)[rows]
    owner = np.array(patients, dtype=object)[rows].astype(str)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    guessed = cross_val_predict(linear_probe(), embeddings[rows], site, groups=owner, cv=folds)
    correct = (guessed == site).astype(np.float64)
    found = intervals(lambda w: {"accuracy": w @ correct / w.sum(axis=1)}, owner.tolist())
    largest = [max(np.unique(site[label == one], return_counts=True)[1]) for one in np.unique(label)]
    return Probe(
        accuracy=found["accuracy"],
        chance=float(np.unique(site, return_counts=True)[1].max() / len(rows)),
        chance_from_class=float(sum(largest) / len(rows)),
        radiographs=len(rows),
    )


def site_warning(found: Association, macro_f1: dict[str, Interval], overall: Interval) -> str:
    """The warning in plain words, figures within one site first.

    Args:
        found: an association that is ``together``.
        macro_f1: of each site.
        overall: over all sites.
    """
    within = "; ".join(
        f"{name} {figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})" for name, figure in macro_f1.items()
    )
    return (
        "Class and site go together in these data: where an image comes from already says much about its class "
        f"(Cramér's V {found.cramers_v:.2f}; 0 is none, 1 is all). Believe the figures within one site first. "
        f"Macro F1 within each site: {within}. Over all sites it is {overall.value:.3f} "
        f"({overall.low:.3f} to {overall.high:.3f}), which a model can reach in part by telling the sites apart."
    )


def probe_sentence(probe: Probe, found: Association | None) -> str:
    """What the probe shows, in words."""
    together = found is not None and found.together
    known = probe.accuracy.low > probe.chance_from_class
    right, low, high = probe.accuracy.value, probe.accuracy.low, probe.accuracy.high
    text = (
        "From the model's own embedding, a linear classifier guesses an image's site right in "
        f"{right:.0%} of {probe.radiographs} images ({low:.0%} to {high:.0%}). Guessing the largest site would be "
        f"right in {probe.chance:.0%}, guessing it from the true class in {probe.chance_from_class:.0%}. "
    )
    if known and together:
        return text + "The model knows the site, and here the site says much about the class."
    if known:
        return text + ("The model sees the site; here that says little about the class, so nothing is gained by it.")
    return text + "The embedding tells no more of the site than the class does."
