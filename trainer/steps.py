"""The steps that need several rooms' parts: evaluation of a run or of a stored model, and everything in a row."""

import re
from pathlib import Path

import ignite.distributed as idist

from trainer.assess import assess_run, assess_stored
from trainer.config import Settings
from trainer.confounding import Call, calls_text
from trainer.errors import UserError
from trainer.evaluate import evaluate_films, evaluation_tables
from trainer.figures import confusion_figure
from trainer.files import read_json, write_text
from trainer.folder import open_dataset
from trainer.holdout import run_records, sources_to_hold_out
from trainer.manifest import fingerprint, read_manifest
from trainer.outside import OutsideFound, outside_text
from trainer.predict import stored_model
from trainer.processes import first_only, process_group
from trainer.publish import publish, write_manifest
from trainer.report import report_runs, write_report
from trainer.runs import Run, continued_settings, find_run, saved_settings, start_run
from trainer.sources import fetch
from trainer.split import split
from trainer.tensorboard import log_evaluation
from trainer.train import start_and_train
from trainer.transfer import Present, Transfer, present_text, transfer_table


def evaluate_run(settings: Settings) -> Run:
    """Judge a run's sealed model on its test split, once training is over, and write its report and model card.

    Raises:
        UserError: the run is not trained, or its data are gone or changed.
    """
    run = find_run(settings)
    saved = saved_settings(run)
    training = read_json(run.training, "train")
    records = run_records(saved)
    if fingerprint(records) != training["fingerprint"]:
        raise UserError(f"{saved.data_dir}: holds other data or another split than {run.name} was trained on")
    given = settings.model_fields_set & {"target_sensitivity", "normal_class", "workers"}
    saved = saved.model_copy(update={name: getattr(settings, name) for name in given})
    evaluation = assess_run(run, saved, records, training)
    matrix = evaluation.metrics.confusion_matrix
    confusion_figure(matrix, evaluation.classes, f"test, {len(evaluation.films)} films").savefig(
        run.folder / "confusion_matrix.png", dpi=150
    )
    document = read_json(run.metrics, "evaluate")
    tables = evaluation_tables(evaluation, f"test split of {run.name}", document["warnings"])
    if document["sources"]["calls"]:
        tables += "\n\n" + calls_text([Call.model_validate(one) for one in document["sources"]["calls"]])
    if "out_of_source" in document:
        transfer = Transfer.model_validate(document["out_of_source"])
        tables += f"\n\n{transfer_table([transfer])}\n{present_text(transfer.out_of_source)}"
    if "outside" in document:
        tables += "\n\n" + outside_text(OutsideFound.model_validate(document["outside"]))
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
    document = read_json(out / "metrics.json", "evaluate")
    print(evaluation_tables(evaluation, f"{tag} on {dataset}", document["warnings"]))
    print(f"\n{present_text(Present.model_validate(document['present']))}")
    if "outside" in document:
        print(outside_text(OutsideFound.model_validate(document["outside"])))
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


def run_matrix(settings: Settings) -> None:
    """Train and evaluate once without each source; the runs' reports then show all of them beside each other.

    A run that is evaluated already is not made again, so that a broken matrix goes on where it stopped.

    Raises:
        UserError: whatever a step raises; no source can be left out, or ``--hold-out-source`` is given.
    """
    if settings.hold_out_source:
        raise UserError("matrix: leaves out each source in turn; give no --hold-out-source")
    with process_group(settings.device):
        first_only(fetch, settings)
        first_only(split, settings)
        sources, refused = sources_to_hold_out(read_manifest(settings.data_dir))
        names = []
        for source in sources:
            slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", source)
            name = f"{settings.run or settings.backbone}-without-{slug}"
            own = settings.model_copy(update={"hold_out_source": source, "run": name, "replace": False})
            run = Run(settings.runs_dir / name)
            if not run.report.is_file():
                run = start_and_train(own.model_copy(update={"resume": run.config.is_file()}))
                first_only(evaluate_run, own)
            names.append(name)
        if idist.get_rank() == 0:
            for reason in refused.values():
                print(reason)
        first_only(report_runs, settings.runs_dir, names)


def _conclude(settings: Settings, run: Run) -> None:
    evaluate_run(settings)
    tag = publish(run)
    print(
        f"\npublished: {tag}\nrun folder: {run.folder}\nreport: {run.report}\n"
        f"next: tensorboard --logdir {settings.runs_dir}   |   bentoml serve"
    )
