"""Ingredients of a recipe that the trainer does not have, and both phases with them; ``recipes.py`` makes the table."""

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tests.benchmarks.erasure import site_eraser
from trainer.data.manifest import Record
from trainer.evaluation.bootstrap import macro_f1
from trainer.features.batches import Fetch, PlainBatches, Targets, TrainBatch, TrainBatches, even_weights, views_shown
from trainer.features.dataset import LabelledImages
from trainer.models.classifier import Tail
from trainer.settings import Settings
from trainer.training.losses import site_distance
from trainer.training.phases import cosine_with_warmup, parameter_groups
from trainer.training.selection import Selection
from trainer.types import Array


@dataclass(frozen=True)
class Recipe:
    """One row of the table: settings of the trainer, and ingredients that the trainer does not have."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    loss: str = "mean"
    """``dro``: the worst (class, site) group most (Sagawa et al. 2020); ``focal``: hard ones most (Lin et al. 2017);
    ``drawn``: unweighted, every group drawn equally often."""
    ema: float = 0.0
    """Decay of an exponential moving average of the weights, which is what is then judged."""
    mix: str = ""
    """What of the frozen stages' outputs is mixed. ``mixup``: two images and their labels (Verma et al. 2019);
    ``style``: the mean and deviation of their channels alone (Zhou et al. 2021)."""
    l2sp: float = 0.0
    """Pull towards the pre-trained weights (Li et al. 2018)."""
    erase: bool = False
    """Afterwards take out of the embedding what tells the site; see :mod:`tests.benchmarks.erasure`."""


@dataclass(frozen=True)
class Bench:
    """One seed's images, as one intake and augmentation show them to the tail."""

    settings: Settings
    classes: list[str]
    radiographs: dict[str, LabelledImages]
    train: dict[int, Fetch]
    validation: dict[int, Fetch]
    tests: Array
    """``float16`` V×N×…: the prefix's output at the cut for the test images as they are, then through each scanner."""
    records: list[Record]
    """Of the test images."""
    model: Any
    cut: int
    device: torch.device


Observe = Callable[[float, nn.Module], None]
"""Told of every epoch's macro F1 on the validation images, and the network that has it."""


def train_tail(bench: Bench, recipe: Recipe, settings: Settings, observe: Observe | None = None) -> Tail:
    """Both phases; the weights that the trainer would keep. ``observe`` is told of Phase B, its start included."""
    s = settings
    model = copy.deepcopy(bench.model)
    _phase(bench, recipe, s, Tail(model, len(model.stages)), len(model.stages), s.lr_a, s.epochs_a)
    tail = Tail(model, bench.cut, s.batch_norm)
    if s.epochs_b:
        _phase(bench, recipe, s, tail, bench.cut, s.lr_b, s.epochs_b, observe)
    if recipe.erase:
        radiographs = bench.radiographs["train"]
        fitted = embeddings_of(tail, bench.train[bench.cut], len(radiographs.labels))
        eraser = site_eraser(fitted, radiographs.labels, radiographs.sites)
        tail.stages.append(Erased(*eraser).to(bench.device))
    return tail


class Erased(nn.Module):
    """Embeddings N×D without what tells the site."""

    def __init__(self, mean: Array, a: Array, b: Array) -> None:
        super().__init__()
        for name, value in (("mean", mean), ("a", a), ("b", b)):
            self.register_buffer(name, torch.from_numpy(value).float())

    def forward(self, x: Tensor) -> Tensor:
        mean, a, b = (self.get_buffer(name) for name in ("mean", "a", "b"))
        return x - (x - mean) @ a @ b


def _phase(
    bench: Bench,
    recipe: Recipe,
    s: Settings,
    tail: Tail,
    cut: int,
    lr: float,
    epochs: int,
    observe: Observe | None = None,
) -> None:
    tail.requires_grad_(True)
    extras = recipe if cut == bench.cut else Recipe(recipe.name, loss=recipe.loss)
    radiographs = bench.radiographs["train"]
    _, first, codes = np.unique(np.array(radiographs.groups), return_index=True, return_inverse=True)
    classes = torch.from_numpy(radiographs.labels[first]).to(bench.device)
    weights = {"classes": even_weights(radiographs.labels), "groups": even_weights(radiographs.groups)}.get(
        s.class_weighting
    )
    # Labelled by group, which tells the class too.
    kind = Drawn if recipe.loss == "drawn" else TrainBatches
    _, sites = np.unique(radiographs.sites, return_inverse=True)
    batches = kind(bench.train[cut], Targets(codes, weights, sites), s.batch_size, s.seed)
    validation = PlainBatches(bench.validation[cut], bench.radiographs["val"].labels)
    loss = Loss(extras, s.label_smoothing, s.site_alignment if cut == bench.cut else 0.0, classes)
    optimizer = AdamW(parameter_groups(tail, lr, s.block_lr_factor), weight_decay=s.weight_decay, fused=True)
    total, warmup = epochs * len(batches), round(s.warmup_epochs * len(batches))
    scheduler = LambdaLR(optimizer, partial(cosine_with_warmup, warmup, total))
    average = AveragedModel(tail, multi_avg_fn=get_ema_multi_avg_fn(extras.ema)) if extras.ema else None  # type: ignore[no-untyped-call]
    start = [value.detach().clone() for value in tail.stages.parameters()]
    rng = np.random.default_rng(s.seed)
    selection, kept, stream = (
        Selection(len(validation.labels)),
        copy.deepcopy(tail.state_dict()),
        iter(batches),
    )

    def judge(epoch: int, judged: nn.Module) -> bool:
        score = _score(judged, validation, len(bench.classes))
        if observe:
            observe(score, judged)
        return selection.takes(epoch, score)

    judge(0, tail)
    for epoch in range(1, epochs + 1):
        torch.manual_seed(s.seed * 1_000_003 + epoch * 1009)
        tail.train()
        for _ in range(len(batches)):
            batch = next(stream)
            optimizer.zero_grad(set_to_none=True)
            value = loss(tail, batch, rng)
            if extras.l2sp:
                pull = sum(
                    (((a - b) ** 2).sum() for a, b in zip(tail.stages.parameters(), start, strict=True)),
                    torch.zeros(()),
                )
                value = value + extras.l2sp * pull
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            scheduler.step()
            if average:
                average.update_parameters(tail)
        judged = average.module if average else tail
        if judge(epoch, judged):
            kept = copy.deepcopy(judged.state_dict())
    tail.load_state_dict(kept)


class Drawn(TrainBatches):
    """Batches of images drawn with return, every group equally often."""

    def __iter__(self) -> Iterator[TrainBatch]:
        rng = np.random.default_rng(self.seed)
        shares = even_weights(self.labels).astype(np.float64)
        for step in itertools.count():
            rows = np.sort(rng.choice(len(self.labels), self.batch_size, p=shares / shares.sum()))
            # Another view each batch, so that an image drawn twice is not the same picture twice.
            x = self.fetch(rows, views_shown(rows, step + 1))
            y, sites = (torch.from_numpy(part[rows]).to(x.device) for part in (self.labels, self.sites))
            yield x, y, torch.ones(len(rows), device=x.device), sites


class Loss:
    """The recipe's loss of a batch."""

    def __init__(self, recipe: Recipe, smoothing: float, alignment: float, classes: Tensor) -> None:
        """``classes``: the class of each of G groups."""
        self.recipe, self.smoothing, self.alignment, self.classes = recipe, smoothing, alignment, classes
        self.shares = torch.full((len(classes),), 1 / len(classes), device=classes.device)

    def __call__(self, tail: Tail, batch: TrainBatch, rng: np.random.Generator) -> Tensor:
        x, group, weights, sites = batch
        target = F.one_hot(self.classes[group], int(self.classes.max()) + 1).float()
        if self.recipe.mix:
            x, target = self._mixed(x, target, rng)
        embedding = tail.stages(x)
        logits = tail.head(tail.dropout(embedding))
        target = target * (1 - self.smoothing) + self.smoothing / target.shape[1]
        each = -(target * F.log_softmax(logits, dim=1)).sum(dim=1)
        if self.recipe.loss == "focal":
            each = each * (1 - torch.exp(-each)) ** 2
        if self.recipe.loss == "dro":
            present = [index for index in range(len(self.shares)) if bool((group == index).any())]
            losses = torch.stack([each[group == index].mean() for index in present])
            with torch.no_grad():
                self.shares[present] *= torch.exp(0.05 * losses)
                self.shares /= self.shares.sum()
            return (losses * self.shares[present]).sum() / self.shares[present].sum()
        value = (each * weights).sum() / weights.sum()
        if self.alignment:
            value = value + self.alignment * site_distance(embedding, self.classes[group], sites)
        return value

    def _mixed(self, x: Tensor, target: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        other = torch.from_numpy(rng.permutation(len(x))).to(x.device)
        if self.recipe.mix == "mixup":
            share = float(rng.beta(0.2, 0.2))
            return share * x + (1 - share) * x[other], share * target + (1 - share) * target[other]
        share = float(rng.beta(0.1, 0.1))
        mean, deviation = x.mean(dim=(2, 3), keepdim=True), x.std(dim=(2, 3), keepdim=True) + 1e-5
        mixed = [share * part + (1 - share) * part[other] for part in (mean, deviation)]
        return (x - mean) / deviation * mixed[1] + mixed[0], target


@torch.inference_mode()
def embeddings_of(tail: Tail, fetch: Fetch, radiographs: int) -> Array:
    """``float32`` embeddings N×D of N images' first view."""
    tail.eval()
    rows = np.array_split(np.arange(radiographs), -(-radiographs // PlainBatches.BATCH))
    return np.concatenate([tail.stages(fetch(part, 0)).cpu().numpy() for part in rows])


@torch.inference_mode()
def logits_of(tail: nn.Module, batches: PlainBatches) -> Array:
    """``float32`` logits N×C of N images."""
    tail.eval()
    return np.concatenate([tail(x).cpu().numpy() for x, _ in batches])


def _score(tail: nn.Module, batches: PlainBatches, classes: int) -> float:
    predicted, truth = logits_of(tail, batches).argmax(axis=1), batches.labels
    return float(macro_f1(truth, predicted, classes, np.ones((1, len(truth))))[0])
