"""The report and the model card: whole, self-contained, and nothing in them that the run's files do not say."""

import base64
import csv
import io
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from PIL import Image

from bento.artifact import load_manifest
from tests.support.runs import Trained
from trainer.cli import main
from trainer.errors import UserError
from trainer.reporting.comparison import compare
from trainer.reporting.guidelines import REPORTING_ITEMS
from trainer.reporting.report import write_report
from trainer.runs import Run

SECTIONS = ["sites", "discrimination", "operating", "calibration", "controls", "failures", "map", "audit"]


@pytest.fixture
def copy(trained: Trained, tmp_path: Path) -> Run:
    """The trained run, far from its data."""
    shutil.copytree(trained.run.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("checkpoints"))
    return Run(tmp_path / "copy")


def test_the_report_is_one_file_that_asks_for_nothing(trained: Trained) -> None:
    html = trained.run.report.read_text()
    assert re.findall(r"https?://|<script|<link|@import|url\(", html) == []
    sites = re.findall(r'src="([^"]*)"', html)
    assert len(sites) > 12
    for site in sites:
        kind, _, data = site.partition(";base64,")
        content = base64.b64decode(data, validate=True)
        if kind == "data:image/svg+xml":
            ElementTree.fromstring(content)
        else:
            assert kind == "data:image/jpeg"
            Image.open(io.BytesIO(content)).load()


def test_the_report_has_every_section_and_the_figures_of_metrics_json(trained: Trained) -> None:
    html = trained.run.report.read_text()
    for section in SECTIONS:
        assert f'<h2 id="{section}">' in html
    assert "Synthetic sample data, no clinical meaning" in html
    assert "not a medical device" in html
    metrics = json.loads(trained.run.metrics.read_text())
    for name in ("macro_f1", "roc_auc.TUBERCULOSIS", "recall.PNEUMONIA", "brier"):
        figure = metrics["intervals"]["test"][name]
        cell = f"{figure['value']:.3f}<br><small>{figure['low']:.3f}–{figure['high']:.3f}</small>"
        assert cell in html
    for control in metrics["controls"]:
        assert f"{control['macro_f1']['value']:.2f} macro F1" in html


def test_the_card_is_a_view_of_the_manifest(trained: Trained) -> None:
    card = trained.run.model_card.read_text()
    manifest = load_manifest(trained.run.sealed)
    assert manifest.data.fingerprint in card
    for digest in manifest.files.values():
        assert digest in card
    for name, version in manifest.libraries.items():
        assert f"| {name} | {version} |" in card
    for limit in manifest.limits:
        assert limit in card
    figure = manifest.intervals["macro_f1"]
    assert f"{figure.value:.3f} ({figure.low:.3f}–{figure.high:.3f})" in card
    for item in REPORTING_ITEMS:
        assert f"| {item.guideline} | {item.item} |" in card
    # Markdown tables end where a line of another kind begins: none may be broken in two.
    for header, rule in zip(card.splitlines(), card.splitlines()[1:], strict=False):
        if re.fullmatch(r"\|[-:|]+\|", rule):
            assert header.count("|") == rule.count("|")


def test_the_report_is_rebuilt_without_data_to_the_byte(trained: Trained, copy: Run) -> None:
    expected = trained.run.report.read_text().replace(trained.run.name, copy.name)
    copy.report.unlink()
    copy.model_card.unlink()
    assert main(["report", "copy", "--runs-dir", str(copy.folder.parent)]) == 0
    assert copy.report.read_text().replace(trained.run.name, copy.name) == expected
    assert copy.model_card.is_file()


def test_predictions_of_a_former_version_are_read(trained: Trained, copy: Run) -> None:
    expected = copy.report.read_bytes()
    head, newline, rows = copy.predictions.read_text().partition("\n")
    copy.predictions.write_text(head.replace("site", "source") + newline + rows)
    write_report(copy)
    assert copy.report.read_bytes().replace(b"copy", b"first") == expected


def test_two_runs_are_compared_image_by_image(copy: Run, capsys: pytest.CaptureFixture[str]) -> None:
    other = Run(copy.folder.with_name("other"))
    shutil.copytree(copy.folder, other.folder)
    with other.predictions.open() as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:  # a model that is always right
        row.update(dict.fromkeys(("NORMAL", "PNEUMONIA", "TUBERCULOSIS"), "0.0"), **{row["label"]: "1.0"})
    with other.predictions.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert main(["report", "other", "copy", "--runs-dir", str(copy.folder.parent)]) == 0
    output = capsys.readouterr().out
    first = json.loads(copy.metrics.read_text())["test"]["macro_f1"]
    assert f"other 1.0000, copy {first:.4f}; difference {1 - first:+.4f}" in output
    assert "other is better" in output
    assert '<h2 id="comparison">' in copy.report.read_text()
    same = compare(copy, copy)
    assert (same.difference.low, same.difference.high) == (0, 0)
    assert same.verdict == "no difference can be told"


def test_runs_without_a_common_image_are_not_compared(copy: Run) -> None:
    other = Run(copy.folder.with_name("other"))
    shutil.copytree(copy.folder, other.folder)
    other.predictions.write_text(other.predictions.read_text().replace("raw/", "elsewhere/"))
    with pytest.raises(UserError, match="share no test image"):
        compare(copy, other)


@pytest.mark.parametrize(
    ("name", "missing", "message"),
    [
        ("nowhere", "", "no such run"),
        ("copy", "metrics.json", "python -m trainer evaluate"),
        ("copy", "model/manifest.json", "not evaluated yet"),
        ("copy", "predictions.csv", "predictions.csv"),
        ("copy", "embedding_map.csv", "embedding_map.csv"),
        ("copy", "pictures/000.jpg", "000.jpg: missing"),
    ],
)
def test_what_is_missing_is_named_in_one_line(
    copy: Run, name: str, missing: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if missing:
        (copy.folder / missing).unlink()
    assert main(["report", name, "--runs-dir", str(copy.folder.parent)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_names_of_images_can_not_become_markup(copy: Run) -> None:
    metrics = json.loads(copy.metrics.read_text())
    metrics["warnings"] = ["<img src=x onerror=alert(1)>"]
    copy.metrics.write_text(json.dumps(metrics))
    write_report(copy)
    html = copy.report.read_text()
    assert "<img src=x" not in html
    assert "&lt;img src=x" in html


def test_where_warnings_are_the_sites_come_before_all_images(copy: Run) -> None:
    def order() -> bool:
        html = copy.report.read_text()
        return html.index('<h2 id="sites">') < html.index('<h2 id="discrimination">')

    metrics = json.loads(copy.metrics.read_text())
    for warnings in ([], ["Class and site go together."]):
        copy.metrics.write_text(json.dumps(metrics | {"warnings": warnings}))
        write_report(copy)
        assert order() is bool(warnings)
