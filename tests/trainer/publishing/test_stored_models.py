"""``python -m trainer models``: what is stored, what is served by default, and how that changes."""

from pathlib import Path

import bentoml
import pytest

from bento.artifact import MANIFEST_FILE
from tests.support.artifacts import store_artifact
from trainer.cli import main
from trainer.publishing.stored_models import serve_by_default, served_tag, stored_tags


def latest() -> str:
    """What BentoML takes where no version is named: in ``bentoml serve``, ``bentoml build`` and everywhere else."""
    return str(bentoml.models.get("chest_xray:latest").tag)


def test_an_empty_store_says_how_to_make_a_model(own_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert capsys.readouterr().out == f"no model in {own_store}; make one with python -m trainer\n"
    assert served_tag() is None


def test_the_list_names_each_model_and_marks_the_served_one(
    own_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for version in ("first", "second"):
        store_artifact(version)
    serve_by_default("chest_xray:first")
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line[1:].split()[0]: line for line in lines[1:3]}
    assert rows.keys() == {"chest_xray:first", "chest_xray:second"}
    assert rows["chest_xray:first"].startswith("* ")
    assert rows["chest_xray:second"].startswith("  ")
    for column in ("2026-01-02", "sample (generated)", "NORMAL, PNEUMONIA, TUBERCULOSIS", "0.96", " 30"):
        assert column in rows["chest_xray:first"]


@pytest.mark.parametrize("given", ["chest_xray:first", "first"])
def test_a_promoted_model_is_what_bentoml_takes(
    own_store: Path, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for version in ("first", "second"):
        store_artifact(version)
    assert latest() == "chest_xray:second"
    assert main(["models", "promote", given]) == 0
    assert "promoted: chest_xray:first; bentoml serve takes it from its next start on" in capsys.readouterr().out
    assert latest() == served_tag() == "chest_xray:first"


def test_a_store_that_names_no_model_serves_the_newest(own_store: Path) -> None:
    for version in ("b", "a"):
        store_artifact(version)
    (own_store / "latest").unlink()
    assert served_tag() == latest() == "chest_xray:a"


def test_where_the_served_model_has_gone_the_newest_is_served(own_store: Path) -> None:
    for version in ("c", "b", "a"):
        store_artifact(version)
    assert main(["models", "promote", "c"]) == 0
    bentoml.models.delete("chest_xray:c")
    assert served_tag() == latest() == "chest_xray:a"


def test_deleting_changes_nothing_else(own_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for version in ("first", "second", "third"):
        store_artifact(version)
    serve_by_default("chest_xray:first")
    assert main(["models", "delete", "second", "--yes"]) == 0
    assert "deleted: chest_xray:second" in capsys.readouterr().out
    assert set(stored_tags()) == {"chest_xray:first", "chest_xray:third"}
    assert latest() == "chest_xray:first"


@pytest.mark.parametrize(("answer", "left"), [("n", 2), ("", 2), ("y", 1)])
def test_deleting_asks_first(own_store: Path, answer: str, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("first", "second"):
        store_artifact(version)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert main(["models", "delete", "first"]) == (2 if left == 2 else 0)
    assert len(stored_tags()) == left


def test_the_served_model_is_not_deleted(own_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_artifact("first")
    assert main(["models", "delete", "first", "--yes"]) == 2
    assert "chest_xray:first is served by default and can't be deleted; there is no other" in capsys.readouterr().err
    store_artifact("second")
    assert main(["models", "delete", "second", "--yes"]) == 2
    assert "promote another first: python -m trainer models promote chest_xray:first" in capsys.readouterr().err
    assert len(stored_tags()) == 2


def test_a_damaged_model_is_listed_not_promoted_and_can_be_deleted(
    own_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (store_artifact("first") / MANIFEST_FILE).unlink()
    store_artifact("second")
    (store_artifact("third") / "model.yaml").unlink()
    serve_by_default("chest_xray:second")
    assert main(["models"]) == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if "chest_xray:" in line]
    assert ["damaged" in line for line in sorted(shown, key=lambda line: line.split(":")[1])] == [True, False, True]
    for version, sentence in (("first", "manifest.json: can't be read"), ("third", "damaged in the model store")):
        assert main(["models", "promote", version]) == 2
        assert sentence in capsys.readouterr().err
        assert main(["models", "delete", version, "--yes"]) == 0
    assert latest() == "chest_xray:second"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["promote"], "models: promote what? python -m trainer models lists the tags"),
        (["delete", "nothing"], "models: no model nothing in the model store; python -m trainer models lists them"),
        (["promote", "iris:1"], "no model iris:1 in the model store"),
        (["list", "chest_xray:first"], "list takes no tag and no --yes"),
        (["remove"], "Input should be 'list', 'promote' or 'delete'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    own_store: Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", *words]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.splitlines()) == 1
