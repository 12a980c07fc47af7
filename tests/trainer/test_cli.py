"""The command line: every mistake is one line on standard error and exit code 2."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests.support.server import ROOT
from trainer.cli import DISTRIBUTION, load_settings, main
from trainer.commands import COMMANDS
from trainer.settings import Settings

MISTAKES = [
    # one row a sentence: words, what the line must say
    (["nonsense"], "unknown command 'nonsense'; choose from run, fetch"),
    (["train", "--nonsense", "3"], "unrecognized arguments: --nonsense"),
    (["train", "--imag", "64"], "unrecognized arguments: --imag"),
    (["train", "--epoch-a", "3"], "did you mean --epochs-a?"),
    (["train", "--epoch-a=3"], "did you mean --epochs-a?"),
    (["report", "x", "--lr-a", "3"], "unrecognized arguments: --lr-a"),
    (["pubilsh"], "did you mean publish?"),
    (["train", "--image-size", "5000"], "--image-size: Input should be less than or equal to 1024"),
    (["train", "--image-size", "big"], "--image-size: Input should be a valid integer"),
    (["train", "--backbone", "vgg16"], "--backbone: Input should be 'efficientnet_b0'"),
    (["train", "--weights", "nowhere.pth"], "'nowhere.pth' is not a file; give imagenet, xrv-all, "),
    (["train", "--weights", "xrv-all"], "xrv-all are weights of densenet121; give --backbone densenet121 too"),
    (["train", "--device", "tpu"], "--device: Input should be 'auto', 'cpu' or 'cuda'"),
    (["train", "--run", "../up"], "--run: String should match pattern"),
    (["train", "--config", "nowhere.yaml"], "--config nowhere.yaml: no such file"),
    (
        ["train", "--data-dir", "nowhere"],
        "nowhere/manifest.csv does not exist; run `python -m trainer split`",
    ),
    (["train", "--resume", "--runs-dir", "nowhere"], "nowhere: holds no run"),
    (["evaluate", "--run", "nothing"], "no such run"),
    (["evaluate", "--model", "chest_xray:none"], "--model needs --dataset PATH"),
    (["evaluate", "--out", "x"], "--out goes with --model"),
    (["evaluate", "--model", "chest_xray:none", "--dataset", ".", "--out", "x"], "not in the model store"),
    (["robustness", "--run", "nothing"], "no such run"),
    (["robustness", "--model", "chest_xray:none"], "--model needs --dataset PATH"),
    (["robustness", "--model", "chest_xray:none", "--dataset", "."], "not in the model store"),
    (["publish", "--run", "nothing"], "no such run"),
    (["predict"], "the following arguments are required: FILES"),
    (["predict", "x.png", "--model", "chest_xray:none"], "not in the model store"),
    (["predict", "x.png", "--model", "a b c"], "not in the model store"),
    (["fetch", "--dataset", "nowhere"], "nowhere"),
]


@pytest.mark.parametrize(("words", "sentence"), MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    errors = capsys.readouterr().err.strip()
    assert sentence in errors
    assert len(errors.splitlines()) == 1
    assert errors.startswith("trainer: ")


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("seed: 5\nbatch_size: 6\nimage_size: 64\n")
    monkeypatch.setenv("TRAINER_BATCH_SIZE", "7")
    monkeypatch.setenv("TRAINER_IMAGE_SIZE", "96")
    settings = load_settings(Settings, "run", ["--config", str(config), "--image-size", "128"])
    assert (settings.seed, settings.batch_size, settings.image_size) == (5, 7, 128)
    assert settings.model_fields_set == {"seed", "batch_size", "image_size"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("epocs_a: 3\n", "epocs_a: unknown setting; did you mean epochs_a?"),
        ("seed\n", "a setting a line"),
        ("seed: [\n", "not YAML"),
        ("seed: x\n", "seed: Input should be"),
    ],
)
def test_a_wrong_file_is_named(text: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text(text)
    assert main(["train", "--config", str(tmp_path / "c.yaml")]) == 2
    assert sentence in capsys.readouterr().err


def test_an_unknown_environment_variable_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAINER_EPOCS", "3")
    assert main(["train"]) == 2
    assert "TRAINER_EPOCS: no such setting; did you mean TRAINER_EPOCHS_" in capsys.readouterr().err


def test_a_wrong_environment_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAINER_IMAGE_SIZE", "big")
    assert main(["train"]) == 2
    assert capsys.readouterr().err.startswith("trainer: TRAINER_IMAGE_SIZE: Input should be a valid integer")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_every_setting_with_its_default(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for name in COMMANDS[command].reads:
        assert f"--{name.replace('_', '-')}" in text or f" {name.upper()}" in text


@pytest.mark.parametrize(
    ("command", "headings", "foreign"),
    [
        # one row a sentence: a command, the headings of its settings, settings that are another command's
        ("fetch", ["Data", "Run"], ["--split", "--lr-a", "--hold-out-site", "--image-size"]),
        ("split", ["Data", "Run"], ["--dataset", "--lr-a", "--hold-out-site", "--workers"]),
        ("train", ["Data", "Model", "Training", "Evaluation", "Run"], ["--dataset", "--patient-pattern"]),
        ("evaluate", ["Data", "Evaluation", "Run", "Stored model"], ["--replace", "--lr-a", "--image-size", "--seed"]),
        ("matrix", ["Data", "Model", "Training", "Evaluation", "Run"], ["--hold-out-site", "--resume"]),
        ("robustness", ["Data", "Run", "Stored model"], ["--lr-a", "--target-sensitivity"]),
        ("publish", ["Data", "Run"], ["--lr-a", "--backbone", "--workers"]),
        ("predict", ["Settings"], ["--run", "--data-dir"]),
        ("doctor", ["Settings"], ["--run ", "--seed"]),
    ],
)
def test_help_lists_a_commands_own_settings_below_their_headings(
    command: str, headings: list[str], foreign: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = capsys.readouterr().out
    lines = [line[:-1] for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert [line for line in lines if line not in ("options", "positional arguments")] == headings
    assert [name for name in foreign if f"  {name}" in text] == []


def test_one_list_of_flags_serves_every_step_and_what_is_not_read_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--runs-dir", str(tmp_path), "--data-dir", str(tmp_path)]
    assert main(["publish", *folders, "--lr-a", "0.1", "--flip"]) == 2
    said, error = capsys.readouterr().err.splitlines()
    assert said == "trainer: publish does not read --flip, --lr-a"
    assert "holds no run" in error


def test_the_file_of_a_whole_run_serves_a_command_that_reads_some_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(Settings(runs_dir=tmp_path / "here").model_dump(mode="json")))
    assert main(["publish", "--config", str(path)]) == 2
    assert f"{tmp_path / 'here'}: holds no run" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_as_windows_writes_it_is_read(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("normal_class: 正常\nseed: 4\n", encoding=encoding)
    settings = load_settings(Settings, "run", ["--config", str(path)])
    assert (settings.normal_class, settings.seed) == ("正常", 4)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le", "utf-32"])
def test_a_file_in_another_encoding_is_refused_in_one_line(
    encoding: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("normal_class: gesünder\n", encoding=encoding)
    assert main(["train", "--config", str(path)]) == 2
    error = capsys.readouterr().err
    assert f"{path}: can't be read (not YAML" in error
    assert error.count("\n") == 1


def test_the_version_is_that_of_the_installed_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{DISTRIBUTION} {importlib.metadata.version(DISTRIBUTION)}\n"


def test_a_saved_config_is_a_config(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(Settings(seed=9).model_dump(mode="json")))
    assert load_settings(Settings, "run", ["--config", str(path)]).seed == 9


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_names_that_the_pipes_encoding_lacks_do_not_end_a_command(encoding: str, tmp_path: Path) -> None:
    for label in ("正常", "肺炎"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for i in range(4):
            noise = Image.effect_noise((64, 64), 20 + 10 * i + len(list(tmp_path.glob("images/*"))))
            noise.save(tmp_path / "images" / label / f"{i}.png")
    command = [sys.executable, "-m", "trainer", "fetch", "--dataset", str(tmp_path / "images")]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [*command, "--data-dir", str(tmp_path / "data")], cwd=ROOT, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert rb"\u6b63\u5e38 4" in done.stdout
    assert b"Traceback" not in done.stderr


def test_training_starts_without_the_libraries_of_what_comes_after_it() -> None:
    code = "import sys, trainer.pipeline; print(*{'sklearn', 'bentoml', 'jinja2', 'kagglehub'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
