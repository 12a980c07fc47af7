"""Training and validation images with the output of the frozen stages, from the cache; a training on a part of them.

A trial decodes nothing, runs no frozen stage, and writes no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import ignite.distributed as idist
import numpy as np
import torch

from trainer.data.manifest import Record
from trainer.device import prepare
from trainer.errors import UserError
from trainer.features.batches import Fetch, from_cache
from trainer.features.dataset import LabelledImages, augmentation_of, load_images, make_features, store_of
from trainer.features.prefix_cache import Prefix, Views, cache_bytes, prefix_outputs
from trainer.models.backbones import build_classifier, frozen_blocks, phase_b_cut
from trainer.models.classifier import Classifier, Tail
from trainer.search.folds import Fold, Rows
from trainer.search.space import STRENGTHS, at_strength
from trainer.settings import Settings
from trainer.training.engines import create_evaluator
from trainer.training.phases import PhaseLog
from trainer.training.selection import macro_f1_within_sites
from trainer.training.tail_training import Examples, train_tail


@dataclass
class Pool:
    """N images, those of the training split first, and the frozen stages' output for them."""

    base: Settings
    records: list[Record]
    train: LabelledImages
    validation: LabelledImages
    prefix: Prefix
    strengths: tuple[float, ...]
    """Of the augmentation, for which the cache has room."""
    _features: dict[tuple[float, bool], dict[int, Fetch]] = field(default_factory=dict)

    def fill(self) -> None:
        """Make the caches of all strengths, so that every trial takes as long."""
        for strength in self.strengths:
            self._of_strength(strength, swapped=False)

    def score(self, settings: Settings, strength: float, fold: Fold, log: PhaseLog, swapped: bool = False) -> float:
        """Train on a fold, and judge what a run with these settings would have kept.

        Args:
            settings: of the training.
            strength: of the augmentation, one of :attr:`strengths`.
            fold: its rows.
            log: is told of the phases; what it raises ends the training.
            swapped: former validation images may be trained on, so that views of them are needed.

        Returns:
            Macro F1 within sites of the epoch that is kept, on the validation images; or of a site left out.
        """
        features = self._of_strength(strength, swapped)
        torch.manual_seed(settings.seed)
        model = _frozen(build_classifier(settings.backbone, len(fold.classes), settings.dropout, settings.weights))
        model = model.to(self.prefix.device)
        train, chosen_by = (self._examples(features, rows, fold.classes) for rows in (fold.train, fold.validation))
        results = train_tail(settings, model, fold.classes, train, chosen_by, None, log)
        if fold.left_out is None:
            return list(results.values())[-1].best_macro_f1
        cut = phase_b_cut(settings.backbone, model)
        judged = self._examples(features, fold.left_out, fold.classes)
        evaluator = create_evaluator(Tail(model, cut), fold.classes)
        evaluator.run(judged.plain(cut))
        return macro_f1_within_sites(evaluator.state.metrics["confusion"].unsqueeze(0))

    def _examples(self, features: dict[int, Fetch], rows: Rows, classes: Sequence[str]) -> Examples:
        own = [self.records[row] for row in rows]
        labels = np.array([classes.index(record.label) for record in own], dtype=np.int64)
        chosen = {cut: _rows_of(fetch, rows) for cut, fetch in features.items()}
        return Examples(chosen, labels, [record.site for record in own])

    def _of_strength(self, strength: float, swapped: bool) -> dict[int, Fetch]:
        if (strength, swapped) not in self._features:
            settings = at_strength(self.base, strength)
            # Trials differ in Phase A's epochs: with so many it is shown every view.
            every = settings.model_copy(update={"epochs_a": 2 * settings.views})
            own = make_features(every, self.prefix, self.train, self.validation)
            validation = own.validation
            if swapped:
                views = Views(augmentation_of(settings), settings.views, settings.seed)
                arrays = prefix_outputs(
                    self.prefix, self.validation.images, self.validation.key, views, store_of(settings), "val"
                )
                validation = {
                    cut: from_cache(array, self.prefix.device)
                    for cut, array in zip(self.prefix.cuts, arrays, strict=True)
                }
            first = len(self.train.labels)
            self._features[strength, swapped] = {
                cut: _joined(own.train[cut], validation[cut], first) for cut in self.prefix.cuts
            }
        return self._features[strength, swapped]


def load_pool(base: Settings, records: Sequence[Record]) -> Pool:
    """Decode the training and validation images, unless the cache has them.

    Args:
        base: settings around which the search is made.
        records: images of the run; those of the test split are left out, and no file of theirs is opened.

    Raises:
        UserError: the cache is off or too small, data, weights or device are not to be had.
    """
    if base.cache != "views":
        raise UserError(f"search: works on the cache; leave out --cache {base.cache}")
    frozen_blocks(base.backbone, base.blocks_b)
    device = prepare(base.device)
    classes = sorted({record.label for record in records})
    torch.manual_seed(base.seed)
    model = _frozen(build_classifier(base.backbone, len(classes), base.dropout, base.weights)).to(device)
    prefix = Prefix(model, (phase_b_cut(base.backbone, model), len(model.stages)), device)
    own = {split: [record for record in records if record.split == split] for split in ("train", "val")}
    strengths = _affordable(base, prefix, *map(len, own.values()))
    train, validation = (load_images(rows, classes, base, split) for split, rows in own.items())
    return Pool(base, [*own["train"], *own["val"]], train, validation, prefix, strengths)


def _affordable(base: Settings, prefix: Prefix, train: int, validation: int) -> tuple[float, ...]:
    """The strengths that the cache has room for, all at once; the settings' own one at least.

    Raises:
        UserError: not even that one has room.
    """
    plain = base.image_size**2 * (train + validation) + cache_bytes(prefix, validation, base.image_size, 1)
    each = cache_bytes(prefix, train + validation, base.image_size, base.views)
    count = int((base.cache_gb * 1e9 - plain) // each)
    if count < 1:
        raise UserError(
            f"search: works on the cache, which needs {(plain + each) / 1e9:.1f} GB for {base.views} views; "
            f"--cache-gb allows {base.cache_gb:g}: give more, or fewer --views"
        )
    levels = tuple(one for one in STRENGTHS if one == 1 or at_strength(base, one) != base)
    if count < len(levels):
        if idist.get_rank() == 0:
            need = (plain + len(levels) * each) / 1e9
            print(f"search: the strength of the augmentation is not searched; that needs --cache-gb {need:.1f}")
        return (1.0,)
    return levels


def _frozen(model: Classifier) -> Classifier:
    return model.requires_grad_(False)


def _rows_of(fetch: Fetch, chosen: Rows) -> Fetch:
    """What ``fetch`` reads, counted among the chosen rows."""
    return lambda rows, views: fetch(chosen[rows], views)


def _joined(first: Fetch, second: Fetch, size: int) -> Fetch:
    """Rows of two parts, of which the first has ``size``; rows are asked for in ascending order."""

    def fetch(rows: Rows, views: Rows | int) -> torch.Tensor:
        wanted = np.broadcast_to(views, rows.shape)
        border = int(np.searchsorted(rows, size))
        if border == len(rows):
            return first(rows, wanted)
        if border == 0:
            return second(rows - size, wanted)
        return torch.cat([first(rows[:border], wanted[:border]), second(rows[border:] - size, wanted[border:])])

    return fetch
