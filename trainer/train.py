"""Training: wires data, cache, phases and export into a run. Holds no logic of its own."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import ignite.distributed as idist
import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn

from bento.artifact import ONNX_FILE, WEIGHTS_FILE, sha256_file
from bento.images import Preprocessing
from bento.predictor import Session
from trainer.arrays import Array
from trainer.augment import Augmentation
from trainer.backbones import Classifier, Tail, build_classifier, phase_b_cut
from trainer.batches import PlainBatches, TrainBatches
from trainer.cache import prefix_outputs
from trainer.calibration import fit_temperature
from trainer.config import Settings
from trainer.device import prepare
from trainer.export import check_parity, export_onnx, logits_of, save_weights
from trainer.files import write_json
from trainer.images import decoded_images
from trainer.manifest import Record, fingerprint, read_manifest
from trainer.phases import PhasePlan, PhaseResult, parameter_groups, run_phase
from trainer.runs import Run
from trainer.tensorboard import Board


@dataclass(frozen=True)
class Films:
    """One split, decoded: ``uint8`` images N×S×S and N class indices."""

    images: Array
    labels: Array
    key: str
    """Names the images, their order and their preprocessing."""


def load_films(records: list[Record], classes: list[str], settings: Settings, title: str) -> Films:
    """Decode a split's films, or open them from the image store."""
    spec = Preprocessing(image_size=settings.image_size)
    paths = [settings.data_dir / record.path for record in records]
    hashes = [record.sha256 for record in records]
    cache = settings.data_dir / "cache"
    images = decoded_images(paths, hashes, spec, cache, settings.workers, title)
    labels = np.array([classes.index(record.label) for record in records], dtype=np.int64)
    return Films(images, labels, f"{spec.model_dump_json()} {hashes}")


def train(settings: Settings, run: Run) -> None:
    """Phase A, Phase B, temperature, export: leaves a sealed model and ``training.json`` in the run's folder.

    Raises:
        UserError: data, weights or device are not to be had; the exported graph is not the trained network.
    """
    started = time.perf_counter()
    device = prepare(settings.device)
    records = read_manifest(settings.data_dir)
    classes = sorted({record.label for record in records})
    films = {
        split: load_films([record for record in records if record.split == split], classes, settings, split)
        for split in ("train", "val")
    }
    torch.manual_seed(settings.seed)
    model = build_classifier(settings.backbone, len(classes), settings.dropout, settings.weights).to(device)
    model.requires_grad_(False)
    board = Board(run.folder, classes)
    try:
        seconds, phases = _run_phases(settings, run, model, films, classes, device, board)
    finally:
        board.close()
    if idist.get_rank() == 0:
        summary = _seal(settings, run, model, films["val"], device)
        summary |= {
            "classes": classes,
            "fingerprint": fingerprint(records),
            "phases": {name: asdict(result) for name, result in phases.items()},
            "cache_seconds": round(seconds, 2),
            "total_seconds": round(time.perf_counter() - started, 2),
        }
        write_json(run.training, summary)
    idist.barrier()


def _run_phases(
    settings: Settings,
    run: Run,
    model: Classifier,
    films: dict[str, Films],
    classes: list[str],
    device: torch.device,
    board: Board,
) -> tuple[float, dict[str, PhaseResult]]:
    s = settings
    augmentation = Augmentation(s.rotation, s.shift, s.scale, s.exposure, s.flip)
    cuts = {"a": len(model.stages)}
    if s.epochs_b:
        cuts["b"] = phase_b_cut(s.backbone, model)
    started = time.perf_counter()
    cached: dict[str, list[Array]] = {}
    ascending = sorted(cuts.values())
    for split, views in (("train", augmentation), ("val", None)):
        part = films[split]
        cached[split] = prefix_outputs(
            model,
            ascending,
            part.images,
            part.key,
            s.data_dir / "cache",
            device,
            views,
            s.views,
            s.seed,
            split,
        )
    seconds = time.perf_counter() - started
    sample = torch.from_numpy(films["train"].images[:32].copy())
    board.sample_batch(augmentation.apply(sample, augmentation.draw(len(sample), s.seed)))

    criterion = nn.CrossEntropyLoss(
        _class_weights(s, films["train"].labels, classes), label_smoothing=s.label_smoothing
    )
    rank, world = idist.get_rank(), idist.get_world_size()
    phases: dict[str, PhaseResult] = {}
    for name, cut in cuts.items():
        tail = Tail(model, cut).to(device)
        tail.requires_grad_(True)
        column = ascending.index(cut)
        lr, epochs = (s.lr_a, s.epochs_a) if name == "a" else (s.lr_b, s.epochs_b)
        phases[name] = run_phase(
            PhasePlan(
                name=name,
                epochs=epochs,
                groups=parameter_groups(tail, lr, s.block_lr_factor),
                warmup_epochs=s.warmup_epochs,
                patience=s.patience,
                weight_decay=s.weight_decay,
                seed=s.seed,
            ),
            tail,
            TrainBatches(
                cached["train"][column], films["train"].labels, s.batch_size, s.seed, device, rank, world
            ),
            PlainBatches(cached["val"][column], films["val"].labels, device, rank, world),
            criterion.to(device),
            classes,
            run.checkpoints,
            board,
            s.resume,
        )
    return seconds, phases


def _class_weights(settings: Settings, labels: Array, classes: list[str]) -> Tensor | None:
    if settings.class_weighting == "none":
        return None
    counts = np.bincount(labels, minlength=len(classes))
    return torch.tensor(len(labels) / (len(classes) * counts), dtype=torch.float32)


def _seal(
    settings: Settings, run: Run, model: Classifier, films: Films, device: torch.device
) -> dict[str, object]:
    logits = logits_of(model, films.images, device)
    temperature = fit_temperature(logits, films.labels)
    run.sealed.mkdir(exist_ok=True)
    onnx: Path = run.sealed / ONNX_FILE
    save_weights(model, run.sealed / WEIGHTS_FILE)
    export_onnx(model, temperature, settings.image_size, onnx)
    session = Session(onnx, logits.shape[1], settings.image_size)
    difference = check_parity(session, films.images, softmax(logits / temperature, axis=1))
    return {
        "temperature": temperature,
        "parity": {"images": len(films.images), "largest_difference": difference},
        "files": {name: sha256_file(run.sealed / name) for name in (ONNX_FILE, WEIGHTS_FILE)},
    }
