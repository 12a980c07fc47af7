"""``python -m trainer calibrate``: a version of its own with a hospital's thresholds, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import bentoml
import pytest

from bento.artifact import MANIFEST_FILE, ONNX_FILE, SEEN_FILE, WEIGHTS_FILE, load_manifest, sha256_file
from tests.support.artifacts import store_artifact
from tests.support.calibrations import MODEL, calibrate, calibrated, rows
from tests.support.datasets import radiograph, table
from trainer.cli import main
from trainer.publishing.stored_models import served_tag, stored_tags


def test_a_calibrated_model_is_a_version_of_its_own_that_nobody_serves_yet(
    base: Path, local: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--prevalence", "0.02", "--cost-image", "1", "--cost-test", "10", "--reusable-by", "the district"]
    assert calibrate(local, tmp_path / "out", *words) == 0
    said = capsys.readouterr().out
    manifest, sealed = calibrated(), load_manifest(base)
    tag = f"chest_xray:{manifest.model_version}"
    assert f"stored, not promoted: {tag}; bentoml serve stays with {MODEL}" in said
    assert f"python -m trainer models promote {tag} changes that" in said
    assert served_tag() == MODEL
    assert manifest.model_version.startswith("base-north-")
    site = manifest.site
    assert site is not None
    assert (site.name, site.images, site.patients) == ("north", 32, 32)
    assert (site.reusable_by, site.base_version, site.graph) == ("the district", "base", sealed.files[ONNX_FILE])
    (point,) = site.thresholds
    assert (point.label, point.rank, point.positive_patients, point.negative_images) == ("TUBERCULOSIS", 1, 18, 14)
    assert site.no_threshold == {"PNEUMONIA": "no image of PNEUMONIA"}
    assert manifest.reference is not None
    assert manifest.reference.images == 32
    assert manifest.reference.marked["flagged"] >= 18
    same = {"model_version", "site", "reference", "files"}
    assert manifest.model_dump(exclude=same) == sealed.model_dump(exclude=same)
    folder = Path(bentoml.models.get(tag).path)
    assert {name: sha256_file(folder / name) for name in (ONNX_FILE, WEIGHTS_FILE)} == {
        name: sealed.files[name] for name in (ONNX_FILE, WEIGHTS_FILE)
    }
    document = json.loads((tmp_path / "out" / "calibration.json").read_text())
    assert document["site"] == site.model_dump(mode="json")
    page = (tmp_path / "out" / "calibration.html").read_text()
    assert "north: thresholds of its own" in page
    assert "http" not in page.partition("<main>")[2]
    card = (tmp_path / "out" / "calibration.md").read_text()
    assert "| TUBERCULOSIS | " in card
    assert "may be reused by: the district" in card
    assert main(["models"]) == 0
    assert "north (n = 32)" in capsys.readouterr().out


def test_every_patient_with_the_disease_but_those_below_the_rank_is_flagged_by_predict(
    base: Path, local: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrate(local, tmp_path / "out", "--prevalence", "0.1") == 0
    capsys.readouterr()
    tag = f"chest_xray:{calibrated().model_version}"
    assert main(["predict", str(local / "TUBERCULOSIS"), "--model", tag, "--format", "json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    flags = [flag for answer in answers for flag in answer["flags"] if flag["label"] == "TUBERCULOSIS"]
    assert [flag["flagged"] for flag in flags] == [True] * 18
    assert all(0 < flag["probability"] < 1 for flag in flags)
    lowest = min(flag["score"] for flag in flags)
    assert flags[0]["threshold"] == pytest.approx(lowest, rel=0.02)


def test_evaluate_judges_the_thresholds_of_the_site(
    base: Path, local: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrate(local, tmp_path / "out") == 0
    words = ["--model", f"chest_xray:{calibrated().model_version}", "--dataset", str(local)]
    assert main(["evaluate", *words, "--out", str(tmp_path / "judged")]) == 0
    assert "The thresholds are those of north, calibrated on 32 images." in capsys.readouterr().out
    points = json.loads((tmp_path / "judged" / "metrics.json").read_text())["operating_points"]
    judged = {point["label"]: point for point in points}
    assert judged["TUBERCULOSIS"]["test_sensitivity"]["value"] == 1
    assert judged["PNEUMONIA"]["threshold"] == 0.2


def test_the_same_calibration_is_the_same_version(base: Path, local: Path, tmp_path: Path) -> None:
    assert calibrate(local, tmp_path / "out") == 0
    version = calibrated().model_version
    assert calibrate(local, tmp_path / "out") == 0
    assert calibrated().model_version == version


def test_a_calibrated_model_is_calibrated_again_from_its_base(base: Path, tmp_path: Path) -> None:
    north, south = (table(tmp_path / name, rows(18, 14, name)) for name in ("north", "south"))
    assert calibrate(north, tmp_path / "out") == 0
    first = calibrated().model_version
    words = ["--dataset", str(south), "--out", str(tmp_path / "out")]
    assert main(["calibrate", "--model", first, *words]) == 0
    (second,) = set(stored_tags()) - {MODEL, f"chest_xray:{first}"}
    site = load_manifest(Path(bentoml.models.get(second).path)).site
    assert site is not None
    assert (site.name, site.base_version) == ("south", "base")


def test_images_of_one_patient_count_as_one(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = table(tmp_path / "few", rows(9, 14, each=3))
    assert calibrate(few, tmp_path / "out") == 2
    assert "TUBERCULOSIS: 9 patients with it" in capsys.readouterr().err
    enough = table(tmp_path / "enough", rows(16, 14, each=3))
    assert calibrate(enough, tmp_path / "out") == 0
    site = calibrated().site
    assert site is not None
    (point,) = site.thresholds
    assert (point.positive_patients, point.positive_images, site.patients, site.images) == (16, 48, 30, 90)


def test_images_that_the_model_has_seen_are_left_out_and_counted(
    base: Path, local: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = [sha256_file(local / f"NORMAL/north{number}_0.png") for number in range(3)]
    (base / SEEN_FILE).write_text("sha256,perceptual_hash\n" + "".join(f"{digest},\n" for digest in seen))
    manifest = json.loads((base / MANIFEST_FILE).read_text())
    manifest["files"][SEEN_FILE] = sha256_file(base / SEEN_FILE)
    (base / MANIFEST_FILE).write_text(json.dumps(manifest))
    assert calibrate(local, tmp_path / "out") == 0
    assert (
        "3 of the 32 images were left out, since the model was trained or validated on them" in capsys.readouterr().out
    )
    site = calibrated().site
    assert site is not None
    assert site.counts == {"NORMAL": 11, "TUBERCULOSIS": 18}


def unlabelled(folder: Path) -> list[str]:
    return ["--dataset", str(table(folder, [*rows(18, 13), ("x.png", "UNKNOWN", "north", "x")]))]


def two_sites(folder: Path) -> list[str]:
    return ["--dataset", str(table(folder, [*rows(18, 14), *rows(2, 2, "south")]))]


REFUSED: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "a label that the model does not know": (unlabelled, "label 'UNKNOWN' is none of the model's classes"),
    "one class": (lambda folder: ["--dataset", str(table(folder, rows(20, 0)))], "only one class, TUBERCULOSIS"),
    "five images": (
        lambda folder: ["--dataset", str(table(folder, rows(3, 2)))],
        "TUBERCULOSIS: 3 patients with it, and a sensitivity of 90 % with the confidence 0.8 needs 16 "
        "(with 3 no threshold is surer than 0.27)",
    ),
    "several sites": (two_sites, "the images are of 2 sites (north, south); say which: --site"),
    "a site that is none": (lambda folder: [*two_sites(folder), "--site", "east"], "--site east is none of them"),
    "a cost without a prevalence": (
        lambda folder: ["--dataset", str(table(folder, rows(18, 14))), "--cost-test", "3"],
        "--cost-image and --cost-test need --prevalence",
    ),
    "a prevalence of none of its diseases": (
        lambda folder: ["--dataset", str(table(folder, rows(18, 14))), "--prevalence", "FLU=0.1"],
        "--prevalence FLU=…: no disease of this model",
    ),
    "no such folder": (lambda folder: ["--dataset", str(folder / "none")], "no such folder"),
    "no such model": (
        lambda folder: ["--dataset", str(table(folder, rows(18, 14))), "--model", "chest_xray:none"],
        "no model chest_xray:none in the model store",
    ),
    "a folder that can't be made": (
        lambda folder: ["--dataset", str(table(folder, rows(18, 14))), "--out", str(folder / "manifest.csv" / "out")],
        "Not a directory",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_calibrated_on_is_refused_in_one_line_and_nothing_is_stored(
    own_store: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store_artifact("base")
    words, message = REFUSED[name]
    given = words(tmp_path / "local")
    assert main(["calibrate", "--model", MODEL, "--out", str(tmp_path / "out"), *given]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert stored_tags() == [MODEL]
    assert not (tmp_path / "out").exists()


def test_images_that_a_threshold_was_chosen_on_are_no_test_of_it(
    base: Path, local: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrate(local, tmp_path / "out") == 0
    tag = f"chest_xray:{calibrated().model_version}"
    words = ["accept", "--model", tag, "--out", str(tmp_path / "accepted"), "--dataset"]
    assert main([*words, str(local)]) == 2
    assert "the thresholds were chosen on 32 of these 32 images" in capsys.readouterr().err
    (local / "manifest.csv").unlink()
    for seed in range(100, 110):
        radiograph(local / ("TUBERCULOSIS" if seed % 2 else "NORMAL") / f"new{seed}.png", seed)
    assert main([*words, str(local)]) == 1
    told = capsys.readouterr().out
    assert "32 images were left out, since the model's thresholds for the site were chosen on them" in told
    images = json.loads((tmp_path / "accepted" / "acceptance.json").read_text())["looks"][0]["images"]
    assert (images["left_out_calibrated"], sum(images["counts"].values())) == (32, 10)
