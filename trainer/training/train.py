"""Training: wires images, features, phases and export into a run. Holds no logic of its own."""

import time
from dataclasses import asdict
from functools import partial

import ignite.distributed as idist
import numpy as np
import torch
from torch import Tensor

from bento.artifact import ONNX_FILE, WEIGHTS_FILE, sha256_file
from bento.inference.session import Session
from trainer.data.holdout import run_records
from trainer.data.manifest import fingerprint
from trainer.device import prepare
from trainer.distributed import process_group
from trainer.evaluation.calibration import fit_temperature
from trainer.export.cam import fit_fine_map
from trainer.export.novelty import fit_novelty
from trainer.export.novelty_cache import cached_novelty, novelty_cache_path
from trainer.export.onnx import check_parity, export_onnx, logits_of, save_weights
from trainer.features.batches import PlainBatches, TrainBatches, even_weights
from trainer.features.dataset import Features, LabelledImages, augmentation_of, load_images, make_features
from trainer.features.prefix_cache import Prefix
from trainer.files import write_json
from trainer.models.backbones import Classifier, Tail, build_classifier, phase_b_cut
from trainer.runs import Run, continued_settings, start_run
from trainer.settings import Settings
from trainer.training.phases import PhasePlan, PhaseResult, parameter_groups, run_phase
from trainer.training.tensorboard import Board


def train_run(settings: Settings) -> Run:
    """Start or resume a run and train it, on all processes that torchrun has started.

    Raises:
        UserError: see :func:`trainer.runs.start_run` and :func:`train`.
    """
    with process_group(settings.device):
        return start_and_train(settings)


def start_and_train(settings: Settings) -> Run:
    """The same for processes that are a group already."""
    if not settings.resume:
        run_records(settings)  # what it refuses must not leave a run behind
    name = start_run(settings).name if idist.get_rank() == 0 else None
    run = Run(settings.runs_dir / str(idist.broadcast(name, src=0, safe_mode=True)))
    train(continued_settings(run, settings), run)
    return run


def train(settings: Settings, run: Run) -> None:
    """Phase A, Phase B, temperature, export: leaves a sealed model and ``training.json`` in the run's folder.

    Raises:
        UserError: data, weights or device are not to be had; the exported graph is not the trained network.
    """
    started = time.perf_counter()
    device = prepare(settings.device)
    records = run_records(settings)
    classes = sorted({record.label for record in records})
    radiographs = {
        split: load_images([record for record in records if record.split == split], classes, settings, split)
        for split in ("train", "val")
    }
    torch.manual_seed(settings.seed)
    model = build_classifier(settings.backbone, len(classes), settings.dropout, settings.weights).to(device)
    model.requires_grad_(False)
    last_blocks = phase_b_cut(settings.backbone, model)
    cuts = {"a": len(model.stages), "b": last_blocks} if settings.epochs_b else {"a": len(model.stages)}
    # The output before the last blocks also tells what is no image of this kind.
    prefix = Prefix(model, (last_blocks, len(model.stages)), device)
    features = make_features(settings, prefix, radiographs["train"], radiographs["val"])
    cached = time.perf_counter()
    board = Board(run.folder, classes)
    try:
        board.sample_batch(_sample(settings, radiographs["train"]))
        board.validation_images(radiographs["val"].images)
        phases = {
            name: _run_phase(
                settings,
                run,
                name,
                Tail(model, cut, settings.batch_norm),
                cut,
                features,
                radiographs,
                classes,
                board,
            )
            for name, cut in cuts.items()
        }
    finally:
        board.close()
    if idist.get_rank() == 0:
        summary = _seal(settings, run, model, radiographs, features, device)
        summary |= {
            "classes": classes,
            "fingerprint": fingerprint(records),
            "phases": {name: asdict(result) for name, result in phases.items()},
            "processes": idist.get_world_size(),
            "cache_seconds": round(cached - started, 2),
            "total_seconds": round(time.perf_counter() - started, 2),
        }
        write_json(run.training, summary)
    idist.barrier()


def _run_phase(
    settings: Settings,
    run: Run,
    name: str,
    tail: Tail,
    cut: int,
    features: Features,
    radiographs: dict[str, LabelledImages],
    classes: list[str],
    board: Board,
) -> PhaseResult:
    s = settings
    tail.requires_grad_(True)
    train = radiographs["train"]
    weights = {"classes": even_weights(train.labels), "groups": even_weights(train.groups)}.get(s.class_weighting)
    _, sites = np.unique(train.sites, return_inverse=True)
    rank, world = idist.get_rank(), idist.get_world_size()
    head_only = name == "a"
    lr, epochs = (s.lr_a, s.epochs_a) if head_only else (s.lr_b, s.epochs_b)
    plan = PhasePlan(
        name=name,
        epochs=epochs,
        groups=parameter_groups(tail, lr, s.block_lr_factor),
        warmup_epochs=s.warmup_epochs,
        patience=s.patience,
        weight_decay=s.weight_decay,
        label_smoothing=s.label_smoothing,
        site_alignment=0.0 if head_only else s.site_alignment,
        averaging=0.0 if head_only else s.averaging,
        seed=s.seed,
    )
    return run_phase(
        plan,
        tail,
        TrainBatches(features.train[cut], train.labels, s.batch_size, s.seed, rank, world, weights, sites),
        PlainBatches(features.validation[cut], radiographs["val"].labels, rank, world),
        classes,
        run.checkpoints,
        board,
        s.resume,
    )


def _sample(settings: Settings, radiographs: LabelledImages) -> Tensor:
    """Augmented views of the first images, N×S×S in [0, 255], for TensorBoard."""
    images = torch.from_numpy(np.array(radiographs.images[np.arange(min(32, len(radiographs.labels)))]))
    augmentation = augmentation_of(settings)
    return augmentation.apply(images, augmentation.draw(len(images), settings.seed))


def _seal(
    settings: Settings,
    run: Run,
    model: Classifier,
    radiographs: dict[str, LabelledImages],
    features: Features,
    device: torch.device,
) -> dict[str, object]:
    validation = radiographs["val"]
    logits = logits_of(model, validation.images, device)
    temperature = fit_temperature(logits, validation.labels)
    cut = phase_b_cut(settings.backbone, model)
    fit = partial(
        fit_novelty,
        model,
        cut,
        radiographs["train"],
        validation,
        features,
        settings.preprocessing,
        settings.seed,
        settings.workers,
        device,
    )
    if settings.cache == "off":
        fitted = fit()
    else:
        path = novelty_cache_path(
            Prefix(model, (cut,), device),
            (radiographs["train"].key, validation.key),
            augmentation_of(settings),
            settings.seed,
            settings.data_dir / "cache",
        )
        fitted = cached_novelty(path, cut, fit)
    fine_map = fit_fine_map(model, cut, features.train[cut], len(radiographs["train"].labels), settings.seed)
    run.sealed.mkdir(exist_ok=True)
    onnx = run.sealed / ONNX_FILE
    save_weights(model, run.sealed / WEIGHTS_FILE)
    export_onnx(model, temperature, fitted.heads, fine_map, settings.image_size, onnx)
    session = Session(onnx, logits.shape[1], settings.image_size)
    probabilities = torch.softmax(torch.from_numpy(logits) / temperature, dim=1).numpy()
    difference = check_parity(session, validation.images, probabilities)
    return {
        "temperature": temperature,
        "novelty": fitted.novelty.model_dump(),
        "orientations": [point.model_dump() for point in fitted.orientations],
        "parity": {"images": len(validation.labels), "largest_difference": difference},
        "files": {name: sha256_file(run.sealed / name) for name in (ONNX_FILE, WEIGHTS_FILE)},
    }
