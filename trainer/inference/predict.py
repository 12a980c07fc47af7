"""Prediction from the command line with a stored model: by the service's own intake and graph, with its numbers."""

import hashlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

from PIL import Image
from tqdm import tqdm

from bento.artifact import Manifest
from bento.imaging.errors import ImageError
from bento.imaging.intake import Intake
from bento.inference.session import Prediction, Predictor
from trainer.errors import UserError
from trainer.files import write_bytes
from trainer.inference.image_names import NEEDS_EXTRA, Source, given_images
from trainer.inference.image_stream import each_intake
from trainer.inference.judge import Answer, judge
from trainer.inference.model_store import stored_folder, stored_model
from trainer.inference.output_formats import ERRORS, KEPT, Table, answer_file
from trainer.settings import PredictSettings

if TYPE_CHECKING:
    import pyarrow

Write = Callable[[str, Answer | ImageError], None]

PARQUET = ".parquet"
"""Ending of ``--out`` that asks for a folder of Parquet files."""
PICTURE_SIDE = 512
"""Longest side of an overlay in pixels."""
STEM = 40
"""Most characters of an image's name in the name of its overlay."""
FEW = 50
"""Number of files from which on a progress bar is shown."""
MANY = 10_000
"""Number of files from which on a cluster is worth its start."""


def predict(settings: PredictSettings) -> int:
    """Write what the model says of each file, in the given order, or why the file can't be read.

    On a Ray cluster the order is that in which answers come.

    Returns:
        Number of unreadable files among all that were given, also those of an earlier call with the same ``out``.

    Raises:
        UserError: no such path or model, ``out`` holds other things than these answers, or settings that do not go
            together.
        KeyboardInterrupt: with a line that tells the user how to go on.
    """
    _check(settings)
    predictor = stored_model(settings.model)
    notes: list[str] = []
    files = given_images(settings.files, notes.append)
    with _output(settings, predictor.manifest, files) as output:
        if settings.explain is not None:
            _make_folder(settings.explain, settings.files)
        for note in notes:
            print(note, file=sys.stderr)
        rest = [file for file in files if str(file) not in output.known]
        failed = sum(output.known.get(str(file), False) for file in files)
        if len(rest) < len(files):
            done = f"{len(files) - len(rest):,} of the {len(files):,} files"
            print(f"{settings.out}: has {done} already; they are skipped", file=sys.stderr)
        if not rest:
            return failed
        try:
            return failed + output.run(settings, predictor, rest)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(output.interrupted) from None


def _check(settings: PredictSettings) -> None:
    """Refuse settings that do not go together."""
    parquet = settings.out is not None and settings.out.suffix == PARQUET
    if settings.ray is not None and not parquet:
        raise UserError(f"--ray writes Parquet: give --out NAME{PARQUET} with it")
    if settings.ray is not None and settings.explain is not None:
        raise UserError("--ray draws no heat maps: leave --explain out")
    if settings.ray is not None:
        try:
            from trainer.inference.ray_cluster import check_address
        except ImportError as error:
            raise UserError(f"--ray {NEEDS_EXTRA}") from error
        check_address(settings.ray)
    if parquet and settings.format != "table":
        raise UserError(f"--out {settings.out}: a name in {PARQUET}, but --format {settings.format}; give one of them")
    if settings.out is not None and not parquet and settings.format == "table":
        raise UserError(f"--out keeps answers for programs: give --format csv or json with it, or a name in {PARQUET}")


@dataclass(frozen=True)
class _Output:
    run: Callable[[PredictSettings, Predictor, Sequence[Source]], int]
    """Judges files and writes what the model says; gives the number of those that could not be read."""
    known: dict[str, bool]
    """For each file that has a line already, whether it could not be read."""
    interrupted: str
    """Line for the user in case of an interrupt."""


@contextmanager
def _output(settings: PredictSettings, manifest: Manifest, files: Sequence[Source]) -> Iterator[_Output]:
    form, out = settings.format, settings.out
    hint = f"interrupted; {out} has what is finished, and the same command goes on with the rest"
    if out is None:
        lines = Table(manifest, [str(file) for file in files]) if form == "table" else KEPT[form](manifest)
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors=ERRORS)
        sys.stdout.write(lines.head)
        hint = "interrupted; with --out FILE, the same command could go on where it was"
        yield _Output(partial(_in_threads, _to_stream(lines.line, sys.stdout), sys.stdout.isatty()), {}, hint)
    elif out.suffix == PARQUET:
        try:
            from trainer.inference.parquet_answers import answer_folder
        except ImportError as error:
            raise UserError(f"--out {out}: Parquet {NEEDS_EXTRA}") from error
        with answer_folder(out, manifest, [str(file) for file in files]) as folder:
            run = partial(_in_threads, folder.write, False) if settings.ray is None else partial(_on_ray, folder.add)
            yield _Output(run, folder.known, hint)
    else:
        kept = KEPT[form](manifest)
        with answer_file(out, kept, manifest.model_version) as (stream, known):
            yield _Output(partial(_in_threads, _to_stream(kept.line, stream), stream.isatty()), known, hint)


def _to_stream(line: Callable[[str, Answer | ImageError], str], stream: TextIO) -> Write:
    def write(file: str, result: Answer | ImageError) -> None:
        stream.write(line(file, result))
        # A killed process leaves whole lines, and a reader at the end of a pipe gets them at once.
        stream.flush()

    return write


def _in_threads(
    write: Write, terminal: bool, settings: PredictSettings, predictor: Predictor, files: Sequence[Source]
) -> int:
    """Judge in this process, and write each answer as soon as it is known, in the order of the files."""
    failed = 0

    def answer(file: Source, taken: Intake) -> Answer:
        given, prediction = judge(predictor, taken)
        if settings.explain is not None:
            _draw(settings.explain / picture_name(file), taken, prediction)
        return given

    # On a terminal, the lines themselves show how far it is.
    with (
        closing(each_intake(files, predictor.manifest.preprocessing, answer, settings.workers)) as results,
        _bar(len(files), terminal) as bar,
    ):
        for file, result in results:
            write(str(file), result)
            failed += isinstance(result, ImageError)
            bar.update()
    return failed


def _bar(total: int, hidden: bool = False) -> "tqdm[NoReturn]":
    # None: only where standard error is a terminal.
    return tqdm(total=total, desc="predict", leave=False, disable=True if total < FEW or hidden else None)


def _on_ray(
    add: Callable[["pyarrow.Table"], None], settings: PredictSettings, predictor: Predictor, files: Sequence[Source]
) -> int:
    """Judge on a Ray cluster, and keep answers as they come."""
    from trainer.inference.ray_archive import Job, judged_on_ray

    if len(files) < MANY:
        print(f"{len(files):,} files: below {MANY:,}, the command without --ray is done sooner", file=sys.stderr)
    predictor.release()
    failed = 0
    job = Job(stored_folder(settings.model), [str(file) for file in files], settings.workers or 1)
    with closing(judged_on_ray(str(settings.ray), job)) as tables, _bar(len(files)) as bar:
        for table in tables:
            add(table)
            failed += table.num_rows - table["error"].null_count
            bar.update(table.num_rows)
    return failed


def _make_folder(explain: Path, paths: Sequence[str]) -> None:
    for path in map(Path, paths):
        if path.is_dir() and explain.resolve().is_relative_to(path.resolve()):
            raise UserError(f"--explain {explain}: lies in {path}, whose images are read; give another folder")
    explain.mkdir(parents=True, exist_ok=True)


def picture_name(file: Source) -> str:
    """Name of an image's heat map: the image's own, and a hash of its path, since folders may have the same names."""
    digest = hashlib.sha256(os.fsencode(file.absolute() if isinstance(file, Path) else file)).hexdigest()
    return f"{Path(file).stem[:STEM]}-{digest[:16]}.png"


def _draw(path: Path, taken: Intake, prediction: Prediction) -> None:
    from bento.inference.overlays import overlay

    radiograph = taken.radiograph.copy()
    radiograph.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BILINEAR)
    stream = io.BytesIO()
    top = int(prediction.probabilities[0].argmax())
    overlay(radiograph, prediction.cam[0, top], taken.frame).save(stream, "PNG", compress_level=1)
    write_bytes(path, stream.getvalue())
