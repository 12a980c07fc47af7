"""``search``: wires data, cache, study and result. Holds no logic of its own."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna import Study
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from trainer.data.fetch import fetch
from trainer.data.holdout import run_records, sites_to_hold_out
from trainer.data.manifest import Record, Split, fingerprint
from trainer.data.split import split
from trainer.errors import UserError
from trainer.files import check_writable
from trainer.running.durations import training_seconds
from trainer.running.progress import expect, say, task, whole_command
from trainer.search.folds import Fold, left_out_fold, own_splits, validation_fold
from trainer.search.fresh import Comparison, FreshSeeds
from trainer.search.objective import Objective
from trainer.search.pages import PAGE, write_pages
from trainer.search.pool import Pool, load_pool
from trainer.search.result import Result, point_text, score_of, seconds_of, trials_table, write_settings, write_trials
from trainer.search.space import Space, space_of
from trainer.search.study import Studies, finished, median_pruner, open_studies, to_begin
from trainer.search_settings import SearchSettings
from trainer.settings import ModelSettings, TrainingSettings

RECOMMENDED, TRIALS, BOARDS = "recommended.yaml", "trials.csv", "trials"
NOT_COMPARED = {"cache", "cache_gb"}
"""Settings that may differ between those who share a search."""


def search(settings: SearchSettings) -> Path:
    """Fetch, split, search.

    Returns:
        The file with the recommended settings.

    Raises:
        UserError: whatever a step raises; the storage can't be used, or the search was begun with other settings.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("search: runs without torchrun; several machines share its trials by --storage")
    check_writable(settings.runs_dir)
    folder = settings.runs_dir / (settings.run or f"{settings.backbone}-search")
    if (folder / "config.yaml").exists():
        raise UserError(f"{folder}: is a run and no search; choose another --run")
    fetch(settings)
    split(settings)
    return search_split_data(settings, folder)


def search_split_data(settings: SearchSettings, folder: Path) -> Path:
    """As :func:`search`, of data that are fetched and split; no file of the test split is opened."""
    records = run_records(settings, aloud=True)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder), _quiet_optuna(), whole_command():
        studies = open_studies(folder, settings.storage)
        sites = _sites(settings, records)
        pool = load_pool(settings, records)
        space = space_of(settings, len({record.site for record in pool.records}), pool.strengths)
        begun = _begun(settings, records, pool)
        study = studies.open(folder.name, begun, median_pruner())
        result = _Search(settings, folder, records, sites, pool, space, studies, study).run(begun)
        write_pages(result, study, folder)
        write_trials(result, folder / TRIALS)
        write_settings(result, folder / RECOMMENDED)
    say(f"\n{trials_table(result)}\n\n{_compared(result)}{result.verdict}")
    say(f"settings: {folder / RECOMMENDED}\npage: {folder / PAGE}\nnext: tensorboard --logdir {folder / BOARDS}")
    return folder / RECOMMENDED


class _Search:
    """The study's trials, then the fresh seeds."""

    def __init__(
        self,
        settings: SearchSettings,
        folder: Path,
        records: Sequence[Record],
        sites: Sequence[str],
        pool: Pool,
        space: Space,
        studies: Studies,
        study: Study,
    ) -> None:
        self.settings, self.folder, self.records, self.sites = settings, folder, records, sites
        self.pool, self.space, self.studies, self.study = pool, space, studies, study
        sited = any(record.site for record in records) and len({record.site for record in records}) > 1
        self.score = "macro F1 within sites" if sited and not sites else "macro F1"
        if sites:
            self.score = "macro F1, sites left out"

    def run(self, begun: dict[str, object]) -> Result:
        """Run what is still to be run."""
        study, wanted = self.study, self.settings.trials
        if not study.trials:
            study.enqueue_trial(self.space.default, user_attrs={"default": True})
        done = len(finished(study))
        say(f"search: {wanted} trials, {done} of them done; {self.score}, {self._images()}")
        self._expect(wanted - done)
        self.pool.fill()
        study.sampler = self.studies.sampler(study, self.settings.seed)
        objective = Objective(self.pool, self.space, self.folds(own_splits(self.pool.records)), self.folder / BOARDS)
        with task("trials", max(1, wanted - done)) as advance:

            def told(study: Study, trial: FrozenTrial) -> None:
                self._tell(study, trial)
                advance(1)

            self.studies.run(study, objective, lambda: to_begin(study, wanted), told)
        trials = finished(study)
        default = next(one for one in trials if one.user_attrs.get("default"))
        winner = study.best_trial
        comparison = None
        if self.space.point(winner.params) != self.space.point(default.params):
            comparison = self._compare(winner, begun)
        seconds = sum(map(seconds_of, trials))
        return Result(
            str(self.folder), self.score, self._images(), trials, self.space, default, winner, comparison, seconds
        )

    def folds(self, splits: Sequence[Split]) -> list[Fold]:
        """The trainings of a trial on a division of the pool."""
        if not self.sites:
            return [validation_fold(self.pool.records, splits)]
        return [left_out_fold(self.pool.records, splits, self.records, site) for site in self.sites]

    def _compare(self, winner: FrozenTrial, begun: dict[str, object]) -> Comparison:
        rows = {"winner": self.space.point(winner.params), "default": self.space.default}
        seeds = [self.settings.seed + number for number in range(1, self.settings.fresh_seeds + 1)]
        say(f"trial {winner.number} is the best; it and the default are trained again on {len(seeds)} fresh seeds")
        fresh = FreshSeeds(self.pool, self.space, self.folds, rows, seeds)
        name = f"{self.folder.name}, trial {winner.number} on fresh seeds"
        return fresh.compare(self.studies, name, begun, _tell_fresh)

    def _images(self) -> str:
        counts = [sum(record.split == part for record in self.pool.records) for part in ("train", "val")]
        return f"{counts[0]:,} training and {counts[1]:,} validation images"

    def _tell(self, study: Study, trial: FrozenTrial) -> None:
        if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
            return
        done = len(finished(study))
        pruned = ", pruned" if trial.state == TrialState.PRUNED else ""
        point = point_text(trial.params, self.space)
        say(
            f"trial {trial.number} ({done}/{self.settings.trials})  {score_of(trial):.3f}{pruned}, "
            f"best {study.best_value:.3f}  {seconds_of(trial):.0f} s  {point}"
        )

    def _expect(self, trials: int) -> None:
        """Tell the progress bar what follows: of trials, two thirds of their epochs."""
        images = {part: sum(one.split == part for one in self.pool.records) for part in ("train", "val")}
        seconds = training_seconds(self.settings, images)
        caching = {name: seconds[name] * len(self.pool.strengths) for name in ("caching train", "caching val")}
        each = 0.6 * (seconds["Phase A"] + seconds["Phase B"]) * max(1, len(self.sites))
        expect(caching | {"trials": trials * each})


def _tell_fresh(study: Study, trial: FrozenTrial) -> None:
    if trial.state == TrialState.COMPLETE:
        say(f"  seed {trial.params['seed']}, {trial.params['settings']}: {score_of(trial):.3f}")


def _compared(result: Result) -> str:
    if result.comparison is None:
        return ""
    one = result.comparison
    low, high = one.interval
    pairs = "\n".join(
        f"  seed {seed}: winner {winner:.3f}, default {default:.3f}, {winner - default:+.3f}"
        for seed, winner, default in zip(one.seeds, one.winner, one.default, strict=True)
    )
    return (
        f"fresh seeds, {result.score}:\n{pairs}\n"
        f"  mean difference {one.difference:+.3f} (95 % interval {low:+.3f} to {high:+.3f})\n\n"
    )


def _sites(settings: SearchSettings, records: Sequence[Record]) -> list[str]:
    """The sites that are left out in turn; none for the validation objective."""
    if settings.objective == "validation":
        return []
    if settings.hold_out_site:
        raise UserError("search: --objective left-out-sites leaves out each site in turn; give no --hold-out-site")
    sites, refused = sites_to_hold_out(records)
    for reason in refused.values():
        say(reason)
    return sites


def _begun(settings: SearchSettings, records: Sequence[Record], pool: Pool) -> dict[str, object]:
    """What must be the same for all who work on a search."""
    names = {*ModelSettings.model_fields, *TrainingSettings.model_fields, "seed", "hold_out_site"} - NOT_COMPARED
    values = settings.model_dump(mode="json")
    return {
        "objective": settings.objective,
        "data": fingerprint(records)[:16],
        "augmentation strengths": list(pool.strengths),
        "trainer": version("chest-xray-service"),
        **{name: values[name] for name in sorted(names)},
    }


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Have the search's folder to oneself.

    Raises:
        UserError: another process searches in it.
    """
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise UserError(
            f"{folder}: another process is searching here; wait for it to end, or share its trials by --storage "
            "from another --runs-dir"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Without Optuna's lines, and without its warnings that a part of it is young."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
