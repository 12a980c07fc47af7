"""Plots of metrics, by matplotlib: what the report, TensorBoard and the run's folder show."""

import sys
import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bento.artifact import Interval
from trainer.running.history import Epoch
from trainer.types import Array, Floats, Integers

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#000000")
"""Okabe and Ito's palette, which the colour-blind can tell apart."""
SQUARE = (4.6, 4.6)


def confusion_plot(matrix: list[list[int]], classes: list[str], title: str) -> Figure:
    """Counts (rows true) with their share of the row as shade and as percentage."""
    figure, axes = _empty(classes, (1.6 + 1.3 * len(classes), 1.2 + 1.1 * len(classes)))
    shares = [[count / max(1, sum(row)) for count in row] for row in matrix]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(matrix):
        for j, count in enumerate(row):
            colour = "white" if shares[i][j] > 0.5 else "black"
            axes.text(j, i, f"{count}\n{shares[i][j]:.0%}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes, rotation=90, va="center")
    axes.set(xlabel="predicted", ylabel="true", title=title)
    return figure


def captioned_images(images: Array, captions: Sequence[str], title: str) -> Figure:
    """Grey images N×H×W, four in a row, each with its caption above it."""
    _provide_fonts("".join(sorted(set("".join(captions)) - {"\n"})))
    rows = -(-len(captions) // 4)
    height = 0.4 + 3.4 * rows
    # Not laid out by itself, which takes half as long again: it is drawn each epoch.
    figure = Figure(figsize=(11, height))
    figure.suptitle(title, y=1 - 0.15 / height)
    edges = {"left": 0.01, "right": 0.99, "bottom": 0.0, "top": 1 - 0.9 / height, "wspace": 0.05, "hspace": 0.2}
    for place, axes in enumerate(figure.subplots(rows, 4, squeeze=False, gridspec_kw=edges).flat):
        axes.axis("off")
        if place < len(captions):
            axes.imshow(images[place], cmap="gray", vmin=0, vmax=255)
            axes.set_title(captions[place], fontsize="small", loc="left")
    return figure


def roc_plot(classes: list[str], truth: Integers, probabilities: Floats) -> Figure:
    """ROC curves, one per class against all others."""
    from sklearn.metrics import roc_curve  # slow to import, and TensorBoard draws figures without it

    figure, axes = _empty(classes)
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=":")
    for i, positive in _told_apart(classes, truth):
        x, y, _ = roc_curve(positive, probabilities[:, i])
        axes.plot(x, y, color=COLOURS[i % len(COLOURS)], label=_counted(classes[i], positive))
    axes.set(xlabel="1 − specificity", ylabel="sensitivity", title="ROC")
    axes.legend(fontsize="small", loc="lower right")
    return _quiet(figure, axes)


def precision_recall_plot(classes: list[str], truth: Integers, probabilities: Floats) -> Figure:
    """Precision-recall curves, one per class against all others."""
    from sklearn.metrics import precision_recall_curve  # as in roc_plot

    figure, axes = _empty(classes)
    for i, positive in _told_apart(classes, truth):
        precision, recall, _ = precision_recall_curve(positive, probabilities[:, i])
        label = _counted(classes[i], positive)
        axes.step(recall, precision, where="post", color=COLOURS[i % len(COLOURS)], label=label)
    axes.set(xlabel="recall", ylabel="precision", title="Precision and recall")
    axes.set_ylim(0, 1.02)
    axes.legend(fontsize="small", loc="lower left")
    return _quiet(figure, axes)


def _told_apart(classes: list[str], truth: Integers) -> list[tuple[int, npt.NDArray[np.bool_]]]:
    """Classes that some images have and others have not: index, and which images."""
    truths = [truth == i for i in range(len(classes))]
    return [(i, positive) for i, positive in enumerate(truths) if positive.any() and not positive.all()]


def reliability_plot(points: Sequence[tuple[int, float, float]], title: str) -> Figure:
    """Accuracy against confidence of the top class; points: number of images, which is their area, and the two."""
    figure, axes = _empty()
    counts, confidence, accuracy = zip(*points, strict=True)
    areas = [15 + 500 * count / sum(counts) for count in counts]
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=":")
    axes.plot(confidence, accuracy, color=COLOURS[0], linewidth=1)
    axes.scatter(confidence, accuracy, s=areas, color=COLOURS[0], alpha=0.6, linewidth=0)
    axes.set(title=title, xlabel="confidence of the top class", ylabel="share that is right")
    axes.set(xlim=(0, 1.03), ylim=(-0.02, 1.05))
    return _quiet(figure, axes)


def cross_site_plot(rows: Sequence[tuple[str, Interval, Interval]]) -> Figure:
    """The cross-site matrix: for each left-out site its name, macro F1 on the training sites' images and on its own."""
    figure, axes = _empty([site for site, _, _ in rows], (6.4, 1.4 + 0.5 * len(rows)))
    for k, name in enumerate(("seen sites", "held-out site")):
        for row, (_, *values) in enumerate(rows):
            value = values[k]
            errors = [[value.value - value.low], [value.high - value.value]]
            label = name if row == 0 else None
            axes.errorbar(value.value, row + 0.12 * (2 * k - 1), xerr=errors, fmt="o", color=COLOURS[k], label=label)
    axes.set_yticks(range(len(rows)), [f"without {site}" for site, *_ in rows])
    axes.set(xlabel="macro F1 over the shared classes", xlim=(0, 1.02), ylim=(len(rows) - 0.5, -0.5))
    axes.legend(fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    return _quiet(figure, axes)


def learning_curves_plot(epochs: Sequence[Epoch], kept: dict[str, int]) -> Figure:
    """Cross-entropy and macro F1 of training and validation images by epoch: a column of plots for each phase.

    Args:
        epochs: of all phases; at least one.
        kept: the epoch whose weights were kept, by phase.
    """
    phases = sorted({one.phase for one in epochs})
    figure = Figure(figsize=(4.6 * max(2, len(phases)), 5.2), layout="constrained")
    grid = figure.subplots(2, len(phases), squeeze=False, sharex="col", sharey="row")
    for phase, (losses, scores) in zip(phases, grid.T, strict=True):
        for split, name, line, colour in (("train", "training", "--", 1), ("val", "validation", "-", 0)):
            rows = [one for one in epochs if (one.phase, one.split) == (phase, split)]
            style = {"color": COLOURS[colour], "linestyle": line, "marker": ".", "label": name}
            x = [one.epoch for one in rows]
            losses.plot(x, [_or_gap(one.cross_entropy) for one in rows], **style)
            scores.plot(x, [_or_gap(one.macro_f1) for one in rows], **style)
        for axes in (losses, scores):
            if phase in kept:
                axes.axvline(kept[phase], color="#767676", linestyle=":", label=f"kept: epoch {kept[phase]}")
            _quiet(figure, axes)
        losses.set_title(f"Phase {phase.upper()}")
        losses.legend(fontsize="small")
        scores.set_xlabel("epoch")
        scores.xaxis.get_major_locator().set_params(integer=True)
    grid[0, 0].set_ylabel("cross-entropy")
    grid[1, 0].set_ylabel("macro F1")
    return figure


def _or_gap(value: float | None) -> float:
    return float("nan") if value is None else value


def embedding_plot(places: Sequence[tuple[float, float]], groups: Sequence[str], title: str) -> Figure:
    """The embedding map: N places, coloured by their N groups."""
    figure, axes = _empty(groups)
    points, names = np.array(places), np.array(groups)
    for i, group in enumerate(sorted(set(groups))):
        x, y = points[names == group].T
        axes.scatter(x, y, s=9, color=COLOURS[i % len(COLOURS)], alpha=0.7, linewidth=0, label=_shown(group))
    axes.legend(fontsize="small", markerscale=2, loc="best", framealpha=0.7)
    axes.set(title=title, xticks=[], yticks=[])
    return figure


def thresholds_plot(
    panels: Sequence[tuple[str, dict[str, list[Interval]]]], thresholds: Sequence[float], marks: dict[str, float]
) -> Figure:
    """What a range of thresholds does, with 95 % intervals: a plot beside another for each panel.

    Args:
        panels: title, and the lines: T intervals by name.
        thresholds: T, ascending.
        marks: thresholds to mark, by name.
    """
    figure = Figure(figsize=(4.4 * len(panels), 4.0), layout="constrained")
    for axes, (title, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for i, (name, values) in enumerate(lines.items()):
            axes.plot(thresholds, [one.value for one in values], color=COLOURS[i], marker=".", label=name)
            low, high = [one.low for one in values], [one.high for one in values]
            axes.fill_between(thresholds, low, high, color=COLOURS[i], alpha=0.15, linewidth=0)
        for line, (name, threshold) in zip(("--", ":"), marks.items(), strict=False):
            axes.axvline(threshold, color="#555555", linestyle=line, label=name)
        axes.set_xscale("logit")  # another hospital's scores can all be near 0, or near 1
        axes.xaxis.set_major_formatter("{x:.4g}")
        axes.xaxis.set_minor_formatter("")
        axes.set(title=title, xlabel="threshold of the score")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize="small")
        _quiet(figure, axes)
    return figure


def _empty(names: Iterable[str] = (), size: tuple[float, float] = SQUARE) -> tuple[Figure, Axes]:
    """A plot without content that can draw these names, whatever their script."""
    _provide_fonts("".join(sorted(set(names))))
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.add_subplot()


@cache
def _provide_fonts(text: str) -> None:
    """Make installed fonts that have the characters of a text fallbacks of matplotlib's, or say that there is none."""
    matplotlib.rcParams["text.parse_math"] = False  # a dollar in a name is a dollar
    families = list(matplotlib.rcParams["font.family"])
    missing = set(text)
    for family in families:
        missing = _lacking(font_manager.findfont(font_manager.FontProperties(family=[family])), missing)
    installed = font_manager.findSystemFonts() if missing else []
    for path in sorted(installed, key=lambda path: ("Sans" not in Path(path).name, path)):
        lacking = _lacking(path, missing)
        if lacking != missing:
            font_manager.fontManager.addfont(path)
            families.append(font_manager.get_font(path).family_name)
            missing = lacking
    matplotlib.rcParams["font.family"] = families
    if missing:
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        shown = "".join(sorted(missing))
        print(
            f"plots: no installed font has {shown}; install one, for example Noto Sans of that script", file=sys.stderr
        )


def _lacking(path: str, characters: set[str]) -> set[str]:
    try:
        font = font_manager.get_font(path)
        return {one for one in characters if not (font.scalable and font.get_char_index(ord(one)))}
    except (OSError, RuntimeError):  # no font, or none that matplotlib can draw
        return characters


def _shown(name: str) -> str:
    """A name for a legend, which leaves out what begins with an underscore."""
    return f" {name}" if name.startswith("_") else name


def _counted(name: str, positive: npt.NDArray[np.bool_]) -> str:
    """A class's name with its number of images."""
    return f"{_shown(name)} (n = {int(positive.sum())})"


def _quiet(figure: Figure, axes: Axes) -> Figure:
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
