"""``search`` end to end, on the small run's generated images."""

import contextlib
import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.support.runs import FLAGS, Trained
from tests.support.server import ROOT
from tests.trainer.search.conftest import SMALL, Searched
from trainer.cli import load_settings, main
from trainer.search.search import search_split_data
from trainer.search.study import open_studies
from trainer.search_settings import SearchSettings
from trainer.settings import Settings


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open() as stream:
        return list(csv.DictReader(stream))


def _states(folder: Path) -> list[str]:
    """Of the trials of the search itself, in their order."""
    with sqlite3.connect(folder / "search.db") as database:
        return [state for (state,) in database.execute("select state from trials where study_id = 1 order by number")]


def _points(folder: Path) -> dict[int, set[tuple[str, float]]]:
    """What was chosen for each trial of the search itself."""
    points: dict[int, set[tuple[str, float]]] = {}
    query = "select number, param_name, param_value from trial_params join trials using (trial_id) where study_id = 1"
    with sqlite3.connect(folder / "search.db") as database:
        for number, name, value in database.execute(query):
            points.setdefault(number, set()).add((name, value))
    return points


def test_the_first_trial_is_the_run_that_the_settings_would_have_been(trained: Trained, searched: Searched) -> None:
    run = json.loads(trained.run.training.read_text())["phases"]["b"]
    first = _rows(searched.folder)[0]
    assert first["state"] == "complete"
    assert float(first["score"]) == pytest.approx(run["best_macro_f1"], abs=1e-6)


def test_a_search_leaves_what_its_page_promises_and_no_model(searched: Searched) -> None:
    names = {path.relative_to(searched.folder).parts[0] for path in searched.folder.rglob("*")}
    assert {"recommended.yaml", "search.html", "trials.csv", "history.png", "search.db", "trials"} <= names
    assert not [path for path in searched.folder.rglob("*") if path.suffix in (".pt", ".onnx", ".safetensors")]
    assert not (searched.folder / "config.yaml").exists()  # which would make a run of it
    page = (searched.folder / "search.html").read_text()
    assert "Trial 0 is the default" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_the_file_has_the_settings_as_given_unless_the_fresh_seeds_say_otherwise(searched: Searched) -> None:
    path = searched.folder / "recommended.yaml"
    recommended = load_settings(Settings, "train", ["--config", str(path)])
    given = load_settings(Settings, "train", [*FLAGS, "--data-dir", str(recommended.data_dir)])
    better = "is better than the default on 2 fresh seeds" in searched.output
    assert (recommended != given) == better
    verdicts = ("No trial was better", "No setting beats the default beyond chance", "is better than the default")
    assert sum(verdict in searched.output for verdict in verdicts) == 1
    assert better or "keep the default" in searched.output.lower()


def test_each_trial_is_a_run_of_tensorboard_with_its_settings(searched: Searched) -> None:
    first = EventAccumulator(str(searched.folder / "trials" / "000")).Reload()
    assert "validation/macro_f1_within_sites" in first.Tags()["scalars"]
    assert "learning_rate/head" in first.Tags()["scalars"]
    assert "_hparams_/session_start_info" in first.PluginTagToContent("hparams")
    assert len(list((searched.folder / "trials").iterdir())) == 7


def test_a_search_needs_no_file_of_a_test_image(without_test_images: Path, tmp_path: Path) -> None:
    words = [*SMALL, "--data-dir", str(without_test_images), "--runs-dir", str(tmp_path), "--trials", "2"]
    search_split_data(load_settings(SearchSettings, "search", words), tmp_path / "s")
    assert len(_rows(tmp_path / "s")) == 2


def test_sites_left_out_are_searched_by_their_mean(without_test_images: Path, tmp_path: Path) -> None:
    words = [*SMALL, "--data-dir", str(without_test_images), "--runs-dir", str(tmp_path), "--trials", "2"]
    settings = load_settings(SearchSettings, "search", [*words, "--objective", "left-out-sites"])
    search_split_data(settings, tmp_path / "s")
    board = EventAccumulator(str(tmp_path / "s" / "trials" / "000")).Reload()
    scores = [board.Scalars(name)[0].value for name in board.Tags()["scalars"] if name.endswith("/left_out_macro_f1")]
    assert len(scores) == 2  # without the third, a split would lack a class
    assert float(_rows(tmp_path / "s")[0]["score"]) == pytest.approx(sum(scores) / 2, abs=1e-5)


def _start(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "trainer", "search", *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _wait_for_trials(folder: Path, process: subprocess.Popen[str], count: int) -> None:
    deadline = time.monotonic() + 200
    while not (folder / "search.db").is_file() or len(_known(folder)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _known(folder: Path) -> list[str]:
    try:
        return _states(folder)
    except sqlite3.Error:  # its tables are being made
        return []


def test_a_killed_search_goes_on_with_the_same_command(trained: Trained, tmp_path: Path) -> None:
    words = [*SMALL, "--data-dir", str(trained.data_dir), "--runs-dir", str(tmp_path), "--run", "s", "--trials", "3"]
    process = _start(*words)
    _wait_for_trials(tmp_path / "s", process, 2)
    process.kill()
    process.communicate()
    assert "RUNNING" in _states(tmp_path / "s")
    done = _states(tmp_path / "s").count("COMPLETE")
    assert main(["search", *words]) == 0
    states = _states(tmp_path / "s")
    assert states.count("COMPLETE") + states.count("PRUNED") == 3
    assert states.count("FAIL") == 1
    assert "RUNNING" not in states
    assert done >= 1
    points = _points(tmp_path / "s")
    failed = states.index("FAIL")
    assert points.get(failed, set()) <= points[failed + 1]  # it is done again, before any other


def test_ctrl_c_is_told_in_one_line(trained: Trained, tmp_path: Path) -> None:
    words = [*SMALL, "--data-dir", str(trained.data_dir), "--runs-dir", str(tmp_path), "--run", "s"]
    process = _start(*words)
    _wait_for_trials(tmp_path / "s", process, 2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    told = [line for line in errors.splitlines() if line and "does not read" not in line]
    assert told == ["trainer: interrupted; finished trials are kept, go on with the same command"]
    assert "RUNNING" not in _states(tmp_path / "s")


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")  # as the command has it
def test_an_interrupt_that_is_lost_counts_before_the_next_trial(tmp_path: Path) -> None:
    studies = open_studies(tmp_path, None)
    study = studies.open("s", {})

    def loses_it(trial: optuna.Trial) -> float:
        with contextlib.suppress(KeyboardInterrupt):  # as Python does in a finalizer
            os.kill(os.getpid(), signal.SIGINT)
        return 0.0

    with pytest.raises(KeyboardInterrupt):
        studies.run(study, loses_it, lambda: 5, lambda study, trial: None)
    assert len(study.trials) == 1


def test_two_machines_share_their_trials(trained: Trained, tmp_path: Path) -> None:
    shared = ["--storage", f"sqlite:///{tmp_path / 'shared.db'}", "--run", "s", "--trials", "4"]
    words = [*SMALL, "--data-dir", str(trained.data_dir), *shared]
    both = [_start(*words, "--runs-dir", str(tmp_path / name)) for name in ("one", "other")]
    outputs = [process.communicate(timeout=200) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    settings = [(tmp_path / name / "s" / "recommended.yaml").read_text().splitlines()[2:] for name in ("one", "other")]
    assert settings[0] == settings[1]
    with sqlite3.connect(tmp_path / "shared.db") as database:
        ((count,),) = database.execute("select count(*) from trials where study_id = 1")
    assert 4 <= count <= 5


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--cache", "off"], "search: works on the cache; leave out --cache off"),
        (["--cache-gb", "0.001"], "search: works on the cache, which needs"),
        (["--storage", "nonsense"], "--storage: no database that can be used"),
        (["--storage", "sqlite:////nowhere/at/all.db"], "--storage: can't be opened"),
        (["--blocks-b", "9"], "--blocks-b 9: Phase B of efficientnet_lite0 has 3; give 3 or fewer"),
        (["--run", "first"], "is a run and no search; choose another --run"),
        (["--run", "s", "--lr-b", "0.5"], "search s: was begun with lr_b 0.002, and lr_b is 0.5 here"),
        (["--objective", "left-out-sites", "--hold-out-site", "hospital-a"], "give no --hold-out-site"),
    ],
)
def test_what_can_not_be_searched_is_refused_in_one_line(
    trained: Trained, searched: Searched, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    runs = trained.run.folder.parent if "first" in words else searched.folder.parent
    assert main(["search", *FLAGS, "--data-dir", str(trained.data_dir), "--runs-dir", str(runs), *words]) == 2
    assert sentence in capsys.readouterr().err


def test_torchrun_is_refused(
    trained: Trained, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["search", *FLAGS, *trained.folders]) == 2
    assert "runs without torchrun" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["trainer.cli", "trainer.training.train", "trainer.pipeline"])
def test_nothing_but_the_search_loads_optuna(module: str) -> None:
    program = f"import sys, {module}; sys.exit('optuna' in sys.modules or 'sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_without_the_extra_the_command_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    for name in [name for name in sys.modules if name.startswith("trainer.search.")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["search"]) == 2
    assert "search: needs Optuna; pip install -e '.[train,search]'" in capsys.readouterr().err
