"""Ten-fold cross-validation by patient: ``python -m tests.benchmarks.folds --dataset FOLDER``.

Every image is judged once, by a model that never saw its patient; folds are stratified by class and site. One fold is
for the test, the next one for validation. Three seeds' test images are too few to tell a gain of 0.02 from luck; all
images together are not. The table's rows are views with and without the image itself among them, and three ways to
choose the epoch, from the same training. What is finished is kept in ``--work``: a broken run goes on where it stopped.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold

from tests.benchmarks.ingredients import Bench, Recipe, logits_of, train_tail
from trainer.data.fetch import fetch
from trainer.data.manifest import Record, read_manifest
from trainer.data.split import split
from trainer.device import prepare
from trainer.evaluation.bootstrap import macro_f1, patient_weights
from trainer.features.batches import Fetch, PlainBatches, Rows, from_cache
from trainer.features.dataset import LabelledImages, augmentation_of, load_images, store_of
from trainer.features.prefix_cache import Prefix, Views, prefix_outputs
from trainer.models.backbones import build_classifier, phase_b_cut
from trainer.models.classifier import Classifier
from trainer.settings import Settings
from trainer.training.selection import Selection
from trainer.types import Array

FOLDS = 10
ORIENTATIONS = ("the image every other epoch", "augmented views only")
RECIPE = Recipe("default", ema=0.99)
"""Epochs that the moving average of the weights reaches back: the trainer's default."""


@dataclass(frozen=True)
class Everything:
    """All images of the dataset, and what the frozen stages make of them."""

    settings: Settings
    records: list[Record]
    classes: list[str]
    radiographs: LabelledImages
    model: Classifier
    device: torch.device

    @cached_property
    def cuts(self) -> tuple[int, int]:
        """Number of frozen stages in Phase B and in Phase A."""
        return phase_b_cut(self.settings.backbone, self.model), len(self.model.stages)

    @cached_property
    def fetches(self) -> dict[int, Fetch]:
        """How to get the frozen stages' output for all images and views, by the number of stages."""
        s, prefix = self.settings, Prefix(self.model, self.cuts, self.device)
        views = Views(augmentation_of(s), s.views, s.seed)
        arrays = prefix_outputs(prefix, self.radiographs.images, self.radiographs.key, views, store_of(s), "views")
        return {cut: from_cache(array, self.device) for cut, array in zip(self.cuts, arrays, strict=True)}


def everything(settings: Settings, device: torch.device) -> Everything:
    """Fetch, decode and build the network."""
    fetch(settings)
    split(settings)
    records = read_manifest(settings.data_dir)
    classes = sorted({record.label for record in records})
    torch.manual_seed(settings.seed)
    model = build_classifier(settings.backbone, len(classes), settings.dropout, settings.weights).to(device)
    model.requires_grad_(False)
    return Everything(settings, records, classes, load_images(records, classes, settings, "all"), model, device)


def folds_of(records: list[Record]) -> Array:
    """The fold of each image."""
    kinds = [f"{record.label} {record.site}" for record in records]
    folds = np.zeros(len(records), dtype=np.int64)
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for fold, (_, rows) in enumerate(splitter.split(kinds, kinds, [record.group for record in records])):
        folds[rows] = fold
    return folds


def run_fold(data: Everything, views: str, folds: Array, fold: int, path: Path) -> None:
    """Train without one fold and keep every epoch's validation macro F1 and logits of that fold's images."""
    after = (fold + 1) % FOLDS
    rows = {
        "train": np.flatnonzero((folds != fold) & (folds != after)),
        "val": np.flatnonzero(folds == after),
        "test": np.flatnonzero(folds == fold),
    }

    def fetches(part: str) -> dict[int, Fetch]:
        return {cut: _of_rows(whole, rows[part]) for cut, whole in data.fetches.items()}

    train = fetches("train")
    if views == ORIENTATIONS[1]:
        train = {cut: _augmented(whole) for cut, whole in train.items()}
    bench = Bench(
        data.settings,
        data.classes,
        {part: _some(data.radiographs, rows[part]) for part in ("train", "val")},
        train,
        fetches("val"),
        np.zeros(0),
        [],
        data.model,
        data.cuts[0],
        data.device,
    )
    test = PlainBatches(fetches("test")[data.cuts[0]], data.radiographs.labels[rows["test"]])
    scores, logits = [], []

    def observe(score: float, model: torch.nn.Module) -> None:
        scores.append(score)
        logits.append(logits_of(model, test))

    train_tail(bench, RECIPE, data.settings, observe)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part.npz")
    np.savez_compressed(temporary, scores=scores, logits=np.stack(logits), rows=rows["test"], val=len(rows["val"]))
    temporary.replace(path)


def _of_rows(whole: Fetch, rows: Rows) -> Fetch:
    return lambda own, views: whole(rows[own], views)


def _augmented(whole: Fetch) -> Fetch:
    """Another augmented view where the image as it is was due."""
    return lambda own, views: whole(own, np.where(np.equal(views, 0), np.max(views) + 1, views))


def _some(radiographs: LabelledImages, rows: Rows) -> LabelledImages:
    sites = [radiographs.sites[row] for row in rows]
    return replace(radiographs, labels=radiographs.labels[rows], sites=sites)


def latest_near_best(scores: Array, radiographs: int) -> int:
    """The epoch that the trainer chooses: see :class:`trainer.training.selection.Selection`."""
    selection = Selection(radiographs)
    for epoch, score in enumerate(scores):
        selection.takes(epoch, float(score))
    return selection.epoch


RULES: dict[str, Callable[[Array, int], int]] = {
    "latest within 1.96 standard errors": latest_near_best,
    "best": lambda scores, radiographs: int(scores.argmax()),
    "last": lambda scores, radiographs: len(scores) - 1,
}


def predictions(results: list[dict[str, Array]], rule: str, radiographs: int) -> Array:
    """The class of each of N images, as the model of its fold has it."""
    found = np.zeros(radiographs, dtype=np.int64)
    for one in results:
        epoch = RULES[rule](one["scores"], int(one["val"]))
        found[one["rows"]] = one["logits"][epoch].argmax(axis=1)
    return found


def print_table(data: Everything, results: dict[str, list[dict[str, Array]]]) -> None:
    """Macro F1 over all images and over each site's, with the paired difference from the first row."""
    truth, count = data.radiographs.labels, len(data.classes)
    sites = np.array(data.radiographs.sites)
    parts = {"macro F1": np.ones(len(truth), dtype=bool)} | {one: sites == one for one in sorted(set(sites))}
    base: Array | None = None
    print("| views | epoch | " + " | ".join(parts) + " |\n|---|---|" + "---|" * len(parts))
    for views, of_folds in results.items():
        for rule in RULES:
            guessed = predictions(of_folds, rule, len(truth))
            base = guessed if base is None else base
            cells = []
            for own in parts.values():
                one = np.ones((1, int(own.sum())))
                cells.append(f"{macro_f1(truth[own], guessed[own], count, one)[0]:.3f}")
                if guessed is not base:
                    draws = np.concatenate(
                        [
                            macro_f1(truth[own], guessed[own], count, weights[:, own])
                            - macro_f1(truth[own], base[own], count, weights[:, own])
                            for weights in patient_weights([one.group for one in data.records], 1000, 0)
                        ]
                    )
                    low, high = np.percentile(draws, [2.5, 97.5])
                    cells[-1] += f" ({low:+.3f} to {high:+.3f})"
            print(f"| {views} | {rule} | " + " | ".join(cells) + " |")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--work", type=Path, default=Path("build/folds"), help="images, caches and results")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--device", default="cpu", choices=["auto", "cpu", "cuda"])
    options = parser.parse_args()
    settings = Settings(dataset=options.dataset, data_dir=options.work / "data", backbone=options.backbone)
    data = everything(settings, prepare(options.device))
    folds = folds_of(data.records)
    results: dict[str, list[dict[str, Array]]] = {views: [] for views in ORIENTATIONS}
    for fold in range(FOLDS):
        for number, views in enumerate(ORIENTATIONS):
            path = options.work / "results" / f"{number}-{fold}.npz"
            if not path.is_file():
                run_fold(data, views, folds, fold, path)
            results[views].append(dict(np.load(path)))
            print(f"fold {fold + 1} of {FOLDS}: {views}", flush=True)
    print_table(data, results)


if __name__ == "__main__":
    main()
