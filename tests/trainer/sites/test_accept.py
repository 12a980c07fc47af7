"""``accept``: the plan comes first, the verdict follows from the limits, and looks are counted."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bento.artifact import MANIFEST_FILE, ONNX_FILE, load_manifest, sha256_file
from tests.trainer.sites.conftest import IMAGES, TAG, Label, Site
from trainer.cli import main
from trainer.inference.model_store import stored_folder

RIGHT = ["--target-sensitivity", "0.8", "--target-specificity", "0.8"]
"""Targets that 45 right answers of each side show to be met."""


def truth(_: int, __: str, flagged: bool) -> str:
    """The model is always right."""
    return "TUBERCULOSIS" if flagged else "NORMAL"


def often_wrong(place: int, _: str, flagged: bool) -> str:
    """The model is wrong about every third image."""
    return "TUBERCULOSIS" if flagged ^ (place % 3 == 0) else "NORMAL"


def at_times_wrong(place: int, _: str, flagged: bool) -> str:
    """The model is wrong about every tenth image."""
    return "TUBERCULOSIS" if flagged ^ (place % 10 == 0) else "NORMAL"


@pytest.fixture
def table(site: Site, tmp_path: Path) -> Callable[..., Path]:
    """Makes a table of the site's images."""

    def make(label: Label = truth, **more: object) -> Path:
        return site.labelled(tmp_path / "labels.csv", label, **more)  # type: ignore[arg-type]

    return make


def accept(site: Site, labels: Path, out: Path, *words: str) -> int:
    return main([
        "accept", "--model", TAG, "--dataset", str(site.folder), "--labels", str(labels), "--out", str(out), *words
    ])  # fmt: skip


@pytest.mark.usefixtures("site")
def test_without_images_the_plan_is_printed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["accept", "--model", TAG, "--looks", "2"]) == 0
    told = capsys.readouterr().out
    assert "316 patients with the disease and 90 without it" in told
    assert "true values are 0.95 and 0.85 is then accepted with a chance of 0.8" in told
    assert "2 looks, e.g. at 158, 316 with it and 45, 90 without it" in told


@pytest.mark.parametrize(
    ("label", "code", "verdict"), [(truth, 0, "met"), (often_wrong, 1, "not met"), (at_times_wrong, 1, "can't tell")]
)
def test_the_verdict_is_the_exit_code_the_record_and_the_page(
    site: Site,
    table: Callable[..., Path],
    label: Label,
    code: int,
    verdict: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert accept(site, table(label), tmp_path, *RIGHT) == code
    told = capsys.readouterr().out
    assert told.index("plan: ") < told.index("look 1 of 1") < told.index(f"{verdict.upper()}: ")
    (look,) = json.loads((tmp_path / "acceptance.json").read_text())["looks"]
    assert look["verdict"] == verdict
    page = (tmp_path / "acceptance.html").read_text()
    assert re.search(r'class="word[^>]*>([^<]*)<', page)[1] == verdict.capitalize().replace("'", "&#39;")  # type: ignore[index]
    assert "http" not in page.replace("http-equiv", "")


def test_the_record_names_the_model_and_the_images_by_their_hashes(
    site: Site, table: Callable[..., Path], tmp_path: Path
) -> None:
    accept(site, table(), tmp_path, *RIGHT, "--signed-by", "Dr A. Example")
    record, folder = json.loads((tmp_path / "acceptance.json").read_text()), stored_folder(TAG)
    assert record["model"]["tag"] == TAG
    assert record["model"]["graph_sha256"] == load_manifest(folder).files[ONNX_FILE] == sha256_file(folder / ONNX_FILE)
    assert record["model"]["manifest_sha256"] == sha256_file(folder / MANIFEST_FILE)
    images = record["looks"][0]["images"]
    assert set(images["labels_by_sha256"]) == {sha256_file(site.folder / name) for name in site.scores}
    assert images["counts"] == {"NORMAL": 45, "TUBERCULOSIS": 45}
    assert images["labels_file"] == sha256_file(tmp_path / "labels.csv")
    assert record["looks"][0]["signed_by"] == "Dr A. Example"
    assert "Dr A. Example" in (tmp_path / "acceptance.html").read_text()


def test_a_second_look_has_its_own_limits_and_the_plan_of_the_first(
    site: Site, table: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = [*RIGHT, "--looks", "2"]
    order = {name: place for place, name in enumerate(sorted(site.scores))}

    def first_part(_: int, path: str, flagged: bool) -> str:
        return truth(0, path, flagged) if order[path] < 30 else ""

    out = tmp_path / "out"
    assert accept(site, table(first_part), out, *half) == 1
    assert "a later look at more images is allowed" in capsys.readouterr().out
    assert accept(site, table(first_part), out) == 1  # the same images: nothing new is looked at
    assert "images of look 1, which is not counted again" in capsys.readouterr().out
    assert accept(site, table(), out, "--target-sensitivity", "0.5") == 2
    assert "--target-sensitivity 0.5: the plan of" in capsys.readouterr().err
    assert accept(site, table(), out) == 0
    first, second = json.loads((out / "acceptance.json").read_text())["looks"]
    assert first["sensitivity"]["level"] < second["sensitivity"]["level"] < 0.025
    assert (first["images"]["counts"]["NORMAL"], second["images"]["counts"]["NORMAL"]) < (45, 46)
    assert accept(site, table(at_times_wrong), out) == 2
    assert "the plan has ended (look 2 of 2 said: met)" in capsys.readouterr().err


def test_a_look_too_many_is_refused(
    site: Site, table: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert accept(site, table(at_times_wrong), out, *RIGHT) == 1
    assert accept(site, table(truth), out, *RIGHT) == 2
    assert "the plan has ended (look 1 of 1 said: can't tell)" in capsys.readouterr().err


def test_a_later_look_without_former_images_is_refused(
    site: Site, table: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert accept(site, table(at_times_wrong, last=80), out, *RIGHT, "--looks", "2") == 1
    assert accept(site, table(at_times_wrong, last=79), out) == 2
    assert "1 of the 80 images of look 1 are missing" in capsys.readouterr().err


def test_a_record_that_was_changed_or_is_of_another_model_is_refused(
    site: Site, table: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, labels = tmp_path / "out", table(at_times_wrong)
    assert accept(site, labels, out, *RIGHT, "--looks", "3") == 1
    record = out / "acceptance.json"
    original = record.read_text()
    record.write_text(original.replace('"looks": 3', '"looks": 9'))
    assert accept(site, labels, out) == 2
    assert "was changed after it was written" in capsys.readouterr().err
    record.write_text(original[:-30])
    assert accept(site, labels, out) == 2
    assert "no record of accept, or damaged" in capsys.readouterr().err
    record.write_text(original)
    assert accept(site, labels, out, "--disease", "PNEUMONIA") == 2
    assert "not of chest_xray:at-a-site (PNEUMONIA" in capsys.readouterr().err


def test_images_drawn_by_score_are_weighed_back(site: Site, table: Callable[..., Path], tmp_path: Path) -> None:
    def drawn(place: int, _: str, flagged: bool) -> str:
        # Stratum A: a tenth of the folder's images and half of the labelled ones; the model misses all of its disease.
        return f"{'TUBERCULOSIS' if place < 10 or flagged else 'NORMAL'},{'A,1' if place < 10 else 'B,9'}"

    accept(site, table(drawn, columns=",stratum,weight"), tmp_path, *RIGHT)
    (look,) = json.loads((tmp_path / "acceptance.json").read_text())["looks"]
    assert look["sensitivity"]["interval"]["value"] == pytest.approx(45 * 9 / (45 * 9 + 10))
    assert look["images"]["strata"] == 2


def test_a_subgroup_that_is_clearly_worse_is_named(site: Site, table: Callable[..., Path], tmp_path: Path) -> None:
    def by_sex(place: int, _: str, flagged: bool) -> str:
        female = place % 2 == 0
        return f"{'TUBERCULOSIS' if flagged or (female and place < 30) else 'NORMAL'},{'F' if female else 'M'}"

    accept(site, table(by_sex, columns=",Sex"), tmp_path, *RIGHT)
    page = (tmp_path / "acceptance.html").read_text()
    assert "sex F: the sensitivity" in page
    assert "sex M: the sensitivity" not in page


def test_equal_files_count_once_and_may_not_have_two_labels(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    for name, score in site.scores.items():
        target = folder / ("TUBERCULOSIS" if score >= site.threshold else "NORMAL") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(site.folder / name, target)
    one = next((folder / "NORMAL").iterdir())
    shutil.copyfile(one, folder / "NORMAL" / "copy.png")
    words = ["accept", "--model", TAG, "--dataset", str(folder), *RIGHT, "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert "Files that were left out since they equal another one: 1." in capsys.readouterr().out
    shutil.copyfile(one, folder / "TUBERCULOSIS" / "copy.png")
    assert main(words) == 2
    assert "the same file, labelled NORMAL and TUBERCULOSIS" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        (lambda *_: "", "labels.csv: no image in it has a label; fill in the column label"),
        (lambda *_: "NORMAL", "only one class, NORMAL"),
        (lambda place, *_: "EFFUSION" if place else "NORMAL", "label 'EFFUSION' is none of the model's classes"),
        (lambda place, *_: "PNEUMONIA" if place else "NORMAL", "no images of TUBERCULOSIS"),
    ],
)
def test_labels_that_can_t_be_used_are_one_line(
    site: Site,
    table: Callable[..., Path],
    label: Label,
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert accept(site, table(label), tmp_path / "out") == 2
    errors = capsys.readouterr().err.strip()
    assert sentence in errors
    assert len(errors.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--dataset", "."], "accept: --dataset needs --out DIR"),
        (["--assume-sensitivity", "0.9"], "--assume-sensitivity 0.9: must be above --target-sensitivity 0.9"),
        (["--assume-specificity", "0.701"], "takes more than 10,000 images"),
        (["--disease", "flu"], "--disease FLU: the model has no threshold for it"),
        (["--target-sensitivity", "1"], "--target-sensitivity: Input should be less than 1"),
        (["--looks", "0"], "--looks: Input should be greater than or equal to 1"),
    ],
)
def test_a_mistake_is_told_before_any_image_is_read(
    site: Site, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["accept", "--model", TAG, *words]) == 2
    assert sentence in capsys.readouterr().err
    assert len(site.scores) == IMAGES
