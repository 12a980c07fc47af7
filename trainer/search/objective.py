"""What a trial is: trainings on the pool's folds, shown in TensorBoard, and their score."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from ignite.engine import Engine, Events
from optuna import Trial, TrialPruned
from torch.optim import Optimizer
from torch.utils.tensorboard import SummaryWriter

from trainer.files import named_errors
from trainer.search.folds import Fold
from trainer.search.pool import Pool
from trainer.search.pruning import PruneByQuarter
from trainer.search.space import AUGMENTATION, Params, Space
from trainer.training.epoch_log import SHOWN
from trainer.training.phases import PhasePlan, PhaseResult

SCORE = "score"
"""Name of what is searched for, among TensorBoard's metrics of the hyper-parameters."""


@dataclass(frozen=True)
class TrialLog:
    """Shows a training's epochs in TensorBoard, and attaches what may end it."""

    writer: SummaryWriter | None
    tag: str
    """Of the charts."""
    trial: Trial | None = None
    """Is told of the validation curve of the last phase, and may be pruned by it."""

    def attach(self, plan: PhasePlan, trainer: Engine, evaluator: Engine, optimizer: Optimizer) -> None:
        """Listen to a phase's engines."""
        if self.writer:
            evaluator.add_event_handler(Events.COMPLETED, self._show, self.writer, plan, trainer, optimizer)
        if self.trial and plan.last:
            evaluator.add_event_handler(Events.COMPLETED, PruneByQuarter(self.trial, trainer, plan.epochs, _score))

    def _show(
        self, evaluator: Engine, writer: SummaryWriter, plan: PhasePlan, trainer: Engine, optimizer: Optimizer
    ) -> None:
        epoch = trainer.state.epoch
        if epoch == 0 and plan.before:
            return  # a second phase begins as the first one's kept epoch, which is shown already
        for name in SHOWN:
            if name in evaluator.state.metrics:
                writer.add_scalar(f"{self.tag}/{name}", evaluator.state.metrics[name], plan.before + epoch)
        for group in optimizer.param_groups:
            writer.add_scalar(f"learning_rate/{group['name']}", group["lr"], plan.before + epoch)

    def forget(self, phase: str, after: int) -> None:
        """Nothing of a trial is trained again."""

    def ended(self, plan: PhasePlan, result: PhaseResult) -> None:
        """The trial's line tells of it."""


def _score(evaluator: Engine) -> float:
    """What epochs are chosen by."""
    metrics = evaluator.state.metrics
    return float(metrics.get("macro_f1_within_sites", metrics["macro_f1"]))


@dataclass(frozen=True)
class Objective:
    """The score of a point of the space: the mean over folds."""

    pool: Pool
    space: Space
    folds: Sequence[Fold]
    boards: Path
    """Folder with a TensorBoard run for each trial."""

    def __call__(self, trial: Trial) -> float:
        """Train and judge.

        Raises:
            TrialPruned: other trials were better at the same place.
            OSError: the event file can't be written.
        """
        params = self.space.suggest(trial)
        with _board(self.boards / f"{trial.number:03}") as writer:
            try:
                score = self.score(params, trial, writer)
            except TrialPruned:
                reported = trial.study.trials[trial.number]
                last = reported.intermediate_values[reported.last_step or 0]
                writer.add_hparams({**params, "state": "pruned"}, {SCORE: last}, run_name=".")
                raise
            writer.add_hparams({**params, "state": "complete"}, {SCORE: score}, run_name=".")
            return score

    def score(self, params: Params, trial: Trial, writer: SummaryWriter) -> float:
        """The mean over the folds; pruned within the one fold, or after each of several."""
        settings, strength = self.space.settings(params), params.get(AUGMENTATION, 1.0)
        if len(self.folds) == 1:
            (fold,) = self.folds
            return self.pool.score(settings, strength, fold, TrialLog(writer, "validation", trial))
        scores: list[float] = []
        for number, fold in enumerate(self.folds, start=1):
            scores.append(self.pool.score(settings, strength, fold, TrialLog(writer, f"without {fold.name}")))
            writer.add_scalar(f"without {fold.name}/left_out_macro_f1", scores[-1])
            if number < len(self.folds):
                trial.report(fmean(scores), number)
                if trial.should_prune():
                    raise TrialPruned
        return fmean(scores)


@contextmanager
def _board(folder: Path) -> Iterator[SummaryWriter]:
    """A trial's TensorBoard run."""
    with named_errors(folder):
        writer = SummaryWriter(str(folder))
        try:
            yield writer
            writer.flush()  # raises what the writer's thread has met, which closing alone does not
        finally:
            writer.close()
