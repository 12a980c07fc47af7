"""Evaluation commands: what a model loses on simulated other scanners."""

import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.support.runs import Trained
from trainer.cli import main
from trainer.data.corruptions import CORRUPTIONS
from trainer.evaluate import TENSORBOARD


def test_robustness_of_a_run_is_that_of_its_published_model_on_the_same_images(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, stored_out = tmp_path / "run.json", tmp_path / "stored.json"
    assert main(["robustness", "--run", "first", *trained.folders, "--out", str(out)]) == 0
    table = capsys.readouterr().out
    assert "all: " in table
    assert all(corruption.name in table for corruption in CORRUPTIONS)
    assert "mean loss at strength 3: " in table
    words = ["--model", trained.tag, "--dataset", str(trained.data_dir / "test"), "--out", str(stored_out)]
    assert main(["robustness", *words]) == 0
    ours, theirs = (json.loads(path.read_text())["all"] for path in (out, stored_out))
    assert ours["clean"]["value"] == theirs["clean"]["value"]
    assert ours["loss"]["3"]["value"] == theirs["loss"]["3"]["value"]


def test_all_strengths_are_told_where_they_are_asked_for(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model", trained.tag, "--dataset", str(trained.data_dir / "test"), "--all"]
    assert main(["robustness", *words]) == 0
    table = capsys.readouterr().out
    assert all(f"mean loss at strength {strength}: " in table for strength in range(1, 6))


def test_an_evaluation_shows_curves_reliability_embeddings_and_final_metrics(trained: Trained) -> None:
    folder = trained.run.folder / TENSORBOARD
    events = EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()
    assert {"test/NORMAL", "test/PNEUMONIA", "test/TUBERCULOSIS"} <= set(events.Tags()["tensors"])
    assert {"test/reliability_before_scaling", "test/reliability_after_scaling"} <= set(events.Tags()["images"])
    assert {"final/macro_f1", "final/ece"} <= set(events.Tags()["scalars"])
    assert "hparams" in events.summary_metadata["_hparams_/session_start_info"].plugin_data.plugin_name
    (metadata,) = folder.rglob("metadata.tsv")
    assert metadata.read_text().splitlines()[0] == "label\tsite\tpredicted\tright\tpath"
    assert list(folder.rglob("sprite.png"))
    assert (folder / "projector_config.pbtxt").is_file()
