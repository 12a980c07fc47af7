"""Both phases in a row, on images whose frozen part is computed already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ignite.distributed as idist
import numpy as np

from trainer.features.batches import Fetch, PlainBatches, Targets, TrainBatches, even_weights
from trainer.features.dataset import class_and_site
from trainer.models.backbones import frozen_blocks, phase_b_cut
from trainer.models.classifier import Classifier, Tail
from trainer.settings import Settings
from trainer.training.losses import site_adjustment
from trainer.training.phases import PhaseData, PhaseLog, PhasePlan, PhaseResult, run_phase
from trainer.types import Array


@dataclass(frozen=True)
class Examples:
    """N images as the tail is given them."""

    features: Mapping[int, Fetch]
    """Output of the stages before each cut."""
    labels: Array
    """N class indices."""
    sites: Sequence[str]
    """N names; empty where unknown."""

    def plain(self, cut: int) -> PlainBatches:
        """Every image once, as it is."""
        targets = Targets(self.labels, sites=np.unique(self.sites, return_inverse=True)[1])
        return PlainBatches(self.features[cut], targets, idist.get_rank(), idist.get_world_size())


def train_tail(
    settings: Settings,
    model: Classifier,
    classes: list[str],
    train: Examples,
    validation: Examples,
    folder: Path | None,
    log: PhaseLog,
) -> dict[str, PhaseResult]:
    """Phase A and, unless it has no epochs, Phase B; ``model`` has the best weights afterwards.

    Args:
        settings: of the run.
        model: with the weights to start from, on its device.
        classes: C names.
        train: what the tail is trained on.
        validation: what the epoch is chosen by.
        folder: for the checkpoints; None: none are written.
        log: is told of each phase.

    Returns:
        How each phase ended, by its name.

    Raises:
        UserError: a checkpoint can't be read.
        OSError: a checkpoint can't be written.
    """
    head = Tail(model, len(model.stages), settings.batch_norm)
    results = {
        "a": _train_phase(PhasePlan.first(settings), head, len(model.stages), classes, train, validation, folder, log)
    }
    if settings.epochs_b:
        plan, cut = PhasePlan.second(settings, results["a"].epochs), phase_b_cut(settings.backbone, model)
        tail = Tail(model, cut, settings.batch_norm, frozen_blocks(settings.backbone, settings.blocks_b))
        results["b"] = _train_phase(plan, tail, cut, classes, train, validation, folder, log)
    return results


def _train_phase(
    plan: PhasePlan,
    tail: Tail,
    cut: int,
    classes: list[str],
    train: Examples,
    validation: Examples,
    folder: Path | None,
    log: PhaseLog,
) -> PhaseResult:
    """Train a tail that begins at ``cut``."""
    s = plan.settings
    groups = class_and_site(train.labels, train.sites)
    weights = {"classes": even_weights(train.labels), "groups": even_weights(groups)}.get(s.class_weighting)
    targets = Targets(train.labels, weights, np.unique(train.sites, return_inverse=True)[1])
    adjustment = None
    if s.site_prior:
        shares = site_adjustment(train.labels, weights, train.sites, len(classes))
        adjustment = s.site_prior * shares.to(tail.head.weight.device)
    batches = TrainBatches(train.features[cut], targets, s.batch_size, s.seed, idist.get_rank(), idist.get_world_size())
    return run_phase(plan, tail, PhaseData(batches, validation.plain(cut), classes, adjustment), folder, log)
