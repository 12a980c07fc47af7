"""Evaluation by the sealed model itself, through the service's own intake: what is measured is what is served."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bento.artifact import TestMetrics
from bento.images import ImageError, Preprocessing, load_array
from bento.predictor import Session
from trainer.arrays import Array
from trainer.device import cores
from trainer.errors import UserError
from trainer.files import write_json, write_text
from trainer.folder import Film
from trainer.metrics import compute_metrics, metrics_table

CHUNK = 8


@dataclass(frozen=True)
class Evaluation:
    """Predictions of all readable films, and their figures."""

    classes: list[str]
    films: list[Film]
    probabilities: Array
    """``float32`` N×C."""
    unreadable: dict[str, str]
    """Path to reason, of films that were left out."""

    @property
    def truth(self) -> Array:
        """N class indices."""
        return np.array([self.classes.index(film.label) for film in self.films], dtype=np.int64)

    @property
    def metrics(self) -> TestMetrics:
        """Figures over all films."""
        return compute_metrics(self.truth, self.probabilities, self.classes)

    @property
    def metrics_by_source(self) -> dict[str, TestMetrics]:
        """Figures of each source, where the data name any."""
        sources = np.array([film.source for film in self.films])
        return {
            str(source): compute_metrics(
                self.truth[sources == source], self.probabilities[sources == source], self.classes
            )
            for source in sorted(set(sources) - {""})
        }


def classify(
    files: Sequence[Path], session: Session, spec: Preprocessing, workers: int = 0
) -> Iterator[tuple[Path, Array | ImageError]]:
    """Each file's ``float32`` probabilities C, or why it can't be read, in the order given.

    Decoding and inference run in threads, both without Python's lock; memory does not grow with the number of files.
    """

    def judge(chunk: Sequence[Path]) -> list[Array | ImageError]:
        results: list[Array | ImageError] = []
        for file in chunk:
            try:
                image = load_array(file, spec)
            except ImageError as error:
                results.append(error)
            except OSError as error:
                results.append(ImageError(error.strerror or str(error)))
            else:
                results.append(session.predict(image[None]).probabilities[0])
        return results

    threads = workers or cores()
    with ThreadPoolExecutor(threads) as pool:
        window = CHUNK * threads * 4
        for start in range(0, len(files), window):
            part = files[start : start + window]
            chunks = [part[i : i + CHUNK] for i in range(0, len(part), CHUNK)]
            for chunk, results in zip(chunks, pool.map(judge, chunks), strict=True):
                yield from zip(chunk, results, strict=True)


def evaluate_films(
    films: Sequence[Film],
    classes: list[str],
    session: Session,
    spec: Preprocessing,
    workers: int = 0,
    note: Callable[[str], None] = print,
) -> Evaluation:
    """Judge every film; unreadable ones are left out and listed.

    Raises:
        UserError: a label that the model does not know, or nothing readable.
    """
    unknown = sorted({film.label for film in films} - set(classes))
    if unknown:
        raise UserError(f"label {unknown[0]!r} is none of the model's classes ({', '.join(classes)})")
    kept: list[Film] = []
    rows: list[Array] = []
    unreadable: dict[str, str] = {}
    results = classify([film.file for film in films], session, spec, workers)
    for film, (_, result) in zip(
        films, tqdm(results, total=len(films), desc="evaluate", leave=False), strict=True
    ):
        if isinstance(result, ImageError):
            unreadable[film.path] = str(result)
        else:
            kept.append(film)
            rows.append(result)
    if not kept:
        raise UserError("none of the images can be read")
    if unreadable:
        note(f"{len(unreadable)} unreadable images are left out; metrics.json lists them")
    return Evaluation(classes, kept, np.stack(rows), unreadable)


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write ``metrics.json`` and ``predictions.csv``."""
    folder.mkdir(parents=True, exist_ok=True)
    by_source = {source: figures.model_dump() for source, figures in evaluation.metrics_by_source.items()}
    document = {
        "test": evaluation.metrics.model_dump(),
        "by_source": by_source,
        "unreadable": evaluation.unreadable,
    }
    write_text(folder / "predictions.csv", _predictions_csv(evaluation))
    write_json(folder / "metrics.json", document)


def _predictions_csv(evaluation: Evaluation) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["path", "label", "source", "patient", "split", *evaluation.classes])
    for film, row in zip(evaluation.films, evaluation.probabilities, strict=True):
        writer.writerow(
            [film.path, film.label, film.source, film.patient, film.split, *(f"{value:.8g}" for value in row)]
        )
    return stream.getvalue()


def evaluation_tables(evaluation: Evaluation, title: str) -> str:
    """The figures over all and for each source, as text."""
    parts = [metrics_table(title, evaluation.metrics)]
    parts += [
        metrics_table(f"source {name}", figures) for name, figures in evaluation.metrics_by_source.items()
    ]
    return "\n\n".join(parts)
