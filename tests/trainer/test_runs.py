"""Runs: their names, and what former versions of the program have written into them."""

import shutil
from pathlib import Path

import pytest
import yaml

from bento.artifact import ORIENTATIONS
from trainer.errors import UserError
from trainer.runs import Run, read_training, saved_settings
from trainer.settings import Settings

FORMER = Path(__file__).parent / "evaluation" / "former_version"


def test_the_settings_of_a_former_versions_run_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = Settings().model_dump(mode="json")
    del values["hold_out_site"], values["site_alignment"]
    values |= {"hold_out_source": "B", "source_alignment": 0.25}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    saved = saved_settings(Run(tmp_path))
    assert (saved.hold_out_site, saved.site_alignment) == ("B", 0.25)


def test_what_a_former_version_found_in_training_is_read(tmp_path: Path) -> None:
    shutil.copy(FORMER / "training.json", tmp_path)
    training = read_training(Run(tmp_path))
    assert training.novelty is not None
    assert training.novelty.images == 189
    assert [point.kind for point in training.orientations] == list(ORIENTATIONS[1:])


def test_settings_that_are_wrong_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: -1\n")
    with pytest.raises(UserError, match=r"config.yaml: can't be read \(seed: Input should be greater"):
        saved_settings(Run(tmp_path))


@pytest.mark.parametrize("lines", [0, 10, -1])
def test_settings_that_are_cut_off_are_not_taken_for_the_defaults(tmp_path: Path, lines: int) -> None:
    text = yaml.safe_dump(Settings().model_dump(mode="json"), sort_keys=False)
    (tmp_path / "config.yaml").write_text("".join(text.splitlines(keepends=True)[:lines]))
    with pytest.raises(UserError, match=r"config\.yaml: can't be read \(it is cut off\); start a new run"):
        saved_settings(Run(tmp_path))
