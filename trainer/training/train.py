"""Training: wires images, features, phases and export into a run. Holds no logic of its own."""

import io
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial

import ignite.distributed as idist
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bento.artifact import ONNX_FILE, WEIGHTS_FILE, sha256_file
from bento.inference.session import Session
from trainer.data.duplicates import thumbnail
from trainer.data.holdout import run_records
from trainer.data.manifest import Record, fingerprint
from trainer.device import prepare
from trainer.distributed import process_group
from trainer.export.cam import fit_fine_map
from trainer.export.novelty import FittedHeads, fit_novelty
from trainer.export.novelty_cache import cached_novelty, novelty_path
from trainer.export.onnx import check_parity, export_onnx, logits_of, save_weights
from trainer.export.temperature import fit_temperature
from trainer.features.dataset import Features, LabelledImages, augmentation_of, load_images, make_features, store_of
from trainer.features.decoded_store import Images
from trainer.features.prefix_cache import Prefix
from trainer.files import write_bytes, write_json
from trainer.models.backbones import build_classifier, frozen_blocks, phase_b_cut
from trainer.models.classifier import Classifier
from trainer.running.durations import judging_seconds, training_seconds
from trainer.running.progress import expect, leading, say, task, whole_command
from trainer.running.runs import Run, continued_settings, is_trained, start_run, training_alone
from trainer.settings import Settings
from trainer.training.checkpoints import keep_best
from trainer.training.epoch_log import History
from trainer.training.phases import EpochLog
from trainer.training.tail_training import Examples, train_tail
from trainer.training.tensorboard import Board


@dataclass(frozen=True)
class Prepared:
    """What both phases and the export work on."""

    settings: Settings
    classes: list[str]
    model: Classifier
    train: LabelledImages
    validation: LabelledImages
    features: Features
    device: torch.device

    @property
    def last_blocks(self) -> int:
        """Index of the first stage that Phase B trains."""
        return phase_b_cut(self.settings.backbone, self.model)


def train_run(settings: Settings) -> Run:
    """Start or resume a run and train it, on all processes that torchrun has started.

    Raises:
        UserError: see :func:`trainer.running.runs.start_run` and :func:`train`.
    """
    with process_group(settings.device), whole_command():
        return start_and_train(settings)


def start_and_train(settings: Settings, judged: bool = False) -> Run:
    """As :func:`train_run`, for processes that are a group already; ``judged``: an evaluation follows."""
    if not settings.resume:
        run_records(settings, aloud=leading())  # what it refuses must not leave a run behind
    name = start_run(settings).name if idist.get_rank() == 0 else None
    run = Run(settings.runs_dir / str(idist.broadcast(name, src=0, safe_mode=True)))
    if idist.broadcast(float(is_trained(run)), src=0):
        say(f"{run.folder}: trained already")
        return run
    with training_alone(run, new=not settings.resume) if idist.get_rank() == 0 else nullcontext():
        settings = continued_settings(run, settings)
        images = Counter(str(record.split) for record in run_records(settings))
        expect(training_seconds(settings, images) | (judging_seconds(settings, images) if judged else {}))
        train(settings, run)
    return run


def train(settings: Settings, run: Run) -> None:
    """Phase A, Phase B, temperature, export: leaves a sealed model and ``training.json`` in the run's folder.

    Raises:
        UserError: data, weights or device are not to be had; the exported graph is not the trained network.
        OSError: the run's folder can't be written; it names the file.
    """
    started = time.perf_counter()
    records = run_records(settings)
    prepared = _prepare(settings, records)
    cached = time.perf_counter()
    with _board(prepared, run) as board:
        log = EpochLog(History(run.history), board)
        train_on = Examples(prepared.features.train, prepared.train.labels, prepared.train.sites)
        chosen_by = Examples(prepared.features.validation, prepared.validation.labels, prepared.validation.sites)
        phases = train_tail(settings, prepared.model, prepared.classes, train_on, chosen_by, run.checkpoints, log)
    if idist.get_rank() == 0:
        _keep_thumbnails(prepared.train.images, run)
        summary = _seal(prepared, run) | {
            "classes": prepared.classes,
            "fingerprint": fingerprint(records),
            "phases": {name: asdict(result) for name, result in phases.items()},
            "processes": idist.get_world_size(),
            "cache_seconds": round(cached - started, 2),
            "total_seconds": round(time.perf_counter() - started, 2),
        }
        write_json(run.training, summary)
        if not settings.keep_checkpoints:
            keep_best(run.checkpoints, {name: result.best_epoch for name, result in phases.items()})
    idist.barrier()


def _prepare(settings: Settings, records: list[Record]) -> Prepared:
    """Decode the images, build the network and fill the caches."""
    device = prepare(settings.device)
    frozen_blocks(settings.backbone, settings.blocks_b)  # what it refuses is refused before the work
    classes = sorted({record.label for record in records})
    train, validation = (
        load_images([record for record in records if record.split == split], classes, settings, split)
        for split in ("train", "val")
    )
    torch.manual_seed(settings.seed)
    model = build_classifier(settings.backbone, len(classes), settings.dropout, settings.weights).to(device)
    model.requires_grad_(False)
    # The output before the last blocks is what novelty and orientation are read off, too.
    prefix = Prefix(model, (phase_b_cut(settings.backbone, model), len(model.stages)), device)
    features = make_features(settings, prefix, train, validation)
    return Prepared(settings, classes, model, train, validation, features, device)


@contextmanager
def _board(prepared: Prepared, run: Run) -> Iterator[Board]:
    data_dir, validation = prepared.settings.data_dir, prepared.validation
    names = [path.relative_to(data_dir).as_posix() for path in validation.files.paths]
    board = Board(run.folder, prepared.classes, validation.images, names)
    try:
        with closing(board):
            if idist.get_rank() == 0 and not prepared.settings.resume:
                board.show_views(_sample(prepared.settings, prepared.train))
            yield board
    except OSError as error:  # the event file's do not say which file they are about
        error.filename = error.filename or str(run.folder)
        raise


def _sample(settings: Settings, radiographs: LabelledImages) -> Tensor:
    """Augmented views of the first images, N×S×S in [0, 255], for TensorBoard."""
    images = torch.from_numpy(np.array(radiographs.images[np.arange(min(32, len(radiographs.labels)))]))
    augmentation = augmentation_of(settings)
    return augmentation.apply(images, augmentation.draw(len(images), settings.seed))


def _keep_thumbnails(images: Images, run: Run) -> None:
    """Leave thumbnails for the evaluation, where the images are decoded: it need not decode them again."""
    if isinstance(images, np.ndarray):
        content = io.BytesIO()
        np.save(content, np.stack([thumbnail(Image.fromarray(image)) for image in images]))
        write_bytes(run.training_thumbnails, content.getvalue())


def _seal(prepared: Prepared, run: Run) -> dict[str, object]:
    """Fit what goes beside the network, and write both; returns what ``training.json`` says of it."""
    settings, model, validation = prepared.settings, prepared.model, prepared.validation
    say("sealing the model: novelty and orientation, ONNX graph, comparison with PyTorch")
    with task("sealing: novelty and orientation"):
        logits = logits_of(model, validation.images, prepared.device)
        temperature = fit_temperature(logits, validation.labels)
        fitted = _novelty(prepared)
        cut, images = prepared.last_blocks, len(prepared.train.labels)
        fine_map = fit_fine_map(model, cut, prepared.features.train[cut], images, settings.seed)
    run.sealed.mkdir(exist_ok=True)
    onnx = run.sealed / ONNX_FILE
    with task("sealing: ONNX graph"):
        save_weights(model, run.sealed / WEIGHTS_FILE)
        export_onnx(model, temperature, fitted.heads, fine_map, settings.image_size, onnx)
    with task("sealing: comparison"):
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


def _novelty(prepared: Prepared) -> FittedHeads:
    """Novelty and orientation, from the cache where an earlier run has fitted them."""
    settings, train, validation = prepared.settings, prepared.train, prepared.validation
    prefix = Prefix(prepared.model, (prepared.last_blocks,), prepared.device)
    fit = partial(fit_novelty, prefix, train, validation, prepared.features, settings.seed)
    if settings.cache == "off":
        return fit()
    keys, augmentation = (train.key, validation.key), augmentation_of(settings)
    path = novelty_path(store_of(settings), prefix, keys, augmentation, settings.seed)
    return cached_novelty(path, prefix.cuts[0], fit)
