"""Subgroups of a site's images: by age, sex, device and what else the dataset's table says."""

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from bento.artifact import Interval
from trainer.data.listing import Radiograph
from trainer.evaluation.shares import TAIL
from trainer.sites.acceptance import Subgroup
from trainer.sites.stratified import Bits, Rate, Sample

COLUMNS = {
    "age": ("age", "agegroup", "ageband", "patientage", "ageyears"),
    "sex": ("sex", "gender", "patientsex", "patientgender"),
    "device": ("device", "scanner", "manufacturer", "machine", "detector", "station", "stationname", "devicemodel"),
}
"""Subgroups, and the columns that they come from, in lower case without blanks, hyphens and underscores."""
AGES = (15, 25, 45, 65)
"""Ages in years that begin a new group."""
LEAST_COMPARED = 5
"""Images with the disease, or without it, that a subgroup and the others must have to be compared."""
MOST_VALUES = 12
"""A column with more values than this tells no groups."""
_AGE = re.compile(r"0*(\d{1,3})(?:\.\d+)?\s*(y|years?)?", re.IGNORECASE)
"""Years, as 34, 34.5, 34 years or DICOM's 034Y."""


def subgroup_values(radiographs: Sequence[Radiograph]) -> dict[str, list[str]]:
    """For each column that divides N images into groups, their N values; empty where one is not known."""
    found: dict[str, list[str]] = {}
    for name, spellings in COLUMNS.items():
        for column in dict.fromkeys(key for image in radiographs for key in image.columns):
            if "".join(filter(str.isalnum, column)) in spellings and name not in found:
                found[name] = [image.columns.get(column, "").strip() for image in radiographs]
    if "age" in found:
        found["age"] = [_age_group(value) for value in found["age"]]
    found |= {"site": [image.site for image in radiographs], "view": [image.view for image in radiographs]}
    return {name: values for name, values in found.items() if 1 < len(set(values) - {""}) <= MOST_VALUES}


def _age_group(value: str) -> str:
    """The group of an age in years; what is no number is a group's name already."""
    match = _AGE.fullmatch(value)
    if not match:
        return value
    age = int(match[1])
    start = max((limit for limit in AGES if limit <= age), default=0)
    after = next((limit for limit in AGES if limit > age), None)
    return f"{start} to {after - 1}" if after else f"{start} and over"


def judge_subgroups(radiographs: Sequence[Radiograph], sample: Sample, flagged: Bits, positive: Bits) -> list[Subgroup]:
    """Sensitivity and specificity of each subgroup, with intervals that all hold together in 95 of 100 cases.

    A subgroup is clearly worse where the interval of its difference from all other images (Newcombe 1998, from the
    intervals of both) lies below 0. All intervals have Bonferroni's correction for the number of comparisons.

    Args:
        radiographs: N images.
        sample: how they were drawn.
        flagged: which of them the model flags.
        positive: which have the disease.
    """
    groups = [
        (column, value, np.array([one == value for one in values]))
        for column, values in subgroup_values(radiographs).items()
        for value in sorted(set(values) - {""}, key=_by_number)
    ]
    tail = TAIL / max(1, 2 * len(groups))
    found = []
    for column, value, inside in groups:
        known = np.array([one != "" for one in subgroup_values(radiographs)[column]])
        rates: dict[str, Interval | None] = {}
        worse, compared = [], True
        for name, hits, side in (("sensitivity", flagged, positive), ("specificity", ~flagged, ~positive)):
            here, there = side & inside, side & known & ~inside
            rate = sample.rate(hits, here) if here.any() else None
            rates[name] = _interval(rate, tail)
            if min(here.sum(), there.sum()) < LEAST_COMPARED:
                compared = False
            elif rate is not None and _highest_difference(rate, sample.rate(hits, there), tail) < 0:
                worse.append(name)
        found.append(
            Subgroup(
                column=column,
                value=value,
                sensitivity=rates["sensitivity"],
                specificity=rates["specificity"],
                with_disease=int((inside & positive).sum()),
                without_disease=int((inside & ~positive).sum()),
                worse=worse,
                compared=compared,
            )
        )
    return found


def _by_number(value: str) -> tuple[int, str]:
    digits = re.match(r"\d+", value)
    return (int(digits[0]) if digits else 0, value)


def _interval(rate: Rate | None, tail: float) -> Interval | None:
    if rate is None:
        return None
    low, high = rate.limits(tail)
    return Interval(value=rate.value, low=low, high=high)


def _highest_difference(first: Rate, second: Rate, tail: float) -> float:
    """Upper limit of the difference of two independent rates."""
    high, low = first.limits(tail)[1], second.limits(tail)[0]
    return first.value - second.value + math.hypot(high - first.value, second.value - low)


def subgroup_sentences(subgroups: Sequence[Subgroup]) -> list[str]:
    """A warning for each subgroup that is clearly worse."""
    counts = Counter(subgroup.column for subgroup in subgroups)
    sentences = []
    for group in subgroups:
        for name in group.worse:
            rate: Interval | None = getattr(group, name)
            if rate is None:
                continue
            images = group.with_disease if name == "sensitivity" else group.without_disease
            sentences.append(
                f"{group.column} {group.value}: the {name}, {rate.value:.2f} ({rate.low:.2f} to {rate.high:.2f}, "
                f"n = {images}), is clearly lower than that of the other {counts[group.column] - 1} "
                f"{'group' if counts[group.column] == 2 else 'groups'}"
            )
    return sentences
