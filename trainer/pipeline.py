"""Commands that do several steps in a row.

What comes after training is imported after it: a model store, a report and their libraries take seconds to load, which
the start of training would wait for.
"""

import re
from pathlib import Path

from trainer.data.fetch import fetch
from trainer.data.holdout import sites_to_hold_out
from trainer.data.manifest import read_manifest
from trainer.data.split import split
from trainer.distributed import first_only, process_group
from trainer.errors import UserError
from trainer.files import check_writable, model_store
from trainer.running.progress import say, whole_command
from trainer.running.runs import Run, continued_settings, read_training, refuse_taken_name, start_run
from trainer.settings import Settings
from trainer.training.train import start_and_train


def run_everything(settings: Settings) -> None:
    """Fetch, split, train, evaluate, publish.

    Raises:
        UserError: whatever a step raises.
    """
    check_writable(model_store())
    refuse_taken_name(settings)
    with process_group(settings.device), whole_command():
        if settings.resume:
            settings = continued_settings(start_run(settings), settings)
        first_only(fetch)(settings)
        first_only(split)(settings)
        run = start_and_train(settings, judged=True)
        first_only(_conclude)(settings.model_copy(update={"run": run.name}), run)


def run_matrix(settings: Settings) -> None:
    """Train and evaluate once without each site; the runs' reports then show all of them beside each other.

    A run that is evaluated already is not made again, so that a broken matrix goes on where it stopped.

    Raises:
        UserError: whatever a step raises; no site can be left out, ``--hold-out-site`` is given, or a run of
            the name was made with other settings.
    """
    if settings.hold_out_site:
        raise UserError("matrix: leaves out each site in turn; give no --hold-out-site")
    with process_group(settings.device):
        first_only(fetch)(settings)
        first_only(split)(settings)
        sites, refused = sites_to_hold_out(read_manifest(settings.data_dir))
        for reason in refused.values():
            say(reason)
        names = []
        for number, site in enumerate(sites, start=1):
            slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", site)
            name = f"{settings.run or settings.backbone}-without-{slug}"
            run = Run(settings.runs_dir / name)
            given = {"hold_out_site": site, "run": name, "replace": False, "resume": run.config.is_file()}
            own = settings.model_copy(update=given)
            if own.resume:
                start_run(own)  # refuses a finished run too, if it was made with other settings
            finished = run.report.is_file()
            say(f"{number} of {len(sites)}: without {site}" + (", finished before" if finished else ""))
            if not finished:
                with whole_command():
                    start_and_train(own, judged=True)
                    first_only(_evaluate)(own, aloud=False)
            names.append(name)
        first_only(_report)(settings.runs_dir, names)


def _evaluate(settings: Settings, aloud: bool = True) -> None:
    from trainer.publishing.evaluate import evaluate_run

    evaluate_run(settings, aloud=aloud)


def _report(runs_dir: Path, names: list[str]) -> None:
    from trainer.reporting.report import report_runs

    report_runs(runs_dir, names)


def _conclude(settings: Settings, run: Run) -> None:
    from trainer.publishing.publish import publish

    _evaluate(settings)
    told = publish(run, promote=settings.promote).told
    *_, last = read_training(run).phases.values()
    say(
        f"\n{last.kept}\n{told}\nrun folder: {run.folder}\nreport: {run.report}\n"
        f"next: tensorboard --logdir {settings.runs_dir}   |   bentoml serve"
    )
