"""The steps that need several rooms' parts: evaluation of a run or of a stored model, and everything in a row."""

from pathlib import Path

from trainer.assess import assess_run, assess_stored
from trainer.config import Settings
from trainer.errors import UserError
from trainer.evaluate import evaluate_films, evaluation_tables
from trainer.figures import confusion_figure
from trainer.files import read_json, write_text
from trainer.folder import open_dataset
from trainer.manifest import fingerprint, read_manifest
from trainer.predict import stored_model
from trainer.processes import first_only, process_group
from trainer.publish import publish, write_manifest
from trainer.report import write_report
from trainer.runs import Run, continued_settings, find_run, saved_settings, start_run
from trainer.sources import fetch
from trainer.split import split
from trainer.tensorboard import log_evaluation
from trainer.train import start_and_train


def evaluate_run(settings: Settings) -> Run:
    """Judge a run's sealed model on its test split, once training is over, and write its report and model card.

    Raises:
        UserError: the run is not trained, or its data are gone or changed.
    """
    run = find_run(settings)
    saved = saved_settings(run)
    training = read_json(run.training, "train")
    records = read_manifest(saved.data_dir)
    if fingerprint(records) != training["fingerprint"]:
        raise UserError(f"{saved.data_dir}: holds other data or another split than {run.name} was trained on")
    given = settings.model_fields_set & {"target_sensitivity", "normal_class", "workers"}
    saved = saved.model_copy(update={name: getattr(settings, name) for name in given})
    evaluation = assess_run(run, saved, records, training)
    matrix = evaluation.metrics.confusion_matrix
    confusion_figure(matrix, evaluation.classes, f"test, {len(evaluation.films)} films").savefig(
        run.folder / "confusion_matrix.png", dpi=150
    )
    warnings = read_json(run.metrics, "evaluate")["warnings"]
    tables = evaluation_tables(evaluation, f"test split of {run.name}", warnings)
    write_text(run.folder / "metrics.txt", tables + "\n")
    print(tables)
    write_manifest(run)
    write_report(run)
    log_evaluation(run, evaluation)
    print(f"\nreport: {run.report}")
    return run


def evaluate_stored(tag: str, dataset: str, out: Path, workers: int) -> None:
    """Judge a stored model on any folder: an external test.

    Raises:
        UserError: no such model or folder, or labels that the model does not know.
    """
    predictor = stored_model(tag)
    manifest = predictor.manifest
    evaluation = evaluate_films(
        open_dataset(dataset), manifest.classes, predictor.session, manifest.preprocessing, workers
    )
    assess_stored(evaluation, manifest, out)
    warnings = read_json(out / "metrics.json", "evaluate")["warnings"]
    print(evaluation_tables(evaluation, f"{tag} on {dataset}", warnings))
    print(f"\nwritten: {out / 'metrics.json'}, {out / 'predictions.csv'}")


def run_everything(settings: Settings) -> None:
    """Fetch, split, train, evaluate, publish.

    Raises:
        UserError: whatever a step raises.
    """
    with process_group(settings.device):
        if settings.resume:
            settings = continued_settings(start_run(settings), settings)
        first_only(fetch, settings)
        first_only(split, settings)
        run = start_and_train(settings)
        first_only(_conclude, settings.model_copy(update={"run": run.name}), run)


def _conclude(settings: Settings, run: Run) -> None:
    evaluate_run(settings)
    tag = publish(run)
    print(
        f"\npublished: {tag}\nrun folder: {run.folder}\nreport: {run.report}\n"
        f"next: tensorboard --logdir {settings.runs_dir}   |   bentoml serve"
    )
