"""Whether class and site go together in the data, and whether the model's embedding tells the site."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from pydantic import Field
from scipy.stats import chi2_contingency
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from bento.artifact import Interval
from trainer.evaluation.figures import figure_with_interval, percent, percent_with_interval
from trainer.evaluation.shares import share_interval
from trainer.running.documents import Document
from trainer.types import Floats, Integers

TOGETHER = 0.3
"""Cramér's V from which class and site are said to go together: Cohen's medium effect for a 2×2 table."""
PROBE_IMAGES = 2000
"""Images, at most, that the probe is fitted to and judged by."""
FOLDS = 5


class Association(Document):
    """How strongly class and site go together, counted by patient."""

    cramers_v: float
    """0: independent; 1: the site determines the class. Corrected for chance (Bergsma 2013)."""
    mutual_information: float
    """Of class and site, in bits."""
    patients: dict[str, dict[str, int]]
    """Number of patients by site, then by class."""

    @property
    def together(self) -> bool:
        """Whether readers must be warned."""
        return self.cramers_v >= TOGETHER

    @property
    def contrasts(self) -> list[str]:
        """For each pair of classes, which sites have both: a contrast that no site has is not learnt within one."""
        lines = []
        for first, second in combinations(sorted(set().union(*self.patients.values())), 2):
            both = [site for site, counts in self.patients.items() if counts.get(first) and counts.get(second)]
            told = f"together at {len(both)} of {len(self.patients)} sites ({', '.join(both)})"
            none = "together at no site: what tells them apart can be the site alone, and was not learnt within one"
            lines.append(f"{first} and {second}: {told if both else none}")
        return lines


class Probe(Document):
    """How well a linear classifier guesses the site from the embedding of patients that it has not seen."""

    accuracy: Interval
    chance: float
    """Accuracy of always guessing the largest site."""
    chance_from_class: float
    """Accuracy of guessing, for each class, the site with most images of it: what the true class alone tells."""
    radiographs: int


class Call(Document):
    """How often a site's images of one class are called another class, which that site has none of."""

    site: str
    label: str
    called: str
    radiographs: int
    """Images of the class ``label`` at the site."""
    share: Interval


class SiteFindings(Document):
    """What is known of class and site."""

    association: Association | None
    """None where fewer than two sites are named."""
    probe: Probe | None
    probe_text: str
    calls: list[Call] = Field(default_factory=list)
    """Images called a class that their site has none of, of images that the model was not fitted to."""


def association(labels: Sequence[str], sites: Sequence[str], patients: Sequence[str]) -> Association | None:
    """Association of class and site, or None where fewer than two sites or classes are named.

    Args:
        labels: N class names.
        sites: N names, empty where unknown.
        patients: N names.
    """
    # A patient counts once for each class and site.
    rows = sorted({row for row in zip(patients, labels, sites, strict=True) if row[2]})
    label, site = [row[1] for row in rows], [row[2] for row in rows]
    if len(set(site)) < 2 or len(set(label)) < 2:
        return None
    names, columns = sorted(set(site)), sorted(set(label))
    counts = np.zeros((len(names), len(columns)), dtype=np.int64)
    np.add.at(counts, ([names.index(name) for name in site], [columns.index(name) for name in label]), 1)
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
    classes_by_site: Association | None,
) -> list[Call]:
    """How often an image is called a class that its site has none of.

    Args:
        truth: N class indices.
        predicted: N class indices.
        classes: names.
        sites: N names.
        patients: N names.
        classes_by_site: which classes each site has; None gives no calls.
    """
    calls = []
    named = np.array(sites)
    for site, counts in (classes_by_site.patients if classes_by_site else {}).items():
        lacking = [i for i, name in enumerate(classes) if not counts.get(name)]
        for i, label in enumerate(classes):
            rows = np.flatnonzero((named == site) & (truth == i))
            owners = [patients[row] for row in rows.tolist()]
            for j in lacking if len(rows) else []:
                share = share_interval(predicted[rows] == j, owners)
                calls.append(Call(site=site, label=label, called=classes[j], radiographs=len(rows), share=share))
    return calls


def calls_text(calls: Sequence[Call]) -> str:
    """One line per call, for a terminal."""
    return "\n".join(
        f"site {call.site}, which has no {call.called}: of its {call.radiographs:,} {call.label} images "
        f"{percent_with_interval(call.share, call.radiographs)} are called {call.called}"
        for call in calls
    )


def linear_probe() -> Pipeline:
    """The untrained classifier that guesses an image's site from its embedding."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))


def probe_site(
    embeddings: Floats, labels: Sequence[str], sites: Sequence[str], patients: Sequence[str]
) -> Probe | None:
    """Guess each image's site from its embedding N×D, by a logistic regression that never saw the patient.

    None where fewer than two sites have at least :data:`FOLDS` patients each.
    """
    named = np.array(sites)
    counts = {name: len({p for p, s in zip(patients, sites, strict=True) if s == name}) for name in set(sites) - {""}}
    known = [name for name, count in counts.items() if count >= FOLDS]
    if len(known) < 2:
        return None
    rows = np.flatnonzero(np.isin(named, known))
    if len(rows) > PROBE_IMAGES:
        rows = np.sort(np.random.default_rng(0).choice(rows, PROBE_IMAGES, replace=False))
    site, label = named[rows], np.array(labels)[rows]
    owner = np.array(patients, dtype=object)[rows].astype(str)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    guessed = cross_val_predict(linear_probe(), embeddings[rows], site, groups=owner, cv=folds)
    largest = [max(np.unique(site[label == name], return_counts=True)[1]) for name in np.unique(label)]
    return Probe(
        accuracy=share_interval(guessed == site, owner.tolist()),
        chance=float(np.unique(site, return_counts=True)[1].max() / len(rows)),
        chance_from_class=float(sum(largest) / len(rows)),
        radiographs=len(rows),
    )


def site_warning(
    together: Association, macro_f1: dict[str, tuple[Interval, int]], overall: tuple[Interval, int]
) -> str:
    """The warning that class and site go together, metrics within one site first.

    Args:
        together: an association that is strong enough to warn of.
        macro_f1: of each site, and its number of test images.
        overall: over all sites, and the number of all test images.
    """
    within = "; ".join(
        f"{name} {figure_with_interval(*metric)} from {metric[1]:,} images" for name, metric in macro_f1.items()
    )
    return (
        "Class and site go together in these data: where an image comes from already says much about its class "
        f"(Cramér's V {together.cramers_v:.2f}; 0 is none, 1 is all). Believe the metrics within one site first. "
        f"Macro F1 within each site: {within}. Over all sites it is {figure_with_interval(*overall)} from "
        f"{overall[1]:,}, which a model can reach in part by telling the sites apart."
    )


def probe_sentence(probe: Probe, sites: Association | None) -> str:
    """What the probe shows, in words; ``sites`` says how strongly class and site go together."""
    together = sites is not None and sites.together
    known = probe.accuracy.low > probe.chance_from_class
    images = probe.radiographs
    text = (
        "From the model's own embedding, a linear classifier guesses an image's site right in "
        f"{percent_with_interval(probe.accuracy, images)} of {images:,} images that it was not fitted to. Guessing the "
        f"largest site would be right in {percent(probe.chance, images)}, guessing it from the true class in "
        f"{percent(probe.chance_from_class, images)}. "
    )
    if known and together:
        return text + "The model knows the site, and here the site says much about the class."
    if known:
        return text + ("The model sees the site; here that says little about the class, so nothing is gained by it.")
    return text + "The embedding tells no more of the site than the class does."
