"""``metrics.json``: one model writes and reads it, also as an earlier version wrote it."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.runs import Trained
from trainer.data.file_control import FileControl
from trainer.errors import UserError
from trainer.evaluation.summary import read_summary, write_summary
from trainer.evaluation.warnings import find_warnings
from trainer.reporting.report import write_report
from trainer.running.documents import FORMER_NAMES
from trainer.running.runs import Run

FORMER = Path(__file__).parent / "former_version"


def keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


def test_what_is_written_is_read_and_written_again_to_the_byte(trained: Trained, tmp_path: Path) -> None:
    write_summary(tmp_path, read_summary(trained.run.folder))
    assert (tmp_path / "metrics.json").read_bytes() == trained.run.metrics.read_bytes()
    document = json.loads(trained.run.metrics.read_text())
    assert "present" not in document
    assert not keys(document) & set(FORMER_NAMES)


def test_names_of_an_earlier_version_are_read_and_sites_keep_theirs() -> None:
    summary = read_summary(FORMER)
    assert set(summary.by_site) == set(summary.intervals.by_site) == {"hospital-a", "source"}
    assert set(summary.operating_points_by_site["TUBERCULOSIS"]) == {"hospital-a", "source"}
    assert (summary.sites.calls[0].site, summary.sites.calls[0].radiographs) == ("source", 7)
    assert summary.calibration.reliability_after[0].radiographs == 6
    assert summary.failures is not None
    assert summary.failures.missed[0].by_site["source"] == (1, 2)
    assert summary.failures.missed[0].cases[0].site == "source"
    assert summary.novelty_rates is not None
    assert summary.novelty_rates.novelty.images == 189
    assert set(summary.novelty_rates.novelty.test_flagged_by_site) == {"hospital-a", "source"}
    assert summary.novelty_rates.orientations[0].kind == "inverted"
    assert summary.cross_site is not None
    assert (summary.cross_site.site, summary.cross_site.radiographs) == ("films", 11)
    assert set(summary.cross_site.held_out_site.metrics) == set(summary.cross_site.seen_sites) == {"macro_f1"}
    assert summary.cross_site.held_out_site.against_normal["TUBERCULOSIS"].radiographs == (5, 6)


def test_what_the_files_tell_of_the_class_is_said_first() -> None:
    summary = read_summary(FORMER)
    assert summary.file_controls == []  # of an earlier version
    auc = {"value": 0.99, "low": 0.97, "high": 1}
    control = FileControl.model_validate({"site": "", "images": 90, "properties": auc, "with_bytes": auc})
    summary.file_controls, summary.warnings = [control], []
    warnings = find_warnings(summary)
    assert warnings[0].startswith("The files tell the class without a look at the pictures: ")
    assert "AUC of 0.99 (0.97 to 1.00; 0.5 is chance)" in warnings[0]


def test_the_report_of_an_earlier_versions_run_is_made(trained: Trained, tmp_path: Path) -> None:
    run = Run(tmp_path / "old")
    shutil.copytree(trained.run.folder, run.folder, ignore=shutil.ignore_patterns("checkpoints"))
    document, current = (json.loads((folder / "metrics.json").read_text()) for folder in (FORMER, run.folder))
    # The pictures and the intervals that the report draws are the current run's.
    document |= {name: current[name] for name in ("audit", "failures")}
    document["operating_points_by_source"]["PNEUMONIA"] = {}
    document["intervals"]["test"] = current["intervals"]["test"]
    run.metrics.write_text(json.dumps(document))
    shutil.copy(FORMER / "training.json", run.training)
    write_report(run)
    html = run.report.read_text()
    assert "source only: 7 test images" in html
    assert '<h2 id="cross-site">' in html


def test_a_damaged_document_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"test": 1}')
    with pytest.raises(UserError, match=r"metrics\.json: missing or damaged; make it with python -m trainer evaluate"):
        read_summary(tmp_path)
