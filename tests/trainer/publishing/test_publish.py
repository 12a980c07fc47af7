"""Publication, and the way of an image from the shell and over HTTP: the same numbers everywhere."""

import csv
import json
import os
import shutil
from pathlib import Path

import bentoml
import httpx
import numpy as np
import pytest
from PIL import Image

from bento.artifact import ORIENTATIONS, SYNTHETIC_NOTICE, load_manifest
from tests.support.dicoms import dicom
from tests.support.runs import Trained, trainer
from tests.support.server import running_service


@pytest.fixture(scope="module")
def rows(trained: Trained) -> list[dict[str, str]]:
    with trained.run.predictions.open() as stream:
        return list(csv.DictReader(stream))


def test_the_store_entry_says_what_it_is(trained: Trained) -> None:
    model = bentoml.models.get(trained.tag)
    assert model.info.labels == {"backbone": "efficientnet_lite0", "dataset": "sample", "notice": "synthetic"}
    assert model.info.metadata["notice"] == SYNTHETIC_NOTICE
    assert sorted(path.name for path in Path(model.path).iterdir()) == [
        "manifest.json",
        "model.onnx",
        "model.yaml",
        "seen_images.csv",
        "weights.safetensors",
    ]


def test_the_manifest_is_whole_and_names_no_folder_of_this_machine(trained: Trained) -> None:
    folder = Path(bentoml.models.get(trained.tag).path)
    manifest = load_manifest(folder)
    metrics = json.loads(trained.run.metrics.read_text())
    assert manifest.metrics.macro_f1 == metrics["test"]["macro_f1"]
    assert manifest.novelty is not None
    assert manifest.novelty.test_flagged is not None
    assert manifest.novelty.model_dump() == metrics["novelty_rates"]["novelty"]
    assert [point.kind for point in manifest.orientations] == list(ORIENTATIONS[1:])
    assert manifest.data.synthetic
    assert manifest.data.split == "grouped"
    assert sum(sum(counts.values()) for counts in manifest.data.counts.values()) == 150
    assert str(trained.data_dir.parent) not in (folder / "manifest.json").read_text()


def test_publishing_twice_gives_the_same_model(trained: Trained) -> None:
    before = len(bentoml.models.list())
    done = trainer("publish", "--run", "first", *trained.folders)
    assert done.returncode == 0, done.stderr
    assert f"published: {trained.tag}" in done.stdout
    assert len(bentoml.models.list()) == before


def test_a_changed_graph_is_not_published(trained: Trained, tmp_path: Path) -> None:
    shutil.copytree(trained.run.folder, tmp_path / "first")
    with (tmp_path / "first" / "model" / "model.onnx").open("ab") as stream:
        stream.write(b"x")
    done = trainer("publish", "--run", "first", "--runs-dir", str(tmp_path))
    assert done.returncode == 2
    assert "missing or changed since training" in done.stderr


def test_an_untrained_run_is_not_published(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    shutil.copy(trained.run.config, tmp_path / "bare")
    done = trainer("publish", "--run", "bare", "--runs-dir", str(tmp_path))
    assert done.returncode == 2
    assert "python -m trainer train" in done.stderr


def test_the_service_answers_as_predictions_csv_says(
    trained: Trained, rows: list[dict[str, str]], tmp_path: Path
) -> None:
    with (
        running_service(tmp_path / "log", CHEST_XRAY_MODEL=trained.tag) as url,
        httpx.Client(base_url=url) as client,
    ):
        metadata = client.get("/metadata").json()
        assert metadata["model_version"] == trained.tag.partition(":")[2]
        assert SYNTHETIC_NOTICE in json.dumps(metadata)
        for row in rows[:6]:
            radiograph = (trained.data_dir / row["path"]).read_bytes()
            answer = client.post("/predict", files={"file": ("image.png", radiograph, "image/png")}).json()
            for prediction in answer["predictions"]:
                assert prediction["confidence"] == pytest.approx(float(row[prediction["label"]]), abs=1e-6)


def test_predict_from_the_shell_gives_the_same_numbers(
    trained: Trained, rows: list[dict[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no image")
    radiographs = [str(trained.data_dir / row["path"]) for row in rows[:5]]
    grey = np.asarray(Image.open(radiographs[0]).convert("L"))
    (tmp_path / "first.DCM").write_bytes(dicom(grey, WindowCenter=128, WindowWidth=256))
    done = trainer("predict", *radiographs, str(tmp_path), "--model", trained.tag, "--format", "csv")
    assert done.returncode == 1  # one file could not be read
    answers = list(csv.DictReader(done.stdout.splitlines()))
    for answer, row in zip(answers[:5], rows[:5], strict=True):
        assert float(answer["TUBERCULOSIS"]) == pytest.approx(float(row["TUBERCULOSIS"]), abs=1e-6)
        assert answer["error"] == ""
    assert answers[5]["file"].endswith("broken.png")
    assert answers[5]["error"]
    # The same image as DICOM has the same figures.
    assert {**answers[6], "file": ""} == {**answers[0], "file": ""}


def test_an_external_test_of_a_stored_model(trained: Trained, tmp_path: Path) -> None:
    folder, out = tmp_path / "elsewhere", tmp_path / "out"
    for split in ("val", "test"):
        shutil.copytree(trained.data_dir / split, folder, dirs_exist_ok=True)
    (folder / "NORMAL" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no image")
    done = trainer("evaluate", "--model", trained.tag, "--dataset", str(folder), "--out", str(out))
    assert done.returncode == 0, done.stderr
    metrics = json.loads((out / "metrics.json").read_text())
    assert list(metrics["unreadable"]) == ["NORMAL/broken.png"]
    with (out / "predictions.csv").open() as stream:
        found = list(csv.DictReader(stream))
    assert len(found) == metrics["test"]["images"]
    assert list(found[0]) == [
        "path",
        "label",
        "site",
        "patient",
        "split",
        "NORMAL",
        "PNEUMONIA",
        "TUBERCULOSIS",
    ]


def test_labels_that_the_model_does_not_know_are_refused(trained: Trained, tmp_path: Path) -> None:
    for name in ("CAT", "DOG"):
        shutil.copytree(trained.data_dir / "test" / "NORMAL", tmp_path / "pets" / name)
    done = trainer(
        "evaluate", "--model", trained.tag, "--dataset", str(tmp_path / "pets"), "--out", str(tmp_path / "o")
    )
    assert done.returncode == 2
    assert "'CAT' is none of the model's classes" in done.stderr
    assert not (tmp_path / "o").exists()


def test_the_store_of_the_tests_is_not_the_users() -> None:
    assert Path(os.environ["BENTOML_HOME"]).name.startswith("chest-xray-tests-")
