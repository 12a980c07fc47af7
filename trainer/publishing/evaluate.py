"""Evaluation of a run and of a stored model: judge, write down, print."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from bento.artifact import ONNX_FILE, Manifest
from bento.inference.session import Session
from trainer.data.corruptions import STRENGTHS
from trainer.data.datasets import open_datasets
from trainer.data.holdout import run_records
from trainer.data.listing import Radiograph
from trainer.data.manifest import Record, fingerprint, read_manifest
from trainer.errors import UserError
from trainer.evaluation.predictive_values import check_prevalence
from trainer.evaluation.robustness import Robustness, measure_robustness, robustness_table
from trainer.evaluation.scoring import score_images
from trainer.evaluation.seen_images import SeenImages, leave_out_seen, read_seen_images
from trainer.evaluation.suite import NORMAL, assess_run, assess_stored, split_radiographs
from trainer.evaluation.tables import evaluation_text
from trainer.files import check_writable, write_json, write_text
from trainer.inference.model_store import SealedModel, stored_folder, stored_model
from trainer.plots import confusion_plot
from trainer.publishing.evaluation_board import log_evaluation
from trainer.publishing.publish import write_manifest
from trainer.reporting.report import write_report
from trainer.running.documents import TrainingRecord
from trainer.running.durations import judging_seconds
from trainer.running.progress import expect, say, task, whole_command
from trainer.running.runs import Run, find_run, read_training, saved_settings
from trainer.settings import RobustnessSettings, Settings

NONE_STATED: Mapping[str, float] = {}
"""Without ``--prevalence``."""


def evaluate_run(settings: Settings, prevalence: Mapping[str, float] = NONE_STATED, aloud: bool = True) -> Run:
    """Judge a run's sealed model on its test split, once training is over, and write its report and model card.

    Args:
        settings: which run, and what is to be another way than when it was trained.
        prevalence: see :func:`~trainer.evaluation.predictive_values.predictive_values`.
        aloud: print the tables, which the run's folder has in any case.

    Raises:
        UserError: the run is not trained, its data are gone or changed, or a prevalence is of none of its diseases.
    """
    run = find_run(settings)
    saved = saved_settings(run)
    training = read_training(run)
    given = settings.model_fields_set & {"data_dir", "target_sensitivity", "normal_class", "workers"}
    saved = saved.model_copy(update={name: getattr(settings, name) for name in given})
    check_prevalence(prevalence, training.classes, saved.normal_class)
    records = run_records(saved)
    if fingerprint(records) != training.fingerprint:
        raise UserError(f"{saved.data_dir}: holds other data or another split than {run.name} was trained on")
    with whole_command():
        expect(judging_seconds(saved, Counter(str(record.split) for record in records)))
        say("judging the test images")
        tables = _judge(run, saved, records, training, prevalence)
    if aloud:
        say(tables)
    return run


def _judge(
    run: Run, saved: Settings, records: list[Record], training: TrainingRecord, prevalence: Mapping[str, float]
) -> str:
    """Write everything that is found out; returns the tables."""
    evaluation, summary = assess_run(run, saved, records, training, prevalence)
    confusion_plot(summary.test.confusion_matrix, evaluation.classes, f"test, {summary.test.images} images").savefig(
        run.folder / "confusion_matrix.png", dpi=150
    )
    tables = evaluation_text(summary, f"test split of {run.name}")
    write_text(run.folder / "metrics.txt", tables + "\n")
    with task("report"):
        write_manifest(run, saved.data_dir)
        write_report(run)
    with task("TensorBoard"):
        log_evaluation(run, evaluation, summary, tables)
    return tables


def evaluate_stored(
    tag: str, datasets: Sequence[str], out: Path, workers: int, prevalence: Mapping[str, float] = NONE_STATED
) -> None:
    """Judge a stored model on any folders: an external test.

    Args:
        tag: of the model.
        datasets: folders, as for ``--dataset``.
        out: folder for ``metrics.json`` and ``predictions.csv``.
        workers: threads that decode images; 0: by the number of cores.
        prevalence: see :func:`~trainer.evaluation.predictive_values.predictive_values`.

    Raises:
        UserError: no such model or folder, labels that the model does not know, too few images that it has not seen,
            or a prevalence of none of its diseases.
    """
    check_writable(out)
    predictor = stored_model(tag)
    manifest = predictor.manifest
    check_prevalence(prevalence, manifest.classes, manifest.config.get("normal_class", NORMAL))
    radiographs, seen = _unseen(tag, manifest, datasets)
    evaluation = score_images(radiographs, SealedModel.of(predictor, workers))
    if manifest.site:
        print(f"The thresholds are those of {manifest.site.name}, calibrated on {manifest.site.images:,} images.")
    summary = assess_stored(evaluation, seen, manifest, out, prevalence)
    print(evaluation_text(summary, f"{tag} on {' + '.join(datasets)}"))
    print(f"\nwritten: {out / 'metrics.json'}, {out / 'predictions.csv'}")


def _unseen(tag: str, manifest: Manifest, datasets: Sequence[str]) -> tuple[list[Radiograph], SeenImages]:
    """The datasets' images but those that a stored model was made with; says how many these are."""
    radiographs, seen = leave_out_seen(open_datasets(datasets), read_seen_images(stored_folder(tag), manifest))
    if not seen.warning:  # the tables begin with warnings
        print(seen.sentence)
    return radiographs, seen


def evaluate_robustness(settings: RobustnessSettings) -> Robustness:
    """Measure what a run's model, or a stored one, loses on images of simulated other scanners.

    Raises:
        UserError: no such run, model or folder, labels that the model does not know, no readable image, or too few that
            a stored model has not seen.
    """
    strengths = STRENGTHS if settings.all else (3,)
    if settings.out:
        check_writable(settings.out.parent)
    seen = None
    if settings.model:
        predictor = stored_model(settings.model)
        model = SealedModel.of(predictor, settings.workers)
        radiographs, seen = _unseen(settings.model, predictor.manifest, settings.dataset)
    else:
        run = find_run(settings)
        saved = saved_settings(run)
        data_dir = settings.data_dir if "data_dir" in settings.model_fields_set else saved.data_dir
        classes = read_training(run).classes
        session = Session(run.sealed / ONNX_FILE, len(classes), saved.image_size)
        model = SealedModel(session, classes, saved.preprocessing, settings.workers)
        radiographs = split_radiographs(read_manifest(data_dir), data_dir, "test")
    robustness = measure_robustness(radiographs, model, strengths)
    robustness.seen_images = seen
    if seen is not None and seen.warning:
        print(f"WARNING: {seen.warning}\n")
    tables = [robustness_table(f"site {name}", losses) for name, losses in robustness.by_site.items()]
    print("\n\n".join([*tables, robustness_table("all", robustness.all)]))
    if settings.out:
        settings.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(settings.out, robustness.model_dump(mode="json"))
    return robustness
