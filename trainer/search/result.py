"""What a search found out: which settings it recommends, as a YAML file and in words, and its trials as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from optuna.trial import FrozenTrial, TrialState

from trainer.files import write_text
from trainer.search.fresh import Comparison
from trainer.search.space import AUGMENTATION, Params, Space
from trainer.settings import RunSettings, Settings
from trainer.tables import csv_text

SHOWN = 10
"""Trials in the console's table."""
LEFT_OUT = {*RunSettings.model_fields, "replace"} - {"seed"}
"""Settings that are no part of a recipe."""


@dataclass(frozen=True)
class Result:
    """A search that is done."""

    name: str
    score: str
    """What was searched for, in words."""
    images: str
    """How many were trained on and judged, in words."""
    trials: list[FrozenTrial]
    """Complete and pruned ones, in their order."""
    space: Space
    default: FrozenTrial
    winner: FrozenTrial
    comparison: Comparison | None
    """None: no trial was better than the default, so that there is nothing to compare."""
    seconds: float
    """That the trials have taken, on all machines."""

    @property
    def recommended(self) -> FrozenTrial:
        """The winner where it is better beyond chance, and otherwise the default."""
        return self.winner if self.comparison and self.comparison.better else self.default

    @property
    def verdict(self) -> str:
        """In a sentence, what to do."""
        if self.comparison is None:
            return f"No trial was better than the default ({_f1(self.default.value)}): keep the default."
        low, high = self.comparison.interval
        told = f"by {self.comparison.difference:+.3f} (95 % interval {low:+.3f} to {high:+.3f})"
        seeds = f"{len(self.comparison.seeds)} fresh seeds"
        if self.comparison.better:
            return f"Trial {self.winner.number} is better than the default on {seeds}, {told}: take its settings."
        return (
            f"No setting beats the default beyond chance: the best of {len(self.trials)} trials, number "
            f"{self.winner.number}, differs from it on {seeds} {told}. Keep the default."
        )

    @property
    def too_good(self) -> str:
        """How much of the winner's lead in the search was luck, in a sentence; empty where nothing was compared."""
        if self.comparison is None:
            return ""
        lead = float(self.winner.value or 0) - float(self.default.value or 0)
        return (
            f"In the search it led by {lead:+.3f}; the best of many is partly the luckiest, so only the fresh seeds, "
            "which also draw anew which images are judged, count."
        )


def write_settings(result: Result, path: Path) -> None:
    """The recommended settings as a file for ``--config``; whole or not at all."""
    settings = result.space.settings(result.space.point(result.recommended.params))
    if result.recommended is result.default:
        settings = result.space.base
    values = {
        name: value
        for name, value in settings.model_dump(mode="json").items()
        if name in Settings.model_fields and name not in LEFT_OUT
    }
    head = "".join(f"# {line}\n" for line in (f"python -m trainer search, {result.name}", result.verdict))
    write_text(path, head + yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def write_trials(result: Result, path: Path) -> None:
    """Every trial's point and score as CSV."""
    columns = ["trial", "state", "score", "seconds", *result.space.default]
    rows = [
        [
            one.number,
            state_of(one),
            round(score_of(one), 6),
            round(seconds_of(one), 1),
            *result.space.point(one.params).values(),
        ]
        for one in result.trials
    ]
    write_text(path, csv_text(columns, rows))


def state_of(trial: FrozenTrial) -> str:
    """``complete`` or ``pruned``."""
    return trial.state.name.lower()


def score_of(trial: FrozenTrial) -> float:
    """A trial's score; of a pruned one, the last that it reported."""
    if trial.state == TrialState.COMPLETE:
        return float(trial.value or 0)
    return trial.intermediate_values[trial.last_step or 0]


def seconds_of(trial: FrozenTrial) -> float:
    """How long a trial took."""
    return trial.duration.total_seconds() if trial.duration else 0.0


def best_first(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Complete trials by their score, then the pruned ones."""
    return sorted(trials, key=lambda one: (one.state != TrialState.COMPLETE, -score_of(one), one.number))


def point_text(params: Params, space: Space) -> str:
    """What Optuna has chosen, in words: what differs from the default."""
    changed = [f"{name} {value}" for name, value in space.point(params).items() if space.default[name] != value]
    return ", ".join(changed).replace(AUGMENTATION, "augmentation ×") or "the default"


def trials_table(result: Result) -> str:
    """The best trials and the default, for a terminal."""
    best = best_first(result.trials)
    shown = best[:SHOWN] + [one for one in best[SHOWN:] if one is result.default]
    lines = [f"{'trial':>5}  {result.score}  seconds  what differs from the default"]
    for trial in shown:
        value = _f1(score_of(trial)) + (" pruned" if trial.state == TrialState.PRUNED else "")
        text = point_text(trial.params, result.space)
        lines.append(f"{trial.number:5}  {value:<{len(result.score)}}  {seconds_of(trial):7.0f}  {text}")
    return "\n".join(lines)


def _f1(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
