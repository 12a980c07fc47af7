"""Everything that is found out about a model on its test images, and the files that hold it."""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.manifold import TSNE

from bento.artifact import ONNX_FILE, Manifest, OperatingPoint, SiteThreshold, Threshold
from bento.inference.session import Session
from trainer.data.duplicates import thumbnail
from trainer.data.fetch_report import read_fetch_report
from trainer.data.file_control import control_files
from trainer.data.file_properties import read_file_properties
from trainer.data.holdout import held_out_records
from trainer.data.listing import Radiograph
from trainer.data.manifest import SPLITS, Record
from trainer.errors import UserError
from trainer.evaluation.confounding import SiteFindings, association, cross_site_calls, probe_sentence, probe_site
from trainer.evaluation.cross_site import judge_cross_site, judge_present
from trainer.evaluation.data_audit import audit
from trainer.evaluation.failures import draw_cases, draw_pairs, find_failures
from trainer.evaluation.novelty_rates import judge_novelty
from trainer.evaluation.operating_points import judge_threshold, operating_points
from trainer.evaluation.predictive_values import predictive_values
from trainer.evaluation.reference import reference_of
from trainer.evaluation.scoring import Evaluation, judge_each, score_images, write_predictions
from trainer.evaluation.seen_images import SeenImages, write_seen_images
from trainer.evaluation.shortcut_controls import (
    Control,
    border_pixels,
    judge_controls,
    linear_predictions,
    pooled,
    shuffled_predictions,
)
from trainer.evaluation.summary import EvaluationSummary, summarise, write_summary
from trainer.evaluation.warnings import find_warnings
from trainer.files import write_text
from trainer.inference.model_store import SealedModel
from trainer.running.documents import TrainingRecord
from trainer.running.progress import task
from trainer.running.runs import Run
from trainer.settings import Settings
from trainer.tables import csv_text
from trainer.types import Array

MAP_IMAGES = 1000
NORMAL = "NORMAL"
"""Of models that were sealed before the class without disease became a setting."""


def assess_run(
    run: Run, saved: Settings, records: list[Record], training: TrainingRecord, prevalence: Mapping[str, float]
) -> tuple[Evaluation, EvaluationSummary]:
    """Judge a trained run on its test images and write everything that is found out but the report.

    Thresholds come from the validation images, the temperature from training: test labels decide neither.

    Raises:
        UserError: none of the images can be read, or the data folder was emptied.
    """
    classes, data_dir = training.classes, saved.data_dir
    session = Session(run.sealed / ONNX_FILE, len(classes), saved.image_size)
    model = SealedModel(session, classes, saved.preprocessing, saved.workers)
    validation = score_images(split_radiographs(records, data_dir, "val"), model, title="judging validation images")
    test = score_images(split_radiographs(records, data_dir, "test"), model, occlude=True, title="judging test images")
    with task("metrics"):
        points, without = operating_points(validation.judged, test.judged, saved.target_sensitivity, saved.normal_class)
        summary = summarise(test, training.temperature, points, judge_sites([test, validation], records))
    summary.no_threshold = without
    summary.predictive_values = predictive_values(points, without, summary.test, prevalence)
    summary.reference = reference_of(validation, points, training.novelty, training.orientations)
    held_out = _judge_held_out(run, saved, test, model, summary) if saved.hold_out_site else None
    if training.novelty is not None:
        summary.novelty_rates = judge_novelty(test, training.novelty, training.orientations, held_out)
    train, small = _thumbnails(run, split_radiographs(records, data_dir, "train"), model)
    truth = np.array([classes.index(radiograph.label) for radiograph in train])
    with task("controls"):
        summary.controls = run_controls(test, validation, np.stack(small), truth)
    shown = [*train, *validation.radiographs, *test.radiographs]
    small += [*validation.thumbnails, *test.thumbnails]
    thumbnails = {radiograph.path: image for radiograph, image in zip(shown, small, strict=True)}
    fetched = read_fetch_report(data_dir)
    if fetched is None:
        raise UserError(f"{data_dir}: holds no dataset; run `python -m trainer fetch` first")
    summary.file_controls = control_files(records, read_file_properties(data_dir))
    summary.audit = audit(records, data_dir, thumbnails, fetched.unreadable, fetched.licences, saved.seed)
    paths = [radiograph.path for radiograph in test.radiographs]
    summary.failures = find_failures(test.judged, paths, test.sites, points, saved.normal_class)
    files = {record.path: data_dir / record.path for record in records}
    shutil.rmtree(run.pictures, ignore_errors=True)
    with task("pictures"):
        draw_cases(summary.failures.cases, files, model, run.pictures)
        draw_pairs(summary.audit.pairs, files, model.preprocessing, run.pictures)
        write_text(run.embedding_map, _embedding_map(test))
    write_predictions(test, run.predictions)
    write_predictions(validation, run.validation_predictions)
    write_seen_images(records, data_dir, run.sealed)
    summary.warnings = find_warnings(summary)
    write_summary(run.folder, summary)
    return test, summary


def _thumbnails(run: Run, train: list[Radiograph], model: SealedModel) -> tuple[list[Radiograph], list[Array]]:
    """Training images and their thumbnails: those that training has left, or of the images that can be read."""
    if run.training_thumbnails.is_file():
        with suppress(ValueError, EOFError):  # a damaged file: they are made anew
            return train, list(np.load(run.training_thumbnails))
    title = "reading training images"
    return judge_each(train, model, lambda taken: thumbnail(Image.fromarray(taken.image)), title)[:2]


def assess_stored(
    evaluation: Evaluation, seen: SeenImages, manifest: Manifest, out: Path, prevalence: Mapping[str, float]
) -> EvaluationSummary:
    """Judge a stored model on an external set, at its own thresholds and temperature, and write what is found out."""
    judged = evaluation.judged
    points = []
    for point in _points_in_use(manifest):
        rates = judge_threshold(judged, point.label, point.threshold, point.reference)
        tested = {"test_sensitivity": rates.get("sensitivity"), "test_specificity": rates.get("specificity")}
        points.append(point.model_copy(update=tested))
    sites = judge_sites([evaluation], evaluation.radiographs)
    summary = summarise(evaluation, manifest.temperature, points, sites)
    summary.no_threshold = manifest.never_flagged
    summary.predictive_values = predictive_values(points, manifest.never_flagged, summary.test, prevalence)
    summary.seen_images = seen
    summary.present = judge_present(judged, manifest.config.get("normal_class", NORMAL))
    if manifest.novelty is not None:
        summary.novelty_rates = judge_novelty(evaluation, manifest.novelty, manifest.orientations)
    summary.warnings = find_warnings(summary)
    write_predictions(evaluation, out / "predictions.csv")
    write_summary(out, summary)
    return summary


def _points_in_use(manifest: Manifest) -> list[OperatingPoint]:
    """The thresholds that the model flags by; of a site's, its calibration images stand for the validation images."""
    own = {point.label: point for point in manifest.operating_points}
    return [
        OperatingPoint(
            **point.model_dump(include=set(Threshold.model_fields)),
            validation_positives=point.positive_images,
            validation_negatives=point.negative_images,
            validation_sensitivity=point.sensitivity.value,
            validation_specificity=point.specificity.value,
            test_sensitivity=None,
            test_specificity=None,
        )
        if isinstance(point, SiteThreshold)
        else own[point.label]
        for point in manifest.thresholds
    ]


def _judge_held_out(
    run: Run, saved: Settings, test: Evaluation, model: SealedModel, summary: EvaluationSummary
) -> Evaluation:
    """Judge the images of the site that was left out; those of a class that the run does not know are only counted."""
    records = held_out_records(saved)
    known = [record for record in records if record.label in test.classes]
    radiographs = [radiograph for split in SPLITS for radiograph in split_radiographs(known, saved.data_dir, split)]
    held_out = score_images(radiographs, model)
    write_predictions(held_out, run.held_out_site_predictions)
    left_out = dict(Counter(record.label for record in records if record.label not in test.classes))
    site, points = str(saved.hold_out_site), summary.operating_points
    summary.cross_site = judge_cross_site(site, test.judged, held_out.judged, left_out, points, saved.normal_class)
    return held_out


def split_radiographs(records: Sequence[Record], data_dir: Path, split: str) -> list[Radiograph]:
    """A split's images, in the manifest's order."""
    return [
        Radiograph(data_dir / record.path, record.path, record.label, record.site, record.patient, record.split)
        for record in records
        if record.split == split
    ]


def judge_sites(unseen: Sequence[Evaluation], radiographs: Sequence[Radiograph | Record]) -> SiteFindings:
    """Association of class and site over ``radiographs``; what the embedding tells of the site, over ``unseen``.

    Args:
        unseen: images that the model was not fitted to.
        radiographs: all images of the dataset.
    """
    together = association(
        [radiograph.label for radiograph in radiographs],
        [radiograph.site for radiograph in radiographs],
        [radiograph.person for radiograph in radiographs],
    )
    judged = [radiograph for evaluation in unseen for radiograph in evaluation.radiographs]
    sites = [radiograph.site for radiograph in judged]
    patients = [radiograph.person for radiograph in judged]
    embeddings = np.concatenate([evaluation.embeddings for evaluation in unseen])
    probe = probe_site(embeddings, [radiograph.label for radiograph in judged], sites, patients)
    truth = np.concatenate([evaluation.truth for evaluation in unseen])
    predicted = np.concatenate([evaluation.probabilities.argmax(axis=1) for evaluation in unseen])
    calls = cross_site_calls(truth, predicted, unseen[0].classes, sites, patients, together)
    text = probe_sentence(probe, together) if probe else ""
    return SiteFindings(association=together, probe=probe, probe_text=text, calls=calls)


def run_controls(
    test: Evaluation, validation: Evaluation, train_thumbnails: Array, train_truth: Array
) -> list[Control]:
    """All controls on the test images.

    Args:
        test: with occluded images.
        validation: its embeddings, with shuffled labels, are what the last control is fitted to.
        train_thumbnails: ``uint8`` N×32×32 of the training images.
        train_truth: their N class indices.
    """
    predictions = {
        "thumbnail": linear_predictions(pooled(train_thumbnails, 8), train_truth, pooled(test.thumbnails, 8)),
        "border": linear_predictions(border_pixels(train_thumbnails), train_truth, border_pixels(test.thumbnails)),
        "lungs_blacked_out": test.occluded[:, 0].argmax(axis=1),
        "lungs_only": test.occluded[:, 1].argmax(axis=1),
    }
    # A dataset's own split may have validation images of one class only, in any order the same.
    if len(set(validation.truth.tolist())) > 1:
        predictions["shuffled"] = shuffled_predictions(validation.embeddings, validation.truth, test.embeddings)
    return judge_controls(test.judged, test.sites, predictions)


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
    paths = [evaluation.radiographs[i].path for i in rows.tolist()]
    return csv_text(
        ["path", "x", "y"], [(path, f"{x:.4g}", f"{y:.4g}") for path, (x, y) in zip(paths, places, strict=True)]
    )
