"""Whether a new model may take the place of the one that is served: both are asked about the same test images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bento.artifact import Interval, Manifest
from bento.inference.session import Predictor
from trainer.data.listing import Radiograph
from trainer.errors import UserError
from trainer.evaluation.bootstrap import JudgedImages, macro_f1, paired_difference
from trainer.evaluation.scoring import judge_each
from trainer.evaluation.seen_images import SeenList, leave_out_seen, read_seen_images
from trainer.inference.model_store import SealedModel, stored_folder, stored_model
from trainer.reporting.comparison import read_predictions
from trainer.running.runs import Run

LEAST_IMAGES = 5
"""Of each class, below which a comparison tells nothing."""


@dataclass(frozen=True)
class Verdict:
    """Whether a new model is to be served by default, and why."""

    promoted: bool
    reason: str


@dataclass(frozen=True)
class Comparison:
    """Two models on the same images."""

    images: int
    """Neither model has seen any of them."""
    given: int
    """Test images of the new model's run."""
    new: float
    """Macro F1."""
    served: float
    difference: Interval
    """Of ``new`` less ``served``, by paired bootstrap of patients."""

    def __str__(self) -> str:
        # Plus zero: a difference that is rounded to none has no sign of its own.
        value, low, high = (round(side, 2) + 0.0 for side in self.difference.model_dump().values())
        of = "" if self.images == self.given else f" of {self.given:,}"
        chance = ": chance can explain it" if self.difference.low < 0 < self.difference.high else ""
        return (
            f"on {self.images:,}{of} test images, which neither has seen, macro F1 {self.new:.2f} against "
            f"{self.served:.2f} (difference {value:+.2f}, {low:+.2f} to {high:+.2f}{chance})"
        )


def judge_promotion(run: Run, data_dir: Path, new: Manifest, served: str | None) -> Verdict:
    """Whether the model of an evaluated run may be served instead of ``served``.

    It may where it is not worse than that one beyond chance on the run's test images, leaving out those that ``served``
    was trained on; where there is none that could be served; and where that one knows generated images only.

    Args:
        run: evaluated.
        data_dir: of its images.
        new: the run's manifest.
        served: tag of the stored model that is served by default, if any.
    """
    if served is None:
        return Verdict(True, "the first model in the store")
    try:
        predictor = stored_model(served)
    except UserError as error:
        return Verdict(True, f"the model before it can't be served: {error}")
    old = predictor.manifest
    if old.data.synthetic != new.data.synthetic:
        known = f"{served} knows generated images only" if old.data.synthetic else "it knows generated images only"
        return Verdict(old.data.synthetic, known)
    if set(old.classes) != set(new.classes):
        return _not_compared(served, f"since its classes are {', '.join(new.classes)}, not {', '.join(old.classes)}")
    seen = read_seen_images(stored_folder(served), old)
    if seen is None and old.data.fingerprint != new.data.fingerprint:
        return _not_compared(served, "which may have been trained on its test images")
    try:
        comparison = compare(run, data_dir, new, predictor, seen)
    except UserError as error:
        return _not_compared(served, f"since {error}")
    return Verdict(comparison.difference.high >= 0, str(comparison))


def _not_compared(served: str, why: str) -> Verdict:
    return Verdict(False, f"it can't be compared with {served}, {why}")


def compare(run: Run, data_dir: Path, new: Manifest, served: Predictor, seen: SeenList | None) -> Comparison:
    """The two models on the run's test images.

    Args:
        run: evaluated.
        data_dir: of its images.
        new: the run's manifest.
        served: the other model.
        seen: its images, which are left out; None: it has seen none of the test images.

    Raises:
        UserError: too few of a class are left, or can be read.
    """
    rows, judged = read_predictions(run.predictions, new.classes)
    radiographs = [
        Radiograph(data_dir / row["path"], row["path"], row["label"], row.get("site", ""), row["patient"])
        for row in rows
    ]
    if seen is not None:
        try:
            radiographs, _ = leave_out_seen(radiographs, seen)
        except UserError as error:
            raise UserError("that one was trained on too many of its test images") from error
    model = SealedModel.of(served)
    readable, answers, _ = judge_each(
        radiographs, model, lambda taken: model.session.predict(taken.image[None]).probabilities[0], "compare"
    )
    paths = {radiograph.path for radiograph in readable}
    both = judged.subset(np.array([row["path"] in paths for row in rows]))
    counts = np.bincount(both.truth, minlength=len(new.classes))
    if counts.min() < LEAST_IMAGES:
        rarest = new.classes[int(counts.argmin())]
        raise UserError(f"{rarest} has too few test images to judge both on ({counts.min()}; it takes {LEAST_IMAGES})")
    columns = [model.classes.index(name) for name in new.classes]
    theirs = both.with_probabilities(np.stack(answers)[:, columns])
    return _difference(both, theirs, len(rows))


def _difference(ours: JudgedImages, theirs: JudgedImages, given: int) -> Comparison:
    classes, once = len(ours.classes), np.ones((1, len(ours.truth)))
    first, second = (judged.probabilities.argmax(axis=1) for judged in (ours, theirs))
    return Comparison(
        images=len(ours.truth),
        given=given,
        new=float(macro_f1(ours.truth, first, classes, once)[0]),
        served=float(macro_f1(ours.truth, second, classes, once)[0]),
        difference=paired_difference(ours.truth, first, second, classes, ours.patients),
    )
