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
from markupsafe import escape
from PIL import Image

from bento.artifact import Interval, load_manifest
from tests.support.runs import Trained
from trainer.cli import main
from trainer.errors import UserError
from trainer.evaluation.figures import figure_with_interval
from trainer.reporting.comparison import compare
from trainer.reporting.guidelines import REPORTING_ITEMS
from trainer.reporting.report import write_report
from trainer.running.history import Epoch
from trainer.running.runs import Run
from trainer.tables import to_csv

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
    classes = metrics["test"]["per_class"]
    called = sum(row[list(classes).index("NORMAL")] for row in metrics["test"]["confusion_matrix"])
    for name, images in (
        ("macro_f1", metrics["test"]["images"]),
        ("roc_auc.TUBERCULOSIS", classes["TUBERCULOSIS"]["support"]),
        ("recall.PNEUMONIA", classes["PNEUMONIA"]["support"]),
        ("precision.NORMAL", called),
        ("brier", metrics["test"]["images"]),
    ):
        interval = Interval.model_validate(metrics["intervals"]["test"][name])
        value, _, limits = figure_with_interval(interval, images).rstrip(")").partition(" (")
        assert f"{escape(value)}<br><small>{escape(limits)}</small><br><small>n = {images}</small>" in html
    for control in metrics["controls"]:
        assert escape(control["text"]) in html


def test_report_and_card_say_at_which_resolution_the_model_was_trained(trained: Trained) -> None:
    size = load_manifest(trained.run.sealed).preprocessing.image_size
    for page in (trained.run.report, trained.run.model_card):
        assert f"Trained at {size}×{size} pixels; the longer side of the sources has " in page.read_text()


def test_each_confusion_matrix_is_there_once(trained: Trained) -> None:
    html = trained.run.report.read_text()
    sites = json.loads(trained.run.metrics.read_text())["by_site"]
    assert html.count("Confusion matrix: each row") == 1 + len(sites)
    assert 'alt="Confusion' not in html


def test_the_verdict_comes_before_anything_else(trained: Trained) -> None:
    html = trained.run.report.read_text()
    metrics = json.loads(trained.run.metrics.read_text())
    start = html.index('<section id="verdict"')
    assert start < html.index("<nav")
    assert start < html.index("<table")
    assert f"Judged on {metrics['test']['images']} test images" in html


def test_learning_curves_are_drawn_where_the_run_has_a_history(copy: Run) -> None:
    copy.history.unlink(missing_ok=True)
    write_report(copy)
    assert "Learning curves" not in copy.report.read_text()
    epochs = [
        Epoch(phase=phase, epoch=epoch, split=split, cross_entropy=1 / (1 + epoch), macro_f1=None)
        for phase in "ab"
        for epoch in range(3)
        for split in ("train", "val")
    ]
    copy.history.write_text(to_csv(epochs, Epoch))
    write_report(copy)
    html = copy.report.read_text()
    assert '<h2 id="learning">' in html
    kept = json.loads(copy.training.read_text())["phases"]["b"]
    assert f"Phase B kept epoch {kept['best_epoch']} of {kept['epochs']}" in html


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
    assert f"{figure_with_interval(figure, manifest.metrics.images)}, n = {manifest.metrics.images}" in card
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


def test_predictive_values_stand_in_the_report_where_a_prevalence_was_given(copy: Run) -> None:
    metrics = json.loads(copy.metrics.read_text())
    write_report(copy)
    assert "--prevalence 0.05" in copy.report.read_text()
    row = {
        "label": "TUBERCULOSIS",
        "prevalence": 0.02,
        "positive": {"value": 0.1337, "low": 0.05, "high": 0.4},
        "negative": None,
        "with_disease": 5,
        "without_disease": 11,
    }
    copy.metrics.write_text(json.dumps(metrics | {"predictive_values": [row]}))
    write_report(copy)
    html = copy.report.read_text()
    assert (
        '<th scope="row">TUBERCULOSIS</th><td>2 %</td><td>0.13<br><small>0.05 to 0.40</small></td><td>–</td>'
        "<td>5</td><td>11</td>"
    ) in html
    assert "--prevalence 0.05" not in html
    assert "| TUBERCULOSIS | 2 % | 0.13 (0.05 to 0.40) | – | 5, 11 |" in copy.model_card.read_text()


def test_what_scaling_did_on_the_test_images_is_said(copy: Run) -> None:
    metrics = json.loads(copy.metrics.read_text())
    worse = {"value": 0.1, "low": 0.05, "high": 0.2}
    metrics["calibration"] |= {
        "change": dict.fromkeys(("ece", "brier", "cross_entropy"), worse),
        "verdict": "Scaling made it worse.",
        "worse": True,
    }
    copy.metrics.write_text(json.dumps(metrics))
    write_report(copy)
    html = copy.report.read_text()
    assert '<b class="fired">Scaling made it worse.</b>' in html
    assert '<th scope="row">change</th><td>+0.10<br><small>+0.05 to +0.20</small>' in html


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
    assert f"other 1.00, copy {first:.2f}; difference {1 - first:.2f} (" in output
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


def test_where_class_and_site_go_together_the_sites_come_before_all_images(copy: Run) -> None:
    def order() -> bool:
        html = copy.report.read_text()
        return html.index('<h2 id="sites">') < html.index('<h2 id="discrimination">')

    metrics = json.loads(copy.metrics.read_text())
    for cramers_v in (0.1, 0.9):
        metrics["sites"]["association"]["cramers_v"] = cramers_v
        copy.metrics.write_text(json.dumps(metrics))
        write_report(copy)
        assert order() is (cramers_v > 0.5)
