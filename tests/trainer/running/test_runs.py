"""Runs: their names, and what former versions of the program have written into them."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Barrier

import pytest
import yaml

import trainer.running.runs
from bento.artifact import ORIENTATIONS
from tests.support.runs import FLAGS, Trained
from trainer.cli import main
from trainer.errors import UserError
from trainer.running.runs import Run, read_training, saved_settings, start_run, training_alone
from trainer.settings import Settings
from trainer.training.checkpoints import keep_best

FORMER = Path(__file__).parents[1] / "evaluation" / "former_version"


def test_the_settings_of_a_former_versions_run_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = Settings().model_dump(mode="json")
    del values["hold_out_site"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"hold_out_source": "B", "source_alignment": 0.25} | values))
    assert saved_settings(Run(tmp_path)).hold_out_site == "B"


def test_a_run_that_a_former_version_began_with_a_setting_that_is_gone_is_not_resumed(tmp_path: Path) -> None:
    values = Settings(runs_dir=tmp_path).model_dump(mode="json")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.yaml").write_text(yaml.safe_dump({"source_alignment": 0.25} | values))
    with pytest.raises(UserError, match=r"old: was begun with site_alignment 0.25, .* start a new run"):
        start_run(Settings(runs_dir=tmp_path, run="old", resume=True))


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


class _Noon(datetime):
    @classmethod
    def now(cls, tz: object = None) -> "_Noon":
        return cls(2026, 7, 1, 12)


def at_once(start: Callable[[int], Run], count: int) -> list[Run | UserError]:
    """What so many starts in the same moment give."""
    barrier = Barrier(count)

    def one(number: int) -> Run | UserError:
        barrier.wait()
        try:
            return start(number)
        except UserError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_unnamed_runs_of_one_second_have_folders_and_settings_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer.running.runs, "datetime", _Noon)
    runs = at_once(lambda seed: start_run(Settings(seed=seed, runs_dir=tmp_path, backbone="resnet18")), 8)
    assert all(isinstance(run, Run) for run in runs)
    assert [saved_settings(run).seed for run in runs if isinstance(run, Run)] == list(range(8))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["20260701-120000-resnet18", *(f"20260701-120000-resnet18-{i}" for i in range(2, 9))]


def test_of_runs_that_take_one_name_in_one_moment_one_starts(tmp_path: Path) -> None:
    runs = at_once(lambda seed: start_run(Settings(seed=seed, runs_dir=tmp_path, run="same")), 8)
    (started,) = [i for i, run in enumerate(runs) if isinstance(run, Run)]
    assert saved_settings(Run(tmp_path / "same")).seed == started
    assert all("this run exists" in str(run) for run in runs if isinstance(run, UserError))


def test_a_run_that_is_training_is_not_resumed(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = start_run(Settings(run="busy", runs_dir=tmp_path, data_dir=trained.data_dir))
    words = ["train", "--resume", "--run", "busy", "--runs-dir", str(tmp_path)]
    with training_alone(run, new=True):
        assert main(words) == 2
    error = capsys.readouterr().err
    assert error == f"trainer: {run.folder}: another process is training this run; wait for it to end\n"
    assert [path.name for path in run.folder.iterdir()] == ["config.yaml"]


def test_a_refused_start_leaves_no_folder(trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "weights.pth").write_text("no weights")
    folders = ["--data-dir", str(trained.data_dir), "--runs-dir", str(tmp_path / "runs")]
    assert main(["train", *FLAGS, *folders, "--weights", str(tmp_path / "weights.pth")]) == 2
    assert "weights.pth" in capsys.readouterr().err
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_start_on_a_full_disk_leaves_no_folder(
    trained: Trained, small_disk: Callable[[int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    disk = small_disk(1)
    with suppress(OSError):
        (disk / "full").write_bytes(bytes(2_000_000))
    folders = ["--data-dir", str(trained.data_dir), "--runs-dir", str(disk / "runs")]
    assert main(["train", *FLAGS, *folders]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert not any((disk / "runs").glob("*"))


def test_a_name_that_is_taken_is_refused_before_any_work(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--data-dir", str(tmp_path / "data"), "--runs-dir", str(trained.run.folder.parent)]
    assert main(["run", *FLAGS, *folders, "--run", "first"]) == 2
    assert "this run exists; continue it with --resume, or choose another --run" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_finished_run_keeps_the_best_checkpoint_of_each_phase_and_is_not_trained_again(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(trained.run.folder.with_name("finished"))
    shutil.copytree(trained.run.folder, run.folder)
    best = {name: phase.best_epoch for name, phase in read_training(run).phases.items()}
    keep_best(run.checkpoints, best)
    left = sorted(path.name for path in run.checkpoints.iterdir())
    assert left == [f"{name}_best_tail_epoch={epoch}.pt" for name, epoch in best.items()]
    written = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*") if path.is_file()}
    assert main(["train", "--resume", "--run", "finished", *trained.folders]) == 0
    assert f"{run.folder}: trained already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*") if path.is_file()} == written
