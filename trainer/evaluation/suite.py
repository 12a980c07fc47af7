"""Everything that is found out about a model on its test images, and the files that hold it."""

import csv
import io
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.manifold import TSNE

from bento.artifact import ONNX_FILE, Manifest, NoveltyFit, OperatingPoint, OrientationPoint
from bento.imaging.errors import ImageError
from bento.imaging.preprocessing import Preprocessing
from bento.inference.session import Session
from trainer.data.holdout import held_out_records
from trainer.data.listing import Radiograph
from trainer.data.manifest import MANIFEST_FILE, SPLITS, Record
from trainer.data.raw import FetchReport, read_fetch_report
from trainer.errors import UserError
from trainer.evaluation.cross_site import Transfer, judge_present, judge_transfer
from trainer.evaluation.data_audit import audit
from trainer.evaluation.failures import draw_cases, draw_pairs, find_failures
from trainer.evaluation.novelty_rates import judge_novelty
from trainer.evaluation.operating_points import judge_threshold, operating_points
from trainer.evaluation.scoring import Evaluation, score_images, write_predictions
from trainer.evaluation.shortcut_controls import thumbnail
from trainer.evaluation.summary import core_document, judge_sites, run_controls, write_document
from trainer.files import write_text
from trainer.inference.image_stream import each_image
from trainer.runs import Run
from trainer.settings import Settings
from trainer.tables import read_table
from trainer.types import Array

MAP_IMAGES = 1000
NORMAL = "NORMAL"
"""Of models that were sealed before the class without disease became a setting."""


def assess_run(run: Run, saved: Settings, records: list[Record], training: dict[str, Any]) -> Evaluation:
    """Judge a trained run on its test images and write all of its findings but the report.

    Thresholds come from the validation images, the temperature from training: test labels decide neither.

    Raises:
        UserError: none of the images can be read, or the data folder was emptied.
    """
    classes: list[str] = training["classes"]
    spec = saved.preprocessing
    session = Session(run.sealed / ONNX_FILE, len(classes), saved.image_size)
    validation = score_images(split_radiographs(records, saved.data_dir, "val"), classes, session, spec, saved.workers)
    test = score_images(
        split_radiographs(records, saved.data_dir, "test"),
        classes,
        session,
        spec,
        saved.workers,
        occlude=True,
    )
    points = operating_points(validation.judged, test.judged, saved.target_sensitivity, saved.normal_class)
    core = core_document(test, training["temperature"], points)
    sites = judge_sites([test, validation], records)
    transfer, held_out = None, None
    if saved.hold_out_site:
        transfer, held_out = _assess_held_out(run, saved, test, session, points)
    novelty_rates = None
    if "novelty" in training:  # runs of before format 4 have none
        novelty = NoveltyFit.model_validate(training["novelty"])
        orientations = [OrientationPoint.model_validate(point) for point in training["orientations"]]
        novelty_rates = judge_novelty(test, novelty, orientations, held_out)
    thumbnails = _thumbnails(split_radiographs(records, saved.data_dir, "train"), spec, saved.workers)
    truth = np.array([classes.index(record.label) for record in records if record.path in thumbnails])
    controls = run_controls(test, validation, np.stack(list(thumbnails.values())), truth)
    for part in (validation, test):
        thumbnails |= {radiograph.path: one for radiograph, one in zip(part.radiographs, part.thumbnails, strict=True)}
    fetched = read_fetch_report(saved.data_dir)
    if fetched is None:
        raise UserError(f"{saved.data_dir}: holds no data set; run `python -m trainer fetch` first")
    licences = _licences(fetched, len(records))
    audited = audit(records, saved.data_dir, thumbnails, fetched.unreadable, licences, saved.seed)
    failures = find_failures(
        test.judged,
        [radiograph.path for radiograph in test.radiographs],
        test.sites,
        {point.label: point.threshold for point in points},
        saved.normal_class,
    )
    files = {record.path: saved.data_dir / record.path for record in records}
    shutil.rmtree(run.pictures, ignore_errors=True)
    draw_cases(failures.cases, files, session, spec, classes, run.pictures)
    draw_pairs(audited.pairs, files, spec, run.pictures)
    write_predictions(test, run.predictions)
    write_predictions(validation, run.validation_predictions)
    write_text(run.embedding_map, _embedding_map(test))
    write_document(run.folder, core, sites, controls, audited, failures, transfer, novelty_rates)
    return test


def assess_stored(evaluation: Evaluation, manifest: Manifest, out: Path) -> None:
    """Write the findings on an external set: its figures, at the model's own thresholds and temperature."""
    points = [
        point.model_copy(
            update={
                f"test_{name}": judge_threshold(evaluation.judged, point.label, point.threshold).get(name)
                for name in ("sensitivity", "specificity")
            }
        )
        for point in manifest.operating_points
    ]
    core = core_document(evaluation, manifest.temperature, points)
    write_predictions(evaluation, out / "predictions.csv")
    present = judge_present(evaluation.judged, manifest.config.get("normal_class", NORMAL))
    core["present"] = present.model_dump()
    novelty_rates = None
    if manifest.novelty is not None:
        novelty_rates = judge_novelty(evaluation, manifest.novelty, manifest.orientations)
    write_document(out, core, judge_sites([evaluation], evaluation.radiographs), novelty_rates=novelty_rates)


def _assess_held_out(
    run: Run, saved: Settings, test: Evaluation, session: Session, points: list[OperatingPoint]
) -> tuple[Transfer, Evaluation]:
    """Judge the images of the site that was left out; those of a class that the run does not know only count."""
    records = held_out_records(saved)
    known = [record for record in records if record.label in test.classes]
    radiographs = [radiograph for split in SPLITS for radiograph in split_radiographs(known, saved.data_dir, split)]
    held_out = score_images(radiographs, test.classes, session, saved.preprocessing, saved.workers)
    write_predictions(held_out, run.held_out_site_predictions)
    left_out = Counter(record.label for record in records if record.label not in test.classes)
    transfer = judge_transfer(
        str(saved.hold_out_site), test.judged, held_out.judged, dict(left_out), points, saved.normal_class
    )
    return transfer, held_out


def split_radiographs(records: Sequence[Record], data_dir: Path, split: str) -> list[Radiograph]:
    """A split's images, in the manifest's order."""
    return [
        Radiograph(data_dir / record.path, record.path, record.label, record.site, record.patient, record.split)
        for record in records
        if record.split == split
    ]


def _thumbnails(radiographs: Sequence[Radiograph], spec: Preprocessing, workers: int) -> dict[str, Array]:
    """``uint8`` 32×32 of each image that can be read, by path, in the order given."""
    results = each_image([radiograph.file for radiograph in radiographs], spec, thumbnail, workers)
    return {
        radiograph.path: result
        for radiograph, (_, result) in zip(radiographs, results, strict=True)
        if not isinstance(result, ImageError)
    }


def _licences(report: FetchReport, radiographs: int) -> dict[str, int]:
    """Images by licence, where the data set's own manifest names any and is still there."""
    if report.dataset.startswith("sample:"):
        return {"generated by this program, free of rights": radiographs}
    manifest = Path(report.location) / MANIFEST_FILE
    if not report.location or not manifest.is_file():
        return {}
    rows = read_table(manifest, ("path",))
    return dict(Counter(row["licence"] for _, row in rows if row.get("licence")).most_common())


def _embedding_map(evaluation: Evaluation) -> str:
    """t-SNE (van der Maaten & Hinton 2008) of at most :data:`MAP_IMAGES` images, as CSV of path, x and y."""
    rows = np.arange(len(evaluation.radiographs))
    if len(rows) > MAP_IMAGES:
        rows = np.sort(np.random.default_rng(0).choice(rows, MAP_IMAGES, replace=False))
    perplexity = min(30.0, (len(rows) - 1) / 3)
    places = np.zeros((len(rows), 2))
    if perplexity > 1:
        places = TSNE(perplexity=perplexity, init="pca", random_state=0, max_iter=500).fit_transform(
            evaluation.embeddings[rows]
        )
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["path", "x", "y"])
    for i, (x, y) in zip(rows.tolist(), places.tolist(), strict=True):
        writer.writerow([evaluation.radiographs[i].path, f"{x:.4g}", f"{y:.4g}"])
    return stream.getvalue()
