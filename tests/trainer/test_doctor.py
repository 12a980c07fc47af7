"""``doctor``: every state of a machine is one screen, with no traceback and no waiting."""

import re
import shutil
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from tests.support import kaggle_standin
from tests.support.artifacts import store_artifact
from tests.support.runs import Trained
from trainer.cli import main
from trainer.data.manifest import SPLITS, read_manifest
from trainer.doctor import SECONDS, Question, _models, memory_limit
from trainer.models.backbones import BACKBONES


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new user's machine without a network: a proxy that refuses at once stands for it."""
    kaggle_standin.use_standin(monkeypatch, tmp_path)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))


@pytest.fixture
def black_hole() -> Iterator[str]:
    """URL of a host that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def screen(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, dict[str, str], str]:
    """Exit code; lines by name, with a ``!`` before what is marked; the command that comes next."""
    code = main(["doctor", *map(str, words)])
    captured = capsys.readouterr()
    assert captured.err == ""
    *lines, blank, last = captured.out.splitlines()
    assert blank == ""
    found = {line[2:11].strip(): line[0].strip() + line[13:] for line in lines}
    return code, found, last.removeprefix("next: ")


def test_a_new_machine_without_a_network_can_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    begin = time.monotonic()
    code, lines, command = screen(capsys)
    assert time.monotonic() - begin < SECONDS + 2
    assert code == 0
    hub = ", ".join(name for name, row in BACKBONES.items() if row.hub)
    assert lines["weights"] == f"installed: efficientnet_lite0; not reachable: {hub}"
    assert lines["Kaggle"] == "not reachable; no credentials (public sets need none)"
    assert f"torch {torch.__version__.partition('+')[0]}" in lines["libraries"]
    assert lines["runs"] == "none in runs"
    # Models of other tests may be in the store.
    assert command in (
        "bentoml serve",
        "python -m trainer --dataset path/to/images --backbone efficientnet_lite0",
    )


def test_kaggle_is_reached_and_a_downloaded_file_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", "x")
    file = BACKBONES["resnet18"].weights_file
    file.parent.mkdir(parents=True)
    file.touch()
    with kaggle_standin.serve():
        _, lines, _ = screen(capsys)
    assert lines["Kaggle"] == "reachable; credentials found"
    assert "downloaded: resnet18" in lines["weights"]


def test_a_host_that_never_answers_costs_its_seconds_once(
    black_hole: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, black_hole)
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "PROD")
    begin = time.monotonic()
    code, lines, _ = screen(capsys)
    assert time.monotonic() - begin < SECONDS + 2
    assert code == 0
    assert re.search(r"not reachable: [^;]*resnet50", lines["weights"])


def test_a_socks_proxy_that_can_not_be_asked_through_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "socksio", None)  # as where it is not installed
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "PROD")
    code, lines, _ = screen(capsys, "--data-dir", tmp_path)
    assert code == 0
    assert lines["Kaggle"].startswith("not asked (for a SOCKS proxy, pip install 'httpx[socks]')")
    assert "not asked (for a SOCKS proxy" in lines["weights"]


def test_a_question_gives_the_status() -> None:
    with kaggle_standin.serve() as server:
        address = f"http://127.0.0.1:{server.server_port}"
        assert Question(f"{address}/file").status() == 200
    assert Question(address).status() == 0
    assert Question("no address").status() == 0


def test_finished_work_is_shown_with_what_comes_next(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines, command = screen(capsys, *trained.folders)
    assert code == 0
    assert lines["data"].startswith("sample:images=150")
    counts = Counter(record.split for record in read_manifest(trained.data_dir))
    shown = ", ".join(f"{split} {counts[split]}" for split in SPLITS)
    assert lines["data"].endswith(f"; {shown}; split grouped")
    assert "the latest one first: macro F1 " in lines["runs"]
    assert lines["runs"].endswith(", published")
    assert command == "bentoml serve"


@pytest.mark.parametrize(
    ("missing", "says", "command"),
    [
        # one row a sentence: what the run has not made yet, what the line says of it, what comes next
        ("training.json", "training not finished", "python -m trainer --resume --run first"),
        ("metrics.json", "trained, not evaluated", "python -m trainer evaluate --run first"),
    ],
)
def test_an_unfinished_run_comes_next(
    missing: str,
    says: str,
    command: str,
    trained: Trained,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(trained.run.folder, tmp_path / "first")
    (tmp_path / "first" / missing).unlink()
    code, lines, found = screen(capsys, "--data-dir", trained.data_dir, "--runs-dir", tmp_path)
    assert code == 0
    assert lines["runs"].endswith(says)
    assert found.startswith(f"{command} --data-dir {trained.data_dir} --runs-dir {tmp_path}")


def test_an_unpublished_run_is_to_be_published_unless_it_is_for_comparison(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained.run.folder, tmp_path / "second")
    words = ("--data-dir", trained.data_dir, "--runs-dir", tmp_path)
    code, lines, command = screen(capsys, *words)
    assert (code, lines["runs"][-13:]) == (0, "not published")
    assert command.startswith("python -m trainer publish --run second")
    config = tmp_path / "second" / "config.yaml"
    config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), "hold_out_site": "A"}))
    assert screen(capsys, *words)[2] == "bentoml serve"


def test_what_is_damaged_is_marked_and_named(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, runs = tmp_path / "d", tmp_path / "r"
    shutil.copytree(trained.data_dir, data)
    shutil.copytree(trained.run.folder, runs / "first")
    words = ("--data-dir", data, "--runs-dir", runs)
    (runs / "first" / "config.yaml").write_text("seed: [")
    gone = next(iter((data / "raw").rglob("*.png")))
    gone.unlink()
    code, lines, command = screen(capsys, *words)
    assert code == 1
    assert command == "mend what is marked with !, then python -m trainer doctor"
    assert lines["runs"].startswith("!")
    assert "config.yaml: can't be read" in lines["runs"]
    assert "; 1 images are gone: python -m trainer fetch" in lines["data"]
    (data / "manifest.csv").write_bytes(b"\xff\xff")
    (runs / "first" / "config.yaml").unlink()
    assert "is not UTF-8" in screen(capsys, *words)[1]["data"]
    (data / "raw" / "fetch_report.json").write_text("{")
    assert "fetch_report.json: damaged" in screen(capsys, *words)[1]["data"]


@pytest.mark.parametrize("name", ["manifest.json", "model.yaml", "model.onnx"])
@pytest.mark.parametrize("content", [b"{", b"name: x", b"", None])
def test_a_damaged_model_is_marked(
    name: str, content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store_artifact("damaged")
    try:
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)
        findings, versions = _models()
        assert folder.name in versions
        assert findings[0].wrong
        assert "\n" not in findings[0].text
        assert folder.name in findings[0].text
    finally:
        shutil.rmtree(folder)


def test_a_store_that_can_not_be_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BENTOML_HOME", "/proc/nowhere")
    code, lines, _ = screen(capsys)
    assert code == 1
    assert lines["disk"].startswith("!")
    assert lines["models"] == "none in the store"


def test_a_store_that_can_not_be_written_to_is_marked_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "file" / "home"))
    code, lines, _ = screen(capsys, "--data-dir", tmp_path, "--runs-dir", tmp_path)
    assert code == 1
    assert lines["disk"].startswith("!")
    assert lines["disk"].endswith(f"; {tmp_path / 'file'} can't be written to (Not a directory)")


def test_the_containers_memory_counts(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("1000000\n")
    assert memory_limit(limit) == 1_000_000
    limit.write_text("max\n")
    assert memory_limit(limit) == memory_limit(tmp_path / "none") > 1_000_000
