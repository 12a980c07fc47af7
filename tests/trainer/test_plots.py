"""Plots: names in any script are drawn, or a line says that no installed font has them; no library's warning leaks."""

import io
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure

import trainer.plots
from trainer.plots import confusion_plot, embedding_plot, learning_curves_plot, roc_plot
from trainer.running.history import Epoch

NAMES = ["正常", "肺炎"]


@pytest.fixture(autouse=True)
def _as_installed() -> Iterator[None]:
    """Each test begins with matplotlib's own fonts."""
    trainer.plots._provide_fonts.cache_clear()
    with matplotlib.rc_context():
        yield
    trainer.plots._provide_fonts.cache_clear()


def make_font(path: Path, family: str, characters: str) -> None:
    """A font in which each of these characters is a box."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for point in ((0, 700), (600, 700), (600, 0)):
        pen.lineTo(point)
    pen.closePath()
    glyphs = [".notdef", *(f"u{ord(one):X}" for one in characters)]
    font = FontBuilder(1000)
    font.setupGlyphOrder(glyphs)
    font.setupCharacterMap({ord(one): f"u{ord(one):X}" for one in characters})
    font.setupGlyf(dict.fromkeys(glyphs, pen.glyph()))
    font.setupHorizontalMetrics(dict.fromkeys(glyphs, (600, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": family, "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(str(path))


def draw(figure: Figure) -> None:
    """As the report does, and as a PNG. Warnings are errors in tests."""
    figure.savefig(io.BytesIO(), format="svg")
    figure.savefig(io.BytesIO(), format="png")


def test_an_installed_font_draws_names_that_the_usual_one_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_font(tmp_path / "boxes.ttf", "Boxes of a test", "正常肺炎")
    (tmp_path / "damaged.ttf").write_bytes(b"no font")
    paths = [str(tmp_path / "damaged.ttf"), str(tmp_path / "boxes.ttf")]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: paths)
    draw(confusion_plot([[3, 1], [0, 2]], NAMES, "test"))
    assert "Boxes of a test" in matplotlib.rcParams["font.family"]
    assert capsys.readouterr().err == ""


def test_where_no_font_has_them_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    draw(confusion_plot([[3, 1], [0, 2]], NAMES, "test"))
    draw(embedding_plot([(0.0, 1.0), (1.0, 0.0)], NAMES, "class"))
    error = capsys.readouterr().err
    assert error == "plots: no installed font has 常正炎肺; install one, for example Noto Sans of that script\n"


@pytest.mark.parametrize("name", ["$x_$", "a$\\frac$", "_other", "100 %", "a\nb", "<b>", "e\u0301"])
def test_a_name_is_drawn_as_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    classes = [name, "NORMAL"]
    truth = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4], [0.2, 0.8]])
    figure = roc_plot(classes, truth, probabilities)
    draw(figure)
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text().strip() for text in legend.get_texts()] == [f"{one} (n = 2)" for one in classes]
    draw(confusion_plot([[3, 1], [0, 2]], classes, "test"))


@pytest.mark.parametrize("phases", ["a", "ab"])
def test_learning_curves_show_both_splits_of_each_phase_and_the_kept_epoch(phases: str) -> None:
    epochs = [
        Epoch(phase=phase, epoch=epoch, split=split, cross_entropy=2 - epoch, macro_f1=None if epoch else 0.5)
        for phase in phases
        for epoch in (0, 1, 2)
        for split in ("train", "val")
        if (epoch, split) != (0, "train")
    ]
    figure = learning_curves_plot(epochs, {"a": 2, "b": 0})
    draw(figure)
    assert len(figure.axes) == 2 * len(phases)
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["training", "validation", "kept: epoch 2"]
    training, validation, _ = figure.axes[0].lines
    assert np.asarray(training.get_xydata()).tolist() == [[1, 1], [2, 0]]
    assert np.asarray(validation.get_xydata()).tolist() == [[0, 2], [1, 1], [2, 0]]
