"""Which settings are searched, and where: the tail's alone, around those that the command was given.

What the frozen part computes (backbone, intake, number of views) is not searched: each choice would need caches of its
own. The augmentation is, at a few strengths, each of which has a cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from optuna.trial import BaseTrial

from trainer.models.backbones import BACKBONES
from trainer.settings import Settings

STRENGTHS = (0.5, 1.0, 1.5)
"""Of the augmentation, times that of the settings."""
AUGMENTATION = "augmentation"
Params = dict[str, Any]


class Dimension(Protocol):
    """One thing that is searched."""

    @property
    def name(self) -> str:
        """Of the setting, or :data:`AUGMENTATION`."""

    @property
    def default(self) -> Any:
        """What the command was given."""

    def suggest(self, trial: BaseTrial) -> Any:
        """Have Optuna choose a trial's value."""

    def used(self, value: Any) -> Any:
        """The value that a training is given for it."""


@dataclass(frozen=True)
class Number:
    """A number between two others."""

    name: str
    default: float
    low: float
    high: float
    log: bool = False

    def suggest(self, trial: BaseTrial) -> float:
        """Have Optuna choose a trial's value."""
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)

    def used(self, value: float) -> float:
        """Three digits of it, as people write them; of the default, all."""
        return value if value == self.default else min(self.high, max(self.low, float(f"{value:.3g}")))


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    name: str
    default: Any
    values: tuple[Any, ...]

    def suggest(self, trial: BaseTrial) -> Any:
        """Have Optuna choose a trial's value."""
        return trial.suggest_categorical(self.name, self.values)

    def used(self, value: Any) -> Any:
        """The value itself."""
        return value


@dataclass(frozen=True)
class Space:
    """All that is searched, around ``base``."""

    base: Settings
    dimensions: tuple[Dimension, ...]

    @property
    def default(self) -> Params:
        """The point that ``base`` is."""
        return {one.name: one.default for one in self.dimensions}

    def suggest(self, trial: BaseTrial) -> Params:
        """A trial's point."""
        return self.point({one.name: one.suggest(trial) for one in self.dimensions})

    def point(self, params: Params) -> Params:
        """The point that trainings are given for what Optuna has chosen."""
        return {one.name: one.used(params[one.name]) for one in self.dimensions}

    def settings(self, params: Params) -> Settings:
        """The settings of a point."""
        changed = {name: value for name, value in params.items() if name != AUGMENTATION}
        return at_strength(self.base, params.get(AUGMENTATION, 1.0)).model_copy(update=changed)


def at_strength(base: Settings, strength: float) -> Settings:
    """The settings with their augmentation so many times as strong, within what each setting allows."""
    limits = {"rotation": 45.0, "shift": 0.5, "scale": 0.9, "exposure": 0.9, "sharpness": 1.0, "noise": 0.5}
    stronger = {name: round(min(limit, getattr(base, name) * strength), 6) for name, limit in limits.items()}
    return base.model_copy(update={} if strength == 1 else stronger)


def space_of(base: Settings, sites: int, strengths: Sequence[float] = STRENGTHS) -> Space:
    """What is searched around the settings.

    Args:
        base: settings, the search's first trial.
        sites: number of sites of the training images.
        strengths: of the augmentation that there is room for.
    """
    choices: list[Dimension] = [
        _around("lr_a", base.lr_a, 4),
        _choice("epochs_a", base.epochs_a, (1, 2, 3)),
        _choice("dropout", base.dropout, (0.0, 0.1, 0.2, 0.3, 0.5)),
        _choice("class_weighting", base.class_weighting, ("groups", "classes", "none")[sites == 1 :]),
    ]
    if base.weight_decay:
        choices.append(_around("weight_decay", base.weight_decay, 10))
    if sites > 1:
        choices.append(Number("site_prior", base.site_prior, 0.0, max(1.0, base.site_prior)))
    if len(strengths) > 1:
        choices.append(Choice(AUGMENTATION, 1.0, tuple(strengths)))
    if base.epochs_b:
        most = BACKBONES[base.backbone].trained_blocks
        shorter = (-(-base.epochs_b // 2), -(-3 * base.epochs_b // 4))
        choices += [
            _around("lr_b", base.lr_b, 4),
            _choice("epochs_b", base.epochs_b, shorter),
        ]
        if most > 1:
            choices.append(Number("block_lr_factor", base.block_lr_factor, min(0.3, base.block_lr_factor), 1.0))
            choices.append(Choice("blocks_b", base.blocks_b or most, tuple(range(1, most + 1))))
    return Space(base, tuple(choices))


def _around(name: str, value: float, factor: float) -> Number:
    return Number(name, value, value / factor, value * factor, log=True)


def _choice(name: str, default: Any, values: Sequence[Any]) -> Choice:
    """A choice that has the default among its values."""
    several = sorted({*values, default}) if not isinstance(default, str) else [*dict.fromkeys([*values, default])]
    return Choice(name, default, tuple(several))
