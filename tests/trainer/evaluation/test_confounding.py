"""Class and site: what counts as going together, and what an embedding gives away."""

import numpy as np
import numpy.typing as npt
import pytest

from bento.artifact import Interval
from trainer.evaluation.confounding import (
    TOGETHER,
    Association,
    association,
    corrected_cramers_v,
    probe_sentence,
    probe_site,
    site_warning,
)

EXACT = Interval(value=0.9, low=0.8, high=0.95)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param([[50, 0], [0, 50]], 1.0, id="the site tells the class"),
        pytest.param([[30, 30], [30, 30]], 0.0, id="independent"),
        pytest.param([[6, 4], [5, 5]], 0.0, id="what chance alone explains is nothing"),
        pytest.param([[40, 0, 20], [0, 40, 20]], 0.81, id="pneumonia here, tuberculosis there, normal in both"),
    ],
)
def test_cramers_v_of_known_tables(counts: list[list[int]], expected: float) -> None:
    assert corrected_cramers_v(np.array(counts)) == pytest.approx(expected, abs=0.02)


def test_chance_gives_no_warning() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels, sites = rng.choice(["A", "B", "C"], 60), rng.choice(["x", "y", "z"], 60)
        found = association(labels.tolist(), sites.tolist(), [str(i) for i in range(60)])
        assert found is not None
        assert not found.together


def test_a_patient_counts_once_however_many_images_there_are() -> None:
    found = association(["A"] * 50 + ["B"], ["x"] * 50 + ["y"], ["p1"] * 50 + ["p2"])
    assert found is not None
    assert found.patients == {"x": {"A": 1, "B": 0}, "y": {"A": 0, "B": 1}}


def test_one_site_or_none_can_not_be_told_apart() -> None:
    assert association(["A", "B"], ["x", "x"], ["p", "q"]) is None
    assert association(["A", "B"], ["", ""], ["p", "q"]) is None


def embedded(sees_site: bool) -> tuple[npt.NDArray[np.float64], list[str], list[str], list[str]]:
    rng = np.random.default_rng(0)
    labels, sites = rng.choice(["A", "B"], 300), rng.choice(["x", "y"], 300)
    features = rng.normal(size=(300, 12))
    features[:, 0] += 3 * (labels == "A")
    features[:, 1] += 3 * (sites == "x") * sees_site
    return features, labels.tolist(), sites.tolist(), [f"p{i // 2}" for i in range(300)]


@pytest.mark.parametrize("sees_site", [True, False])
def test_the_probe_tells_the_site_only_where_the_embedding_does(sees_site: bool) -> None:
    probe = probe_site(*embedded(sees_site))
    assert probe is not None
    assert probe.radiographs == 300
    assert (probe.accuracy.low > probe.chance_from_class) is sees_site
    assert ("sees the site" in probe_sentence(probe, None)) is sees_site


def test_the_probe_never_saw_the_patient() -> None:
    # Each patient has a mark of its own and a site by chance: only remembering patients would tell.
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(60), 5)
    features = np.eye(60)[patients] * 10 + rng.normal(size=(300, 60)) * 0.1
    sites = rng.choice(["x", "y"], 60)[patients]
    probe = probe_site(features, ["A"] * 300, sites.tolist(), [f"p{i}" for i in patients])
    assert probe is not None
    assert probe.accuracy.low < probe.chance


def test_too_few_patients_of_a_site_give_no_probe() -> None:
    features, labels, _, patients = embedded(True)
    assert probe_site(features, labels, ["x"] * 296 + ["y"] * 4, patients) is None


def test_the_warning_puts_the_figures_within_a_site_first() -> None:
    found = Association(cramers_v=TOGETHER, mutual_information=0.5, patients={})
    assert found.together
    text = site_warning(found, {"x": (EXACT, 40)}, (Interval(value=0.99, low=0.98, high=1.0), 1200))
    assert text.index("x 0.90 (0.80 to 0.95) from 40 images") < text.index(
        "Over all sites it is 0.990 (0.980 to 1.000)"
    )


def test_it_is_said_which_classes_no_site_has_together() -> None:
    labels, sites = ["N", "P", "N", "T", "P"], ["kermany", "kermany", "shenzhen", "shenzhen", "kermany"]
    found = association(labels, sites, ["a", "b", "c", "d", "e"])
    assert found is not None
    assert found.contrasts == [
        "N and P: together at 1 of 2 sites (kermany)",
        "N and T: together at 1 of 2 sites (shenzhen)",
        "P and T: together at no site: what tells them apart can be the site alone, and was not learnt within one",
    ]
