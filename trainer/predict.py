"""Prediction from the shell with a stored model: the same intake, graph and numbers as the service's."""

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, TextIO

import bentoml
from bentoml.exceptions import BentoMLException
from tqdm import tqdm

from bento.artifact import ArtifactError
from bento.images import ImageError
from bento.predictor import Predictor
from trainer.errors import UserError
from trainer.evaluate import classify

SUFFIXES = {".jpg", ".jpeg", ".png", ".dcm", ".dicom"}


def stored_model(tag: str) -> Predictor:
    """Open a model of the BentoML model store.

    Raises:
        UserError: it is not there, or damaged.
    """
    try:
        return Predictor(Path(bentoml.models.get(tag).path), threads=1)
    except ArtifactError as error:
        raise UserError(str(error)) from error
    except (BentoMLException, ValueError) as error:
        raise UserError(
            f"model {tag}: not in the model store; see bentoml models list, or make one with python -m trainer"
        ) from error


def image_files(paths: Sequence[Path]) -> list[Path]:
    """Files as given, and the JPEG, PNG and DICOM files in and below the folders given.

    Raises:
        UserError: a path that does not exist, or no image in a folder.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            if not found:
                raise UserError(f"{path}: no JPEG, PNG or DICOM file in this folder")
            files += found
        elif path.exists():
            files.append(path)
        else:
            raise UserError(f"{path}: no such file or folder")
    return files


def predict(
    paths: Sequence[Path],
    tag: str,
    form: Literal["table", "csv", "json"],
    workers: int,
    out: TextIO = sys.stdout,
) -> int:
    """Print each file's probabilities; an unreadable file gets its reason instead.

    Returns:
        Number of unreadable files.

    Raises:
        UserError: no such path or model.
    """
    predictor = stored_model(tag)
    classes = predictor.manifest.classes
    files = image_files(paths)
    failed = 0

    def rows() -> Iterator[dict[str, object]]:
        nonlocal failed
        results = classify(files, predictor.session, predictor.manifest.preprocessing, workers)
        for file, result in tqdm(
            results, total=len(files), desc="predict", leave=False, disable=len(files) < 50
        ):
            if isinstance(result, ImageError):
                failed += 1
                yield {"path": str(file), "label": "", **dict.fromkeys(classes, ""), "error": str(result)}
            else:
                scores = {name: float(value) for name, value in zip(classes, result, strict=True)}
                yield {"path": str(file), "label": max(scores, key=scores.__getitem__), **scores, "error": ""}

    if form == "json":
        for row in rows():
            print(json.dumps(row, ensure_ascii=False), file=out)
    elif form == "csv":
        writer = csv.DictWriter(out, ["path", "label", *classes, "error"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows())
    else:
        _print_table(rows(), classes, max(len(str(file)) for file in files), out)
    return failed


def _print_table(rows: Iterator[dict[str, object]], classes: list[str], width: int, out: TextIO) -> None:
    print(f"{'file':{width}}  {'label':14}" + "".join(f"  {name:>12}" for name in classes), file=out)
    for row in rows:
        if row["error"]:
            print(f"{row['path']:{width}}  {row['error']}", file=out)
        else:
            cells = "".join(f"  {row[name]:12.4f}" for name in classes)
            print(f"{row['path']:{width}}  {row['label']:14}{cells}", file=out)
