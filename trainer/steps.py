"""The steps that need several rooms' parts: evaluation of a run or of a stored model, and everything in a row."""

from pathlib import Path

from bento.artifact import ONNX_FILE
from bento.images import Preprocessing
from bento.predictor import Session
from trainer.config import Settings
from trainer.errors import UserError
from trainer.evaluate import evaluate_films, evaluation_tables, write_evaluation
from trainer.files import read_json, write_text
from trainer.folder import Film, open_dataset
from trainer.manifest import fingerprint, read_manifest
from trainer.predict import stored_model
from trainer.publish import publish
from trainer.runs import Run, find_run, saved_settings, start_run
from trainer.sources import fetch
from trainer.split import split
from trainer.tensorboard import confusion_figure
from trainer.train import train


def evaluate_run(settings: Settings) -> Run:
    """Judge a run's sealed model on its test split, once training is over.

    Raises:
        UserError: the run is not trained, or its data are gone or changed.
    """
    run = find_run(settings)
    saved = saved_settings(run)
    training = read_json(run.training, "train")
    records = read_manifest(saved.data_dir)
    if fingerprint(records) != training["fingerprint"]:
        raise UserError(f"{saved.data_dir}: holds other data or another split than {run.name} was trained on")
    films = [
        Film(
            saved.data_dir / record.path,
            record.path,
            record.label,
            record.source,
            record.patient,
            record.split,
        )
        for record in records
        if record.split == "test"
    ]
    evaluation = evaluate_films(
        films,
        training["classes"],
        Session(run.sealed / ONNX_FILE, len(training["classes"]), saved.image_size),
        Preprocessing(image_size=saved.image_size),
        settings.workers,
    )
    write_evaluation(evaluation, run.folder)
    matrix = evaluation.metrics.confusion_matrix
    confusion_figure(matrix, evaluation.classes, f"test, {len(evaluation.films)} films").savefig(
        run.folder / "confusion_matrix.png", dpi=150
    )
    tables = evaluation_tables(evaluation, f"test split of {run.name}")
    write_text(run.folder / "metrics.txt", tables + "\n")
    print(tables)
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
    write_evaluation(evaluation, out)
    print(evaluation_tables(evaluation, f"{tag} on {dataset}"))
    print(f"\nwritten: {out / 'metrics.json'}, {out / 'predictions.csv'}")


def run_everything(settings: Settings) -> None:
    """Fetch, split, train, evaluate, publish.

    Raises:
        UserError: whatever a step raises.
    """
    run: Run | None = None
    if settings.resume:
        run, settings = start_run(settings)
    fetch(settings)
    split(settings)
    if run is None:
        run, settings = start_run(settings)
    train(settings, run)
    evaluate_run(settings)
    tag = publish(run)
    print(
        f"\npublished: {tag}\nrun folder: {run.folder}\n"
        f"next: tensorboard --logdir {settings.runs_dir}   |   bentoml serve"
    )
