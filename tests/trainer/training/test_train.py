"""Training end to end: what a run leaves behind, and that a killed one ends as the unbroken one."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torchvision.datasets import ImageFolder

from bento.artifact import ONNX_FILE, WEIGHTS_FILE, sha256_file
from bento.imaging.intake import load_array
from tests.support.runs import FLAGS, Trained, trainer
from tests.support.server import ROOT
from trainer.data.duplicates import thumbnail
from trainer.data.manifest import read_manifest
from trainer.evaluation.metrics import compute_metrics
from trainer.running.history import read_history
from trainer.settings import Settings

LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
TORCHRUN = [sys.executable, *LAUNCHER, "-m", "trainer"]


def test_a_run_leaves_what_its_readme_promises(trained: Trained) -> None:
    run = trained.run
    for path in (run.config, run.training, run.metrics, run.predictions, run.sealed / ONNX_FILE):
        assert path.is_file(), path
    config = yaml.safe_load(run.config.read_text())
    assert config["backbone"] == "efficientnet_lite0"
    assert config["batch_size"] == 16
    assert "accuracy" in trained.output
    assert "TUBERCULOSIS" in trained.output


def test_training_learns_something(trained: Trained) -> None:
    start, *later = _validation_losses(trained.run.folder)
    assert min(later) < start  # Phase A's weights
    assert min(later) < 1.0  # chance is ln 3, 1.1


def _validation_losses(folder: Path) -> list[float]:
    """Of each epoch of Phase B, from 0."""
    rows = [row for row in read_history(folder / "history.csv") if (row.phase, row.split) == ("b", "val")]
    return [float(row.cross_entropy or 0) for row in rows]


def test_tensorboard_shows_what_users_look_for(trained: Trained) -> None:
    folder, history = trained.run.folder, read_history(trained.run.history)
    for split, row_split in (("train", "train"), ("validation", "val")):
        events = EventAccumulator(str(folder / split), size_guidance={"images": 1}).Reload()
        assert {"epochs/macro_f1", "f1_by_class/TUBERCULOSIS"} <= set(events.Tags()["scalars"])
        shown = {point.step: point.value for point in events.Scalars("epochs/cross_entropy")}
        # Phase B counts on from the three epochs of Phase A, and begins as that ended.
        rows = [row for row in history if row.split == row_split and (row.phase, row.epoch) != ("b", 0)]
        written = {row.epoch + (3 if row.phase == "b" else 0): row.cross_entropy for row in rows}
        assert shown == pytest.approx(written, abs=1e-5)
    assert {"images/confusion", "images/worst"} <= set(events.Tags()["images"])


def test_each_epoch_is_told_with_its_cross_entropy_and_each_phase_ends_with_the_kept_one(trained: Trained) -> None:
    lines = trained.output.splitlines()
    rows = {(row.phase, row.epoch, row.split): row for row in read_history(trained.run.history)}
    for phase, last in (("a", 3), ("b", 4)):
        for epoch in range(last + 1):
            (line,) = [line for line in lines if line.startswith(f"Phase {phase.upper()} {epoch:3}/{last}")]
            for split in ("train", "val") if epoch else ("val",):
                assert f"cross-entropy {rows[phase, epoch, split].cross_entropy:.3f}" in line
    record = json.loads(trained.run.training.read_text())["phases"]
    for phase in ("a", "b"):
        assert record[phase]["kept"] in lines
        assert f"Phase {phase.upper()} epoch {record[phase]['best_epoch']} " in record[phase]["kept"]
    assert "\r" not in trained.output


def test_split_folders_are_image_folders_of_torchvision(trained: Trained) -> None:
    for split in ("train", "val", "test"):
        assert ImageFolder(str(trained.data_dir / split)).classes == ["NORMAL", "PNEUMONIA", "TUBERCULOSIS"]


def test_kept_thumbnails_are_what_the_evaluation_would_make_of_the_files(trained: Trained) -> None:
    settings = Settings.model_validate(yaml.safe_load(trained.run.config.read_text()))
    files = [settings.data_dir / one.path for one in read_manifest(settings.data_dir) if one.split == "train"]
    made = [thumbnail(Image.fromarray(load_array(file, settings.preprocessing))) for file in files]
    np.testing.assert_array_equal(np.load(trained.run.training_thumbnails), np.stack(made))


def test_metrics_can_be_rebuilt_from_predictions(trained: Trained) -> None:
    with trained.run.predictions.open() as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0])[:5] == ["path", "label", "site", "patient", "split"]
    classes = list(rows[0])[5:]
    assert {row["split"] for row in rows} == {"test"}
    truth = np.array([classes.index(row["label"]) for row in rows])
    probabilities = np.array([[float(row[name]) for name in classes] for row in rows])
    written = json.loads(trained.run.metrics.read_text())
    rebuilt = compute_metrics(truth, probabilities, classes)
    assert written["test"]["confusion_matrix"] == rebuilt.confusion_matrix
    assert written["test"]["macro_f1"] == rebuilt.macro_f1
    sites = {row["site"] for row in rows}
    assert set(written["by_site"]) == sites
    assert sum(figures["images"] for figures in written["by_site"].values()) == len(rows)


def test_a_killed_run_resumes_to_the_same_weights_bit_for_bit(trained: Trained) -> None:
    words = ["train", *FLAGS, *trained.folders, "--run", "killed"]
    folder = trained.run.folder.with_name("killed")
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer", *words],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _wait_for(folder / "checkpoints" / "b_last_checkpoint_1.pt", process)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (folder / "model" / ONNX_FILE).exists()

    # As if it had been killed between writing the history and the checkpoint.
    history = folder / "history.csv"
    history.write_text(history.read_text() + "b,4,val,9.9,0.1,,\n")
    done = trainer("train", "--resume", "--run", "killed", *trained.folders)
    assert done.returncode == 0, done.stderr
    assert history.read_text() == trained.run.history.read_text()
    assert sha256_file(folder / "model" / WEIGHTS_FILE) == sha256_file(trained.run.sealed / WEIGHTS_FILE)
    assert sorted(path.name[:6] for path in (folder / "checkpoints").iterdir()) == ["a_best", "b_best"]


def test_a_checkpoint_of_another_version_is_refused_in_one_line(trained: Trained) -> None:
    folder = trained.run.folder.with_name("older")
    shutil.copytree(trained.run.folder, folder, ignore=shutil.ignore_patterns("training.json"))
    for path in (folder / "checkpoints").glob("a_last_*.pt"):
        saved = torch.load(path, weights_only=True)
        del saved["selection"]
        torch.save(saved, path)
    done = trainer("train", "--resume", "--run", "older", *trained.folders)
    assert done.returncode == 2
    assert "of another version of the trainer (no selection); start a new run" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_with_one_line_and_keeps_the_best_checkpoint(trained: Trained) -> None:
    words = ["train", *FLAGS, *trained.folders, "--run", "interrupted", "--epochs-b", "50"]
    folder = trained.run.folder.with_name("interrupted")
    command = [sys.executable, "-m", "trainer", *words]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    _wait_for(folder / "checkpoints" / "b_last_checkpoint_1.pt", process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    (line,) = [line for line in errors.splitlines() if line and "does not read" not in line]
    assert line == "trainer: interrupted; what is finished is kept, go on with the same command and --resume"
    assert list((folder / "checkpoints").glob("b_best_*.pt"))


def test_images_decoded_once_and_images_decoded_each_time_train_the_same_weights(trained: Trained) -> None:
    digests = []
    for cache in ("fresh", "off"):
        words = ["train", *FLAGS, *trained.folders, "--epochs-a", "1", "--epochs-b", "1", "--cache", cache]
        done = trainer(*words, "--run", cache)
        assert done.returncode == 0, done.stderr
        digests.append(sha256_file(trained.run.folder.with_name(cache) / "model" / WEIGHTS_FILE))
    assert digests[0] == digests[1]


def test_a_small_budget_means_fewer_views_or_none_and_says_so(trained: Trained, tmp_path: Path) -> None:
    shutil.copytree(trained.data_dir, tmp_path / "data", ignore=shutil.ignore_patterns("cache"))
    words = [
        "train",
        *FLAGS,
        "--data-dir",
        str(tmp_path / "data"),
        "--runs-dir",
        str(tmp_path),
        "--epochs-b",
        "1",
        "--views",
        "3",
    ]
    for budget, sentence in (
        ("0.0045", "allows 0.0045: 2 views instead"),
        ("0.003", "as with --cache fresh"),
    ):
        done = trainer(*words, "--cache-gb", budget, "--run", budget)
        assert done.returncode == 0, done.stderr
        assert sentence in done.stdout
        used = sum(path.stat().st_size for path in (tmp_path / "data" / "cache").iterdir())
        assert used <= float(budget) * 1e9


def test_ctrl_c_under_torchrun_is_told_once_and_no_process_shows_a_traceback(trained: Trained, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*TORCHRUN, "train", *trained.folders[:2], "--runs-dir", str(tmp_path), *FLAGS, "--epochs-b", "50"],
        cwd=ROOT,
        env=os.environ | {"TRAINER_RUN": "two"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    _wait_for(tmp_path / "two" / "checkpoints" / "b_last_checkpoint_1.pt", process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, stderr = process.communicate(timeout=60)
    assert stderr.count("trainer: interrupted") == 1
    assert str(ROOT / "trainer") not in stderr.replace(str(tmp_path), "")  # torchrun shows its own traceback


def test_two_processes_train_together(trained: Trained, tmp_path: Path) -> None:
    """Real gloo processes under torchrun, from a cold cache that they build together."""
    shutil.copytree(trained.data_dir, tmp_path / "data", ignore=shutil.ignore_patterns("cache"))
    folders = ["--data-dir", str(tmp_path / "data"), "--runs-dir", str(tmp_path)]
    done = subprocess.run(
        [*TORCHRUN, "train", *FLAGS, *folders, "--batch-size", "8"],
        cwd=ROOT,
        env=os.environ | {"TRAINER_RUN": "two"},  # torchrun takes --run for an option of its own
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained: ") == 1
    summary = json.loads((tmp_path / "two" / "training.json").read_text())
    alone = json.loads(trained.run.training.read_text())
    assert summary["processes"] == 2
    assert summary["phases"]["b"]["epochs"] == alone["phases"]["b"]["epochs"]
    # Not macro F1, of which each of 15 validation images is 0.07.
    losses = [min(_validation_losses(folder)) for folder in (tmp_path / "two", trained.run.folder)]
    assert abs(losses[0] - losses[1]) < 0.15
    # What they have built together is what one process builds.
    for name in ("images", "prefix"):
        own = sorted((tmp_path / "data" / "cache").glob(f"{name}-*.npy"))
        assert [path.name for path in own] == [
            path.name for path in own if (trained.data_dir / "cache" / path.name).is_file()
        ]
        for path in own:
            np.testing.assert_allclose(
                np.load(path).astype(np.float32),
                np.load(trained.data_dir / "cache" / path.name).astype(np.float32),
                rtol=2e-3,
                atol=1e-2,
            )


def test_resume_refuses_settings_that_contradict_the_run(trained: Trained) -> None:
    done = trainer("train", "--resume", "--run", "first", *trained.folders, "--lr-b", "0.5")
    assert done.returncode == 2
    assert "lr_b is 0.5 now and was 0.002" in done.stderr


def _wait_for(path: Path, process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, "training ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.005)
