"""A model is not judged on the images that it was made with, however they are named, encoded or resized."""

import csv
import json
import shutil
from pathlib import Path

import bentoml
import pytest
from PIL import Image

from bento.artifact import SEEN_FILE, load_manifest
from tests.support.artifacts import store_artifact
from tests.support.runs import Trained
from trainer.cli import main
from trainer.data.sample import SampleSet, write

STRANGERS = SampleSet(images=30, size=96, hospitals=2, seed=77)


def rows(trained: Trained, *splits: str) -> list[dict[str, str]]:
    with (trained.data_dir / "manifest.csv").open() as stream:
        return [row for row in csv.DictReader(stream) if row["split"] in splits]


def test_the_artifact_lists_every_image_that_it_was_made_with_by_hashes_alone(trained: Trained) -> None:
    folder = Path(bentoml.models.get(trained.tag).path)
    assert SEEN_FILE in load_manifest(folder).files
    with (folder / SEEN_FILE).open() as stream:
        listed = list(csv.DictReader(stream))
    assert [*listed[0]] == ["sha256", "perceptual_hash"]
    assert [row["sha256"] for row in listed] == sorted({row["sha256"] for row in rows(trained, "train", "val")})
    assert all(len(row["perceptual_hash"]) == 64 for row in listed)


@pytest.fixture(scope="module")
def mixed(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """New images, and of training and validation images a renamed, an encoded and two resized copies of each kind."""
    folder = tmp_path_factory.mktemp("mixed")
    write(folder, STRANGERS)
    (folder / "manifest.csv").unlink()
    for split in ("train", "val"):
        for number, row in enumerate(rows(trained, split)[:4]):
            file, target = trained.data_dir / row["path"], folder / row["label"] / f"{split}{number}"
            image = Image.open(file).convert("L")
            if number == 0:
                shutil.copyfile(file, target.with_suffix(".png"))
            elif number == 1:
                image.save(target.with_suffix(".jpg"), quality=80)
            else:
                side = 48 if number == 2 else 192
                image.resize((side, side), Image.Resampling.BILINEAR).save(target.with_suffix(".png"))
    return folder


def test_copies_of_its_images_are_left_out_counted_and_said(
    trained: Trained, mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--model", trained.tag, "--dataset", str(mixed), "--out", str(tmp_path)]) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    said = capsys.readouterr().out
    seen, warning = metrics["seen_images"], metrics["warnings"][1]
    assert (seen["given"], seen["same_file"], seen["same_picture"]) == (38, 2, 6)
    assert {Path(path).stem for path in seen["paths"]} == {
        f"{split}{n}" for split in ("train", "val") for n in range(4)
    }
    assert warning.startswith("8 of the 38 images were left out, since the model was trained or validated on them: 2 ")
    assert f"WARNING: {warning}" in said
    assert metrics["test"]["images"] == 30


def test_images_that_it_has_not_seen_are_said_to_be_new(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(trained.data_dir / "test")
    assert main(["evaluate", "--model", trained.tag, "--dataset", folder, "--out", str(tmp_path)]) == 0
    assert "None of these " in capsys.readouterr().out
    assert not json.loads((tmp_path / "metrics.json").read_text())["seen_images"]["paths"]


@pytest.mark.parametrize("command", ["evaluate", "robustness"])
def test_a_model_is_not_judged_on_its_training_images_alone(
    trained: Trained, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", trained.tag, "--dataset", str(trained.data_dir / "train"), "--out", str(tmp_path / "out")]
    assert main([command, *words]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "and none is left: nothing to test it with" in error


def test_a_model_is_not_judged_on_new_images_of_one_class(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained.data_dir / "train", tmp_path / "films")
    for row in rows(trained, "test"):
        if row["label"] == "NORMAL":
            shutil.copy(trained.data_dir / row["path"], tmp_path / "films" / "NORMAL")
    words = ["--model", trained.tag, "--dataset", str(tmp_path / "films"), "--out", str(tmp_path / "out")]
    assert main(["evaluate", *words]) == 2
    assert "others are all NORMAL: nothing to test it with" in capsys.readouterr().err


def test_of_an_artifact_without_the_list_it_is_said_that_nothing_could_be_checked(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tag = "chest_xray:" + store_artifact("without-list", format_version=5).name
    words = ["--model", tag, "--dataset", str(trained.data_dir / "test"), "--out", str(tmp_path)]
    assert main(["evaluate", *words]) == 0
    assert (
        "WARNING: It can't be checked whether the model was trained on some of these images" in capsys.readouterr().out
    )
    assert json.loads((tmp_path / "metrics.json").read_text())["seen_images"]["checked"] is False
