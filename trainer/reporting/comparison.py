"""Comparison of two runs, image by image, on the test images that both have."""

from pathlib import Path

import numpy as np
from pydantic import BaseModel

from bento.artifact import Interval
from trainer.data.patients import person
from trainer.errors import UserError
from trainer.evaluation.bootstrap import JudgedImages, macro_f1, paired_difference
from trainer.running.runs import Run, read_training
from trainer.tables import read_table


class Difference(BaseModel):
    """Two runs on the test images that they share."""

    first: str
    second: str
    images: int
    first_macro_f1: float
    second_macro_f1: float
    difference: Interval
    """Of ``first`` less ``second``, by paired bootstrap of patients."""

    @property
    def verdict(self) -> str:
        """What the interval says, in words."""
        if self.difference.low > 0:
            return f"{self.first} is better"
        if self.difference.high < 0:
            return f"{self.second} is better"
        return "no difference can be told"


def read_predictions(path: Path, classes: list[str]) -> tuple[list[dict[str, str]], JudgedImages]:
    """The rows of a ``predictions.csv``, and what metrics are made of.

    Raises:
        UserError: not there, or not as ``evaluate`` writes it.
    """
    # The table reader folds the names of columns to lower case.
    columns = [name.lower() for name in classes]
    rows = [row for _, row in read_table(path, ("path", "label", "patient", *columns))]
    try:
        truth = np.array([classes.index(row["label"]) for row in rows], dtype=np.int64)
        probabilities = np.array([[float(row[name]) for name in columns] for row in rows])
    except ValueError as error:
        raise UserError(f"{path}: {error}; make it again with python -m trainer evaluate") from error
    return rows, JudgedImages(
        classes, truth, probabilities, [person(row.get("site", ""), row["patient"]) for row in rows]
    )


def compare(first: Run, second: Run) -> Difference:
    """Macro F1 of two runs on the test images that both have.

    Raises:
        UserError: they share no test image, differ in classes, or one is not evaluated.
    """
    (classes, ours), (other_classes, theirs) = (_predicted(run) for run in (first, second))
    shared = sorted(ours.keys() & theirs.keys())
    if classes != other_classes or not shared:
        raise UserError(f"report: {first.name} and {second.name} share no test image; compare runs on the same split")
    truth = np.array([classes.index(label) for _, label in shared])
    predicted = [np.array([side[image][0] for image in shared]) for side in (ours, theirs)]
    patients = [ours[image][1] for image in shared]
    once = np.ones((1, len(shared)))
    return Difference(
        first=first.name,
        second=second.name,
        images=len(shared),
        first_macro_f1=float(macro_f1(truth, predicted[0], len(classes), once)[0]),
        second_macro_f1=float(macro_f1(truth, predicted[1], len(classes), once)[0]),
        difference=paired_difference(truth, predicted[0], predicted[1], len(classes), patients),
    )


def _predicted(run: Run) -> tuple[list[str], dict[tuple[str, str], tuple[int, str]]]:
    """A run's classes; and of each test image, by path and label, the class that it was given, and the patient."""
    classes = read_training(run).classes
    rows, judged = read_predictions(run.predictions, classes)
    predicted = judged.probabilities.argmax(axis=1).tolist()
    return classes, {
        (row["path"], row["label"]): (guess, patient)
        for row, guess, patient in zip(rows, predicted, judged.patients, strict=True)
    }
