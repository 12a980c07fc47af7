"""``calibrate`` on images that were drawn by score: they are weighed back to the site, or refused."""

from pathlib import Path

import bentoml
import pytest

from bento.artifact import load_manifest
from tests.support.calibrations import MODEL, calibrate, calibrated, rows
from tests.support.datasets import table
from trainer.publishing.stored_models import stored_tags


def drawn_by_score(dataset: Path, name: str, weights: dict[str, float]) -> Path:
    """A selection of the dataset's images, by class of the given weight each."""
    lines = (dataset / "manifest.csv").read_text().splitlines()
    label = lines[0].split(",").index("label")
    cells = [f"{line},{line.split(',')[label][0]},{weights[line.split(',')[label]]}" for line in lines[1:]]
    selection = dataset.parent / name
    selection.write_text("\n".join([f"{lines[0]},stratum,weight", *cells]) + "\n")
    return selection


def test_images_drawn_by_score_are_weighed_back_to_the_site(
    base: Path, local: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    selection = drawn_by_score(local, "selection.csv", {"TUBERCULOSIS": 1, "NORMAL": 2})
    words = ["--prevalence", "0.02", "--labels", str(selection), "--target-sensitivity", "0.5"]
    assert calibrate(local, tmp_path / "out", *words) == 0
    told = capsys.readouterr().out
    assert "drawn by score from 2 strata and weighed back to the site" in told
    manifest = calibrated()
    site = manifest.site
    assert site is not None
    (point,) = site.thresholds
    assert (site.strata, site.images, site.counts) == (2, 32, {"NORMAL": 14, "TUBERCULOSIS": 18})
    assert point.independent_patients is not None
    assert 0 < point.independent_patients <= 18
    assert point.reached_confidence >= 0.8
    (fit,) = site.recalibration
    assert fit.sample_share == pytest.approx(18 / (18 + 2 * 14))
    reference, own = manifest.reference, load_manifest(base).reference
    assert reference is not None
    assert own is not None
    assert reference.histograms == own.histograms
    assert own.marked.keys() - reference.marked.keys() == {"flagged"}
    assert "drawn by score" in (tmp_path / "out" / "calibration.html").read_text()
    assert "drawn by score" in (tmp_path / "out" / "calibration.md").read_text()


def test_equal_weights_give_the_threshold_of_images_as_they_come(base: Path, local: Path, tmp_path: Path) -> None:
    assert calibrate(local, tmp_path / "out") == 0
    first = calibrated()
    equal = drawn_by_score(local, "equal.csv", {"TUBERCULOSIS": 3, "NORMAL": 3})
    equal.replace(local / "manifest.csv")
    assert calibrate(local, tmp_path / "out") == 0
    (tag,) = set(stored_tags()) - {MODEL, f"chest_xray:{first.model_version}"}
    second = load_manifest(Path(bentoml.models.get(tag).path)).site
    assert first.site is not None
    assert second is not None
    assert (first.site.strata, second.strata) == (0, 2)
    ((plain,), (weighed,)) = first.site.thresholds, second.thresholds
    assert weighed.independent_patients == pytest.approx(18)
    assert plain.independent_patients is None
    for name in ("threshold", "rank", "reached_confidence"):
        assert getattr(weighed, name) == pytest.approx(getattr(plain, name))
    assert weighed.sensitivity.model_dump() == pytest.approx(plain.sensitivity.model_dump())


def test_a_few_heavy_images_are_worth_too_few_patients(
    base: Path, local: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = drawn_by_score(local, "selection.csv", {"TUBERCULOSIS": 1, "NORMAL": 1}).read_text().splitlines()
    ill = next(place for place, line in enumerate(lines) if line.endswith(",T,1"))
    lines[ill] = lines[ill].removesuffix("T,1") + "H,40"
    (tmp_path / "selection.csv").write_text("\n".join(lines) + "\n")
    assert calibrate(local, tmp_path / "out", "--labels", str(tmp_path / "selection.csv")) == 2
    error = capsys.readouterr().err
    assert "TUBERCULOSIS: 18 patients with it, drawn by score, are worth 2.0 drawn as they come" in error
    assert "needs 16" in error
    assert "images labelled instead of 32" in error


def test_several_images_of_a_patient_are_not_weighed_back(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twice = table(tmp_path / "twice", rows(18, 14, each=2))
    selection = drawn_by_score(twice, "selection.csv", {"TUBERCULOSIS": 1, "NORMAL": 9})
    assert calibrate(twice, tmp_path / "out", "--labels", str(selection)) == 2
    assert "some patient has several of them" in capsys.readouterr().err


def test_a_selection_of_several_sites_is_refused(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = table(tmp_path / "both", [*rows(18, 14), *rows(2, 2, "south")])
    selection = drawn_by_score(both, "selection.csv", {"TUBERCULOSIS": 1, "NORMAL": 9})
    assert calibrate(both, tmp_path / "out", "--labels", str(selection), "--site", "north") == 2
    assert "from several sites together" in capsys.readouterr().err
