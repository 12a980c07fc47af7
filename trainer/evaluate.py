"""Evaluation of a run and of a stored model: judge, write down, print."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bento.artifact import ONNX_FILE, Manifest
from bento.inference.session import Session
from trainer.data.corruptions import STRENGTHS
from trainer.data.datasets import open_datasets
from trainer.data.holdout import run_records
from trainer.data.listing import Radiograph
from trainer.data.manifest import Record, fingerprint, read_manifest
from trainer.documents import TrainingRecord
from trainer.durations import judging_seconds
from trainer.errors import UserError
from trainer.evaluation.confounding import calls_text
from trainer.evaluation.cross_site import cross_site_table, present_text
from trainer.evaluation.novelty_rates import novelty_text
from trainer.evaluation.robustness import Robustness, measure_robustness, robustness_table
from trainer.evaluation.scoring import evaluation_tables, score_images
from trainer.evaluation.seen_images import SeenImages, leave_out_seen, read_seen_images
from trainer.evaluation.suite import assess_run, assess_stored, split_radiographs
from trainer.evaluation_board import log_evaluation
from trainer.files import check_writable, write_json, write_text
from trainer.inference.model_store import SealedModel, stored_folder, stored_model
from trainer.plots import confusion_plot
from trainer.progress import expect, say, task, whole_command
from trainer.publish import write_manifest
from trainer.reporting.report import write_report
from trainer.runs import Run, find_run, read_training, saved_settings
from trainer.settings import RobustnessSettings, Settings


def evaluate_run(settings: Settings, aloud: bool = True) -> Run:
    """Judge a run's sealed model on its test split, once training is over, and write its report and model card.

    Args:
        settings: name the run.
        aloud: print the tables, which the run's folder has in any case.

    Raises:
        UserError: the run is not trained, or its data are gone or changed.
    """
    run = find_run(settings)
    saved = saved_settings(run)
    training = read_training(run)
    given = settings.model_fields_set & {"data_dir", "target_sensitivity", "normal_class", "workers"}
    saved = saved.model_copy(update={name: getattr(settings, name) for name in given})
    records = run_records(saved)
    if fingerprint(records) != training.fingerprint:
        raise UserError(f"{saved.data_dir}: holds other data or another split than {run.name} was trained on")
    with whole_command():
        expect(judging_seconds(saved, Counter(str(record.split) for record in records)))
        say("judging the test images")
        tables = _judge(run, saved, records, training)
    if aloud:
        say(tables)
    return run


def _judge(run: Run, saved: Settings, records: list[Record], training: TrainingRecord) -> str:
    """Write everything that is found out; returns the tables."""
    evaluation, summary = assess_run(run, saved, records, training)
    confusion_plot(summary.test.confusion_matrix, evaluation.classes, f"test, {summary.test.images} images").savefig(
        run.folder / "confusion_matrix.png", dpi=150
    )
    tables = evaluation_tables(evaluation, f"test split of {run.name}", summary.warnings)
    if summary.sites.calls:
        tables += "\n\n" + calls_text(summary.sites.calls)
    if summary.cross_site is not None:
        tables += f"\n\n{cross_site_table([summary.cross_site])}\n{present_text(summary.cross_site.held_out_site)}"
    if summary.novelty_rates is not None:
        tables += "\n\n" + novelty_text(summary.novelty_rates)
    write_text(run.folder / "metrics.txt", tables + "\n")
    with task("report"):
        write_manifest(run, saved.data_dir)
        write_report(run)
    with task("TensorBoard"):
        log_evaluation(run, evaluation, summary, tables)
    return tables


def evaluate_stored(tag: str, datasets: Sequence[str], out: Path, workers: int) -> None:
    """Judge a stored model on any folders: an external test.

    Raises:
        UserError: no such model or folder, labels that the model does not know, or too few images that it has not seen.
    """
    check_writable(out)
    predictor = stored_model(tag)
    radiographs, seen = _unseen(tag, predictor.manifest, datasets)
    evaluation = score_images(radiographs, SealedModel.of(predictor, workers))
    summary = assess_stored(evaluation, seen, predictor.manifest, out)
    print(evaluation_tables(evaluation, f"{tag} on {' + '.join(datasets)}", summary.warnings))
    if summary.present is not None:
        print(f"\n{present_text(summary.present)}")
    if summary.novelty_rates is not None:
        print(novelty_text(summary.novelty_rates))
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
