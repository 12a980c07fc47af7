"""A handler of Ignite's that ends a trial whose validation curve is poor.

Optuna's own for Ignite (``PyTorchIgnitePruningHandler`` of optuna-integration) compares trials at the same number of
epochs. Here the number of epochs is searched, and the learning rate is annealed over it: a short trial is nearly done
where a long one is in its middle. This handler compares them at the same share of their epochs.
"""

from collections.abc import Callable

from ignite.engine import Engine
from optuna import Trial, TrialPruned

QUARTERS = 4


class PruneByQuarter:
    """Reports a score after each quarter of a phase, to be attached to the end of the evaluator."""

    def __init__(self, trial: Trial, trainer: Engine, epochs: int, score: Callable[[Engine], float]) -> None:
        """``score``: of the evaluator, the more the better; ``epochs``: of the phase that ``trainer`` trains."""
        self.trial, self.trainer, self.epochs, self.score = trial, trainer, epochs, score

    def __call__(self, evaluator: Engine) -> None:
        """Report, where an epoch ends a quarter.

        Raises:
            TrialPruned: other trials were better after this quarter.
        """
        epoch = self.trainer.state.epoch
        quarter = QUARTERS * epoch // self.epochs
        if epoch == 0 or quarter == QUARTERS * (epoch - 1) // self.epochs:
            return
        self.trial.report(self.score(evaluator), quarter)
        if quarter < QUARTERS and self.trial.should_prune():
            raise TrialPruned
