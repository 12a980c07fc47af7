"""Pruning: trials are compared at the same share of their epochs."""

import optuna
import pytest
from ignite.engine import Engine, Events

from trainer.search.pruning import PruneByQuarter


def _train(trial: optuna.Trial, epochs: int, curve: float) -> float:
    """A real pair of engines whose validation score goes up to ``curve`` over the epochs."""
    trainer, evaluator = Engine(lambda engine, batch: None), Engine(lambda engine, batch: None)

    def score(_: Engine) -> float:
        return curve * trainer.state.epoch / epochs

    evaluator.add_event_handler(Events.COMPLETED, PruneByQuarter(trial, trainer, epochs, score))
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run([0]))
    trainer.logger.disabled = evaluator.logger.disabled = True
    trainer.run([0], max_epochs=epochs)
    return curve


@pytest.mark.parametrize(("epochs", "quarters"), [(8, [1, 2, 3, 4]), (6, [1, 2, 3, 4]), (3, [1, 2, 4]), (1, [4])])
def test_a_curve_is_reported_once_for_each_quarter_that_an_epoch_ends(epochs: int, quarters: list[int]) -> None:
    study = optuna.create_study(direction="maximize")
    study.optimize(lambda trial: _train(trial, epochs, 1.0), n_trials=1)
    assert sorted(study.trials[0].intermediate_values) == quarters


def test_a_poor_curve_ends_its_trial_and_a_longer_one_that_is_as_good_goes_on() -> None:
    pruner = optuna.pruners.MedianPruner(n_startup_trials=3)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    trials = iter([(4, 0.8), (4, 0.7), (4, 0.6), (4, 0.3), (12, 0.75)])
    study.optimize(lambda trial: _train(trial, *next(trials)), n_trials=5)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3 + ["PRUNED", "COMPLETE"]
    assert list(study.trials[3].intermediate_values) == [1]
