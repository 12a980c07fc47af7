"""Evaluation commands: what a model loses on simulated other scanners."""

import json
from pathlib import Path

import pytest

from tests.support.runs import Trained
from trainer.cli import main
from trainer.data.corruptions import CORRUPTIONS


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
