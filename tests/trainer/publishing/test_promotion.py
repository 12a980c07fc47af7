"""Which model is served by default after a publication: a worse one never takes a better one's place unasked."""

import json
from pathlib import Path

import bentoml
import numpy as np
import pytest
from PIL import Image

from bento.artifact import MANIFEST_FILE, ONNX_FILE, SEEN_FILE, Manifest, sha256_file
from bento.imaging.intake import take_in
from tests.support.artifacts import CLASSES, make_manifest, store_artifact
from tests.support.runs import Trained
from trainer.cli import main
from trainer.inference.model_store import stored_model
from trainer.publishing.promotion import LEAST_IMAGES, Verdict, judge_promotion
from trainer.running.runs import Run
from trainer.tables import csv_text

IMAGES = 60


def evaluated(folder: Path, wrong: int | None = 0, images: int = IMAGES) -> Run:
    """A run with predictions of ``images`` test images, of which it has the first ``wrong`` ones wrong.

    None: it answers as the stored model ``chest_xray:served`` does.
    """
    rng = np.random.default_rng(0)
    predictor = stored_model("chest_xray:served") if wrong is None else None
    rows = []
    for i in range(images):
        file = folder / "data" / f"{i}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64), dtype=np.uint8)).save(file)
        if predictor is None:
            row = np.eye(len(CLASSES))[(i + (i < (wrong or 0))) % len(CLASSES)]
        else:
            taken = take_in(file, predictor.manifest.preprocessing)
            row = predictor.predict(taken.image[None]).probabilities[0]
        rows.append([file.name, CLASSES[i % len(CLASSES)], "A", f"p{i}", "test", *row])
    run = Run(folder / "run")
    run.folder.mkdir()
    run.predictions.write_text(csv_text(["path", "label", "site", "patient", "split", *CLASSES], rows))
    return run


def manifest(**data: object) -> Manifest:
    """Of the run's model, with these entries in its summary of the data."""
    made = make_manifest({ONNX_FILE: "0" * 64}, version="new")
    return made.model_copy(update={"data": made.data.model_copy(update=data)})


@pytest.fixture
def served(own_store: Path) -> str:
    """Random weights, made of the same data as :func:`manifest`."""
    return f"chest_xray:{store_artifact('served').name}"


@pytest.mark.parametrize(
    ("wrong", "promoted", "reason"),
    [
        # one row a sentence: wrong answers of the new model (None: those of the served one), whether it is promoted
        (0, True, "on 60 test images, which neither has seen, macro F1 1.00 against 0."),
        (None, True, "(difference +0.00, +0.00 to +0.00)"),
        (IMAGES, False, "on 60 test images, which neither has seen, macro F1 0.00 against 0."),
    ],
)
def test_a_model_that_is_not_worse_on_the_same_images_is_promoted(
    served: str, tmp_path: Path, wrong: int | None, promoted: bool, reason: str
) -> None:
    verdict = judge_promotion(evaluated(tmp_path, wrong), tmp_path / "data", manifest(), served)
    assert verdict.promoted is promoted
    assert reason in verdict.reason


def test_the_first_model_is_promoted(tmp_path: Path) -> None:
    verdict = judge_promotion(Run(tmp_path), tmp_path, manifest(), None)
    assert verdict == Verdict(True, "the first model in the store")


def test_too_few_images_tell_nothing(served: str, tmp_path: Path) -> None:
    run = evaluated(tmp_path, images=len(CLASSES) * LEAST_IMAGES - 1)
    verdict = judge_promotion(run, tmp_path / "data", manifest(), served)
    assert not verdict.promoted
    assert "TUBERCULOSIS has too few test images to judge both on (4; it takes 5)" in verdict.reason


def test_images_that_are_gone_tell_nothing(served: str, tmp_path: Path) -> None:
    verdict = judge_promotion(evaluated(tmp_path), tmp_path / "elsewhere", manifest(), served)
    assert verdict == Verdict(False, f"it can't be compared with {served}, since none of the images can be read")


def test_a_model_of_other_classes_waits_for_a_word(served: str, tmp_path: Path) -> None:
    new = manifest().model_copy(update={"classes": ["NORMAL", "COVID"]})
    verdict = judge_promotion(evaluated(tmp_path), tmp_path / "data", new, served)
    assert not verdict.promoted
    assert "its classes are NORMAL, COVID, not NORMAL, PNEUMONIA, TUBERCULOSIS" in verdict.reason


def test_a_model_that_may_know_the_test_images_is_no_measure(own_store: Path, tmp_path: Path) -> None:
    served = f"chest_xray:{store_artifact('format-5', format_version=5).name}"
    verdict = judge_promotion(evaluated(tmp_path), tmp_path / "data", manifest(fingerprint="1" * 64), served)
    reason = f"it can't be compared with {served}, which may have been trained on its test images"
    assert verdict == Verdict(False, reason)


@pytest.mark.parametrize(
    ("seen", "promoted", "reason"),
    [
        (6, True, "on 54 of 60 test images, which neither has seen, macro F1 1.00 against 0."),
        (IMAGES - 3, False, "since NORMAL has too few test images to judge both on (1; it takes 5)"),
        (IMAGES, False, "since that one was trained on too many of its test images"),
    ],
)
def test_images_that_the_served_model_has_seen_are_left_out(
    served: str, own_store: Path, tmp_path: Path, seen: int, promoted: bool, reason: str
) -> None:
    run = evaluated(tmp_path)
    listed = [sha256_file(tmp_path / "data" / f"{i}.png") for i in range(seen)]
    (own_store / "served" / SEEN_FILE).write_text(
        csv_text(["sha256", "perceptual_hash"], [[one, ""] for one in listed])
    )
    path = own_store / "served" / MANIFEST_FILE
    document = json.loads(path.read_text())
    document["files"][SEEN_FILE] = sha256_file(own_store / "served" / SEEN_FILE)
    path.write_text(json.dumps(document))
    verdict = judge_promotion(run, tmp_path / "data", manifest(fingerprint="1" * 64), served)
    assert verdict.promoted is promoted
    assert reason in verdict.reason


def test_a_model_of_generated_images_makes_way_and_never_takes_another_ones_place(own_store: Path) -> None:
    for synthetic in (True, False):
        served = f"chest_xray:{store_artifact(f'synthetic-{synthetic}', synthetic=synthetic).name}"
        verdict = judge_promotion(Run(own_store), own_store, manifest(synthetic=not synthetic), served)
        assert verdict.promoted is synthetic
        assert "generated images only" in verdict.reason


def test_a_model_takes_the_place_of_a_damaged_one(served: str, own_store: Path, tmp_path: Path) -> None:
    (own_store / "served" / ONNX_FILE).write_bytes(b"")
    verdict = judge_promotion(evaluated(tmp_path), tmp_path / "data", manifest(), served)
    assert verdict.promoted
    assert "can't be served" in verdict.reason


def test_publication_says_what_is_served_and_how_to_change_it(
    trained: Trained, own_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", "--run", "first", *trained.folders]) == 0
    first = trained.tag
    told = capsys.readouterr().out
    assert f"published: {first}\n" in told
    assert "promoted: the first model in the store; bentoml serve takes it from its next start on" in told
    served = f"chest_xray:{store_artifact('real', synthetic=False).name}"  # which BentoML lets be the latest
    (own_store / first.partition(":")[2]).rename(own_store.parent / "away")
    assert main(["publish", "--run", "first", *trained.folders]) == 0
    told = capsys.readouterr().out
    assert f"stored, not promoted: it knows generated images only; bentoml serve stays with {served}, " in told
    assert f"python -m trainer models promote {first} changes that" in told
    assert str(bentoml.models.get("chest_xray:latest").tag) == served
    assert main(["publish", "--run", "first", *trained.folders, "--promote"]) == 0
    told = capsys.readouterr().out
    assert "promoted: as --promote says" in told
    assert f"and {served} again after python -m trainer models promote {served}\n" in told
    assert str(bentoml.models.get("chest_xray:latest").tag) == first
