"""What does each ingredient of the recipe bring? ``python -m tests.benchmarks.recipes --dataset FOLDER``.

Every recipe is trained on several seeds (each with a grouped split of its own) from the same frozen prefix, and judged
on the test images: as they are, through the simulated scanners (``trainer.data.corruptions``, strength 3) and through
one that has several faults at once. Differences from the first recipe are paired, with intervals by patient. What is
finished is kept in ``--work``, so that a broken run goes on where it stopped, and a row can be added later.
"""

import argparse
import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import softmax

from bento.imaging.intake import fit, read_radiograph
from bento.imaging.preprocessing import Preprocessing
from tests.benchmarks.ingredients import Bench, Recipe, embeddings_of, logits_of, train_tail
from trainer.data.corruptions import CORRUPTIONS, corrupt
from trainer.data.fetch import fetch
from trainer.data.manifest import read_manifest
from trainer.data.split import split
from trainer.device import prepare
from trainer.evaluation.bootstrap import (
    JudgedImages,
    MetricValues,
    macro_f1,
    patient_weights,
    ranking_metrics,
    weighted_metrics,
)
from trainer.evaluation.confounding import linear_probe
from trainer.export.temperature import fit_temperature
from trainer.features.batches import PlainBatches, from_cache
from trainer.features.dataset import load_images, make_features
from trainer.features.prefix_cache import Prefix
from trainer.models.backbones import build_classifier, phase_b_cut
from trainer.settings import Settings
from trainer.types import Array

STRENGTH = 3
MIXTURE = ("gamma", "border", "marker", "resolution", "noise")
"""Of the scanner with several faults; its noise and resolution are two steps weaker."""
WEAK = {"rotation": 7.0, "shift": 0.05, "scale": 0.1, "exposure": 0.25, "sharpness": 0.0, "noise": 0.0}
BASE: dict[str, Any] = {
    "class_weighting": "classes",
    "label_smoothing": 0.0,
    "lr_b": 2e-3,
    "views": 4,
    "noise": 0.12,
    "batch_norm": 0.0,
    "epochs_b": 10,
    "site_alignment": 0.0,
}
"""What each ingredient is added to, or left out of: the rest is the trainer's default."""


BATCH_NORM_GROUPS: dict[str, Any] = {"batch_norm": 0.1, "class_weighting": "groups"}
LONGER: dict[str, Any] = BATCH_NORM_GROUPS | {"noise": 0.06, "epochs_b": 16}
RECIPES = (
    Recipe("base"),
    Recipe("no crop, no CLAHE", {"crop": "none", "contrast": "none"}),
    Recipe("no CLAHE", {"contrast": "none"}),
    Recipe("weak augmentation", WEAK),
    Recipe("no noise in it", {"noise": 0.0}),
    Recipe("unweighted loss", {"class_weighting": "none"}),
    Recipe("balanced drawing", {"class_weighting": "none"}, loss="drawn"),
    Recipe("group weights in the loss", {"class_weighting": "groups"}),
    Recipe("group DRO", loss="dro"),
    Recipe("focal loss", loss="focal"),
    Recipe("label smoothing 0.1", {"label_smoothing": 0.1}),
    Recipe("averaged weights", ema=0.99),
    Recipe("mixup", mix="mixup"),
    Recipe("style mixing", mix="style"),
    Recipe("L2-SP", l2sp=0.01),
    Recipe("half the learning rate", {"lr_b": 1e-3}),
    Recipe("equal learning rates", {"block_lr_factor": 1.0}),
    Recipe("BatchNorm follows", {"batch_norm": 0.1}),
    Recipe("BatchNorm, groups", BATCH_NORM_GROUPS),
    Recipe("BatchNorm, groups, averaged weights", BATCH_NORM_GROUPS, ema=0.99),
    Recipe("BatchNorm, groups, half the noise", BATCH_NORM_GROUPS | {"noise": 0.06}),
    Recipe("the same, averaged weights", BATCH_NORM_GROUPS | {"noise": 0.06}, ema=0.99),
    Recipe("the same, averaged weights, 16 epochs", LONGER, ema=0.99),
    Recipe("half the noise, 20 epochs, 8 views", BATCH_NORM_GROUPS | {"noise": 0.06, "epochs_b": 20, "views": 8}),
    Recipe("16 epochs, sites aligned, 0.1", LONGER | {"site_alignment": 0.1}, ema=0.99),
    Recipe("16 epochs, sites aligned, 0.3", LONGER | {"site_alignment": 0.3}, ema=0.99),
    Recipe("16 epochs, sites aligned, 1.0", LONGER | {"site_alignment": 1.0}, ema=0.99),
    Recipe("16 epochs, site erased", LONGER, ema=0.99, erase=True),
    Recipe(
        "16 epochs, sites aligned, 0.3, and erased",
        LONGER | {"site_alignment": 0.3},
        ema=0.99,
        erase=True,
    ),
    Recipe("16 epochs, batches of 16", LONGER | {"batch_size": 16}, ema=0.995),
    Recipe("16 epochs, 288 pixels", LONGER | {"image_size": 288}, ema=0.99),
    Recipe("twice the epochs", {"epochs_b": 20}),
    Recipe("twice the views", {"views": 8}),
    Recipe("head only", {"epochs_b": 0}),
    Recipe("image size 288", {"image_size": 288}),
)


def scanned(path: Path, spec: Preprocessing) -> Array:
    """``uint8`` V×S×S: an image clean, through each corruption, and through the mixture."""
    radiograph = read_radiograph(path, spec.image_size).radiograph
    views = [radiograph, *(corrupt(radiograph, one, STRENGTH) for one in CORRUPTIONS)]
    mixed = radiograph
    for one in CORRUPTIONS:
        if one.name in MIXTURE:
            mixed = corrupt(mixed, one, STRENGTH - 2 * (one.name in ("noise", "resolution")))
    return np.stack([fit(view, spec).image for view in (*views, mixed)])


def make_bench(settings: Settings, device: torch.device) -> Bench:
    """Fetch, split, decode and run the prefix, as far as the caches do not have it."""
    fetch(settings)
    split(settings)
    records = read_manifest(settings.data_dir)
    classes = sorted({record.label for record in records})
    parts = {name: [one for one in records if one.split == name] for name in ("train", "val", "test")}
    radiographs = {name: load_images(parts[name], classes, settings, name) for name in parts}
    torch.manual_seed(settings.seed)
    model = build_classifier(settings.backbone, len(classes), settings.dropout, settings.weights).to(device)
    model.requires_grad_(False)
    cut = phase_b_cut(settings.backbone, model)
    prefix = Prefix(model, (cut, len(model.stages)), device)
    features = make_features(settings, prefix, radiographs["train"], radiographs["val"])
    kept = settings.data_dir / "cache" / f"scanned-{hash_of(prefix, settings)}.npy"
    if not kept.is_file():
        tests = [
            prefix.outputs(torch.from_numpy(scanned(settings.data_dir / record.path, settings.preprocessing)))[0]
            for record in parts["test"]
        ]
        np.save(kept, torch.stack(tests, dim=1).half().cpu().numpy())
    return Bench(
        settings,
        classes,
        radiographs,
        features.train,
        features.validation,
        np.load(kept),
        parts["test"],
        model,
        cut,
        device,
    )


def hash_of(prefix: Prefix, settings: Settings) -> str:
    """Key of what the prefix makes of the test images."""
    content = f"{prefix.digest()} {settings.preprocessing} {settings.seed} {CORRUPTIONS}"
    return hashlib.sha256(re.sub("0x[0-9a-f]+", "", content).encode()).hexdigest()[:16]


def measure(bench: Bench, recipe: Recipe, settings: Settings, path: Path) -> None:
    """Train, judge, and keep what the table needs."""
    tail = train_tail(bench, recipe, settings)
    validation = logits_of(tail, PlainBatches(bench.validation[bench.cut], bench.radiographs["val"].labels))
    temperature = fit_temperature(validation, bench.radiographs["val"].labels)
    views = []
    for view in bench.tests:
        fetch_view = from_cache(view[None], bench.device)
        views.append(logits_of(tail, PlainBatches(fetch_view, bench.radiographs["test"].labels)))
    radiographs = bench.radiographs["train"]
    fitted = embeddings_of(tail, bench.train[bench.cut], len(radiographs.labels))
    judged = embeddings_of(tail, from_cache(bench.tests[:1], bench.device), len(bench.records))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part.npz")
    np.savez_compressed(
        temporary,
        logits=np.stack(views),
        temperature=temperature,
        truth=bench.radiographs["test"].labels,
        classes=bench.classes,
        guessed=linear_probe().fit(fitted, radiographs.sites).predict(judged),
        sites=[record.site for record in bench.records],
        patients=[record.patient for record in bench.records],
    )
    temporary.replace(path)


def table_row(paths: list[Path], base: list[Path]) -> dict[str, str]:
    """The means over the seeds; of the two metrics to decide by also the difference from ``base``."""
    runs, bases = ([dict(np.load(path)) for path in group] for group in (paths, base))
    means = [metrics_of(run, np.ones((1, len(run["truth"])))) for run in runs]
    row = {name: f"{np.mean([one[name] for one in means]):.3f}" for name in means[0]}
    for name in ("macro F1", "scanners"):
        draws = []
        for seed, (run, other) in enumerate(zip(runs, bases, strict=True)):
            blocks = [
                metrics_of(run, weights)[name] - metrics_of(other, weights)[name]
                for weights in patient_weights(run["patients"].tolist(), 1000, seed)
            ]
            draws.append(np.concatenate(blocks))
        low, high = np.percentile(np.mean(draws, axis=0), [2.5, 97.5])
        middle = np.mean([metrics_of(run, np.ones((1, len(run["truth"]))))[name] for run in runs]) - np.mean(
            [metrics_of(run, np.ones((1, len(run["truth"]))))[name] for run in bases]
        )
        if paths != base:
            row[name] += f" ({middle:+.3f}: {low:+.3f} to {high:+.3f})"
    return row


def metrics_of(run: dict[str, Array], weights: Array) -> MetricValues:
    """Metrics under each of B weightings of the images, as ``trainer.evaluation.bootstrap.weighted_metrics`` does."""
    logits, truth, classes = run["logits"], run["truth"], run["classes"].tolist()
    predicted = logits.argmax(axis=2)
    count = len(classes)
    found = {"macro F1": macro_f1(truth, predicted[0], count, weights)}
    for site in sorted(set(run["sites"].tolist()) - {""}):
        own = run["sites"] == site
        found[site] = macro_f1(truth[own], predicted[0][own], count, weights[:, own])
    corrupted = [macro_f1(truth, row, count, weights) for row in predicted[1:-1]]
    found["scanners"] = np.mean(corrupted, axis=0)
    found["mixture"] = macro_f1(truth, predicted[-1], count, weights)
    if "TUBERCULOSIS" in classes and "shenzhen" in run["sites"]:
        own, label = run["sites"] == "shenzhen", classes.index("TUBERCULOSIS")
        scores = softmax(logits[-1], axis=1)[own, label]
        found["mixture TB AUC"] = ranking_metrics(scores, truth[own] == label, weights[:, own])[0]
        for view, name in ((0, "normals"), (-1, "mixture normals")):
            wrong = own & (truth == classes.index("NORMAL"))
            called = predicted[view][wrong] == classes.index("PNEUMONIA")
            found[f"{name} called pneumonia"] = (weights[:, wrong] @ called) / weights[:, wrong].sum(axis=1)
    normal = truth == classes.index("NORMAL")
    right = (run["guessed"] == run["sites"]).astype(np.float64)
    found["site told"] = weights @ right / weights.sum(axis=1)
    found["of normals"] = np.mean(
        [
            weights[:, own] @ right[own] / weights[:, own].sum(axis=1)
            for own in (normal & (run["sites"] == site) for site in set(run["sites"].tolist()))
            if own.any()
        ],
        axis=0,
    )
    for name, divisor in (("ECE before", 1.0), ("after", float(run["temperature"]))):
        judged = JudgedImages(classes, truth, softmax(logits[0] / divisor, axis=1), run["patients"].tolist())
        found[name] = weighted_metrics(judged, weights)["ece"] if len(weights) == 1 else np.zeros(len(weights))
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--work", type=Path, default=Path("build/recipes"), help="images, caches and results")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--device", default="cpu", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--only", nargs="+", help="names of recipes")
    parser.add_argument("--table", action="store_true", help="only print what is there")
    options = parser.parse_args()
    device = prepare(options.device)
    chosen = [recipe for recipe in RECIPES if not options.only or recipe.name in options.only]

    def path(recipe: Recipe, seed: int) -> Path:
        return Path(options.work / "results" / f"{recipe.name.replace(' ', '-').replace(',', '')}-{seed}.npz")

    bench: Bench | None = None
    for seed in [] if options.table else options.seeds:
        for recipe in chosen:
            if path(recipe, seed).is_file():
                continue
            settings = Settings(
                dataset=options.dataset,
                data_dir=options.work / f"data-{seed}",
                backbone=options.backbone,
                seed=seed,
                **BASE | recipe.settings,
            )
            if bench is None or not same_views(bench.settings, settings):
                bench = make_bench(settings, device)
            measure(bench, recipe, settings, path(recipe, seed))
            print(f"seed {seed}: {recipe.name}", flush=True)
    base = RECIPES[0]
    for recipe in RECIPES:
        seeds = [seed for seed in options.seeds if path(recipe, seed).is_file() and path(base, seed).is_file()]
        if seeds:
            row = table_row([path(recipe, seed) for seed in seeds], [path(base, seed) for seed in seeds])
            if recipe is base:
                print("| recipe | seeds | " + " | ".join(row) + " |")
                print("|---|---|" + "---|" * len(row))
            print(f"| {recipe.name} | {len(seeds)} | " + " | ".join(row.values()) + " |")


def same_views(one: Settings, other: Settings) -> bool:
    """Whether the tail sees the same images, with the same seed."""
    names = ("crop", "contrast", "image_size", "views", *WEAK)
    return one.seed == other.seed and all(getattr(one, name) == getattr(other, name) for name in names)


if __name__ == "__main__":
    main()
