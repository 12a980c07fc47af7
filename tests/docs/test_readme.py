"""The README: its commands work, its answer is the service's, and it fits one screen or two."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import documents
from tests.support.server import ROOT, running_service

README = ROOT / "README.md"
ADDRESS = "http://localhost:3000"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader's images are."""
    return tmp_path_factory.mktemp("reader")


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    return documents.prepare(folder)


@pytest.fixture(scope="module")
def trained(folder: Path, environment: dict[str, str]) -> str:
    """What the README's training command prints."""
    (block,) = [block for block in documents.blocks(README, "sh") if "-m trainer" in block]
    return documents.run(["bash", "-euc", block], folder, environment)


@pytest.fixture(scope="module")
def url(trained: str, folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """The address of the service that the README's command starts, with the model that its training made."""
    assert trained
    with running_service(folder / "log", BENTOML_HOME=environment["BENTOML_HOME"]) as url:
        yield url


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    block = documents.blocks(README, "sh")[0]
    targets = re.findall(r"^make (\w+)", block, re.MULTILINE)
    assert targets == ["demo", "test"]
    subprocess.run(["make", "--dry-run", *targets], cwd=ROOT, check=True, capture_output=True)


def test_training_on_a_folder_publishes_a_model_and_writes_the_report(trained: str, folder: Path) -> None:
    assert "published: chest_xray:" in trained
    assert len(list(folder.glob("runs/*/report.html"))) == 1


def test_the_answer_has_the_fields_of_the_readmes(url: str, folder: Path, environment: dict[str, str]) -> None:
    (block,) = [block for block in documents.blocks(README, "sh") if "/predict" in block]
    assert ADDRESS in block
    answer = json.loads(documents.run(["bash", "-euc", block.replace(ADDRESS, url)], folder, environment))
    (shown,) = documents.blocks(README, "json")
    assert shape(answer) == shape(json.loads(shown))


def test_every_block_of_the_readme_is_covered() -> None:
    kinds = [kind for kind, _ in documents.BLOCK.findall(README.read_text(encoding="utf-8"))]
    assert sorted(kinds) == ["json", "sh", "sh", "sh", "sh"]
    assert [block for block in documents.blocks(README, "sh") if block.startswith("bentoml serve")]


@pytest.mark.skipif(shutil.which("wc") is None, reason="needs wc")
def test_the_readme_has_at_most_600_words() -> None:
    counted = subprocess.run(["wc", "-w", str(README)], check=True, capture_output=True, text=True).stdout
    assert int(counted.split()[0]) <= 600


def shape(value: Any) -> Any:
    """Names and kinds of a JSON document, without its numbers; a list is what its first entry is, if it has one."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
