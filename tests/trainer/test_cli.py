"""The command line: every mistake is one line on standard error and exit code 2."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.server import ROOT
from trainer.cli import COMMANDS, load_settings, main
from trainer.settings import Settings

MISTAKES = [
    # one row a sentence: words, what the line must say
    (["nonsense"], "unknown command 'nonsense'; choose from run, fetch"),
    (["train", "--nonsense", "3"], "unrecognized arguments: --nonsense"),
    (["train", "--imag", "64"], "unrecognized arguments: --imag"),
    (["train", "--image-size", "5000"], "image_size: Input should be less than or equal to 1024"),
    (["train", "--image-size", "big"], "image_size: Input should be a valid integer"),
    (["train", "--backbone", "vgg16"], "backbone: Input should be 'efficientnet_b0'"),
    (["train", "--weights", "nowhere.pth"], "'nowhere.pth' is not a file; give imagenet, none or a file"),
    (["train", "--device", "tpu"], "device: Input should be 'auto', 'cpu' or 'cuda'"),
    (["train", "--run", "../up"], "run: String should match pattern"),
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
    settings = load_settings(Settings, "train", "", ["--config", str(config), "--image-size", "128"])
    assert (settings.seed, settings.batch_size, settings.image_size) == (5, 7, 128)
    assert settings.model_fields_set == {"seed", "batch_size", "image_size"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("epocs_a: 3\n", "epocs_a: unknown setting"),
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
    assert "TRAINER_EPOCS: no such setting" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_every_setting_with_its_default(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for name in COMMANDS[command][0].model_fields:
        assert f"--{name.replace('_', '-')}" in text or name == "files"


def test_a_saved_config_is_a_config(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(Settings(seed=9).model_dump(mode="json")))
    assert load_settings(Settings, "train", "", ["--config", str(path)]).seed == 9


def test_training_starts_without_the_libraries_of_what_comes_after_it() -> None:
    code = "import sys, trainer.pipeline; print(*{'sklearn', 'bentoml', 'jinja2', 'kagglehub'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
