"""The winner and the default, trained again on fresh seeds: whether the one is better, or only the luckiest of many.

The best of N noisy scores is too good, the more so the larger N is. So the winner's own score counts for nothing: both
are trained again, on seeds and on halves of the images that the search has not seen.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from optuna import Trial
from optuna.trial import TrialState
from scipy.stats import t as student

from trainer.data.manifest import Split
from trainer.search.folds import Fold, fresh_splits
from trainer.search.objective import TrialLog
from trainer.search.pool import Pool
from trainer.search.space import AUGMENTATION, Params, Space
from trainer.search.study import Studies, Told

CONFIDENCE = 0.95
FoldsOf = Callable[[Sequence[Split]], list[Fold]]


@dataclass(frozen=True)
class Comparison:
    """Scores of both on the same fresh seeds, and the interval of their mean difference."""

    seeds: list[int]
    winner: list[float]
    default: list[float]
    judged_share: float
    """Judged images as a share of those that were trained on."""

    @property
    def difference(self) -> float:
        """Of the means: the winner less the default."""
        return fmean(self.winner) - fmean(self.default)

    @property
    def interval(self) -> tuple[float, float]:
        """Of :attr:`difference`, by the corrected resampled t-test (Nadeau & Bengio 2003), 95 %.

        The trainings share most of their images, so that their differences vary less than those of independent ones
        would: the variance is multiplied by 1/n + judged/trained instead of 1/n.
        """
        paired = [one - other for one, other in zip(self.winner, self.default, strict=True)]
        error = math.sqrt(variance(paired) * (1 / len(paired) + self.judged_share))
        half = float(student.ppf((1 + CONFIDENCE) / 2, len(paired) - 1)) * error
        return self.difference - half, self.difference + half

    @property
    def better(self) -> bool:
        """Whether the winner is better beyond chance."""
        return self.interval[0] > 0


@dataclass(frozen=True)
class FreshSeeds:
    """Trains both again; a study of its own, so that several machines share it and a killed one goes on."""

    pool: Pool
    space: Space
    folds_of: FoldsOf
    rows: Mapping[str, Params]
    """The points of ``winner`` and ``default``."""
    seeds: list[int]

    def compare(self, studies: Studies, name: str, begun: Mapping[str, object], told: Told) -> Comparison:
        """Train what is not trained yet, and compare.

        Args:
            studies: where the trials are kept.
            name: of the study, which the winner's number is a part of.
            begun: what must be the same for all who work on it.
            told: is told of each training that has ended here.
        """
        study = studies.open(name, begun)
        for seed in self.seeds:
            for which in self.rows:
                study.enqueue_trial({"settings": which, "seed": seed}, skip_if_exists=True)
        waiting = (TrialState.WAITING,)
        studies.run(study, self, lambda: len(study.get_trials(deepcopy=False, states=waiting)), told)
        scores = {
            (one.params["settings"], one.params["seed"]): float(one.value or 0)
            for one in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        }
        winner, default = ([scores[which, seed] for seed in self.seeds] for which in ("winner", "default"))
        folds = [fold for seed in self.seeds for fold in self._folds(seed)]
        return Comparison(self.seeds, winner, default, fmean(len(one.judged) / len(one.train) for one in folds))

    def __call__(self, trial: Trial) -> float:
        """The score of one of the two on one seed."""
        which = trial.suggest_categorical("settings", ("default", "winner"))
        seed = trial.suggest_int("seed", 0, 2**31)
        params = self.rows[which]
        settings = self.space.settings(params).model_copy(update={"seed": seed})
        strength = params.get(AUGMENTATION, 1.0)
        folds = self._folds(seed)
        return fmean(self.pool.score(settings, strength, fold, TrialLog(None, ""), swapped=True) for fold in folds)

    def _folds(self, seed: int) -> list[Fold]:
        return self.folds_of(fresh_splits(self.pool.records, seed))
