"""The search's page and plots."""

import base64
import io
from pathlib import Path
from typing import cast

import matplotlib
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna import Study
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import TrialState
from optuna.visualization.matplotlib import plot_optimization_history, plot_param_importances

from trainer.files import write_bytes, write_text
from trainer.reporting.pages import page_environment
from trainer.search.result import Result, best_first, point_text, score_of, seconds_of, state_of

matplotlib.use("Agg")

HISTORY, IMPORTANCE, PAGE = "history.png", "importance.png", "search.html"
ENOUGH = 4
"""Complete trials that an importance is made of, at least."""


def write_pages(result: Result, study: Study, folder: Path) -> None:
    """Write the plots, and ``search.html`` that shows them.

    Raises:
        OSError: they can't be written.
    """
    axes = plot_optimization_history(study, target_name=result.score)
    cast("Figure", axes.figure).set_size_inches(9, 4.5)
    _title(axes, "Complete trials in their order")
    pictures = {"history": _save(axes, folder / HISTORY)}
    complete = [one for one in result.trials if one.state == TrialState.COMPLETE]
    if len(complete) >= ENOUGH and len({one.value for one in complete}) > 1:
        axes = plot_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0), target_name=result.score)
        axes.set(xlabel="importance", ylabel="setting")
        _title(axes, "Importance among the complete trials (fANOVA)")
        pictures["importance"] = _save(axes, folder / IMPORTANCE)
    else:
        (folder / IMPORTANCE).unlink(missing_ok=True)
    rows = [
        {
            "number": one.number,
            "score": score_of(one),
            "state": state_of(one),
            "seconds": seconds_of(one),
            "point": point_text(one.params, result.space),
            "recommended": one is result.recommended,
        }
        for one in best_first(result.trials)
    ]
    page = page_environment().get_template(PAGE).render(result=result, rows=rows, pictures=pictures)
    write_text(folder / PAGE, page)


def _title(axes: Axes, text: str) -> None:
    axes.set_title("")
    axes.set_title(text, loc="left", fontsize="medium")  # where Optuna has put another


def _save(axes: Axes, path: Path) -> str:
    """Write a plot as PNG; gives its data URI."""
    stream = io.BytesIO()
    figure = cast("Figure", axes.figure)
    figure.savefig(stream, format="png", dpi=110, bbox_inches="tight")
    pyplot.close(figure)
    write_bytes(path, stream.getvalue())
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
