"""Subgroups come from what the table says, and a warning needs more than chance."""

from pathlib import Path

import numpy as np
import pytest

from trainer.data.listing import Radiograph
from trainer.sites.stratified import Sample
from trainer.sites.subgroups import judge_subgroups, subgroup_sentences, subgroup_values


def radiographs(**columns: list[str]) -> list[Radiograph]:
    rows = zip(*columns.values(), strict=True)
    return [
        Radiograph(Path(str(number)), str(number), "NORMAL", columns=dict(zip(columns, row, strict=True)))
        for number, row in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("age", "group"),
    [("3", "0 to 14"), ("015Y", "15 to 24"), ("44.5", "25 to 44"), ("45 years", "45 to 64"), ("90", "65 and over"),
     ("child", "child"), ("20-29", "20-29"), ("", "")],
)  # fmt: skip
def test_ages_in_years_are_put_into_groups_and_groups_stay(age: str, group: str) -> None:
    assert subgroup_values(radiographs(age=[age, "70", "8"]))["age"][0] == group


@pytest.mark.parametrize(
    ("column", "name"), [("patient_sex", "sex"), ("gender", "sex"), ("station name", "device"), ("age-group", "age")]
)
def test_columns_are_known_by_their_usual_names(column: str, name: str) -> None:
    assert subgroup_values(radiographs(**{column: ["a", "b"]})) == {name: ["a", "b"]}


def test_a_column_of_one_value_or_of_very_many_tells_no_groups() -> None:
    assert subgroup_values(radiographs(sex=["F", "F", ""], device=["a", "b", "c"])).keys() == {"device"}
    assert subgroup_values(radiographs(device=[str(number) for number in range(50)])) == {}


def judged(worse: float, images: int = 300) -> list[str]:
    """Warnings where the model finds so many of group F and 0.9 of group M."""
    rng = np.random.default_rng(2)
    sexes = ["F", "M"] * (images // 2)
    positive = rng.random(images) < 0.5
    found = rng.random(images) < np.where([sex == "F" for sex in sexes], worse, 0.9)
    flagged = np.where(positive, found, rng.random(images) < 0.2)
    sample = Sample([str(number) for number in range(images)])
    return subgroup_sentences(judge_subgroups(radiographs(sex=sexes), sample, flagged, positive))


def test_a_group_of_which_many_are_missed_is_named_with_its_number_of_images() -> None:
    (warning,) = judged(0.5)
    assert warning.startswith("sex F: the sensitivity, 0.")
    assert "n = 7" in warning


def test_groups_that_are_alike_bring_no_warning_and_few_images_none_at_all() -> None:
    assert judged(0.9) == []
    assert judged(0.0, images=12) == []


def test_images_of_which_the_group_is_not_known_are_in_no_comparison() -> None:
    sexes = ["F"] * 10 + ["M"] * 10 + [""] * 200
    flagged, positive = np.array([True] * 20 + [False] * 200), np.ones(220, bool)
    groups = judge_subgroups(radiographs(sex=sexes), Sample([str(n) for n in range(220)]), flagged, positive)
    assert [(group.value, group.with_disease, group.worse) for group in groups] == [("F", 10, []), ("M", 10, [])]
