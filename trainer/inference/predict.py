"""Prediction from the command line with a stored model: by the service's own intake and graph, with its numbers."""

import codecs
import hashlib
import io
import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from PIL import Image
from tqdm import tqdm

from bento.artifact import Manifest
from bento.imaging.errors import EmptyImageError, ImageError, UnknownFormatError
from bento.imaging.intake import Intake, is_dicom, open_image
from bento.inference.answer import PredictResponse
from bento.inference.input_warnings import assess_input
from bento.inference.session import Prediction
from trainer.data.folder import LeftOut, Listing, files_under
from trainer.errors import UserError
from trainer.files import find_path, write_bytes
from trainer.inference.image_stream import each_intake
from trainer.inference.model_store import stored_model
from trainer.inference.output_formats import ERRORS, KEPT, Answer, Csv, JsonLines, Table, answer_file

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".dcm", ".dicom"}
"""Names of files in folders that are images even where their content is not; of other names the content decides."""
NO_IMAGE = "that are no JPEG, PNG or DICOM images"
STANDARD_INPUT = Path("-")
PICTURE_SIDE = 512
"""Longest side of an overlay in pixels."""
STEM = 40
"""Most characters of an image's name in the name of its overlay."""
FEW = 50
"""Number of files from which on a progress bar is shown."""

Results = Generator[tuple[Path, Answer | ImageError]]


def image_files(paths: Sequence[Path], note: Callable[[str], None]) -> list[Path]:
    """Files as given, the JPEG, PNG and DICOM files in and below the folders, and for ``-`` those of standard input.

    Args:
        paths: files and folders.
        note: is told of other files in the folders, which are left out.

    Raises:
        UserError: a path that does not exist, or no image in a folder.
    """
    files: list[Path] = []
    for given in paths:
        path = find_path(given)
        if path == STANDARD_INPUT:
            files += _names_on_standard_input()
        elif path.is_dir():
            files += _images_in(path, note)
        elif path.exists():
            files.append(path)
        else:
            raise UserError(f"{path}: no such file or folder")
    return list(dict.fromkeys(files))


def _images_in(folder: Path, note: Callable[[str], None]) -> list[Path]:
    """The images of a folder, readable or not; ``note`` is told of other files."""
    files, left_out = files_under(folder)
    images = [file for file in files if _is_image(file)]
    if not images:
        raise UserError(f"{folder}: no JPEG, PNG or DICOM file in this folder")
    others = set(files) - set(images)
    left_out += [LeftOut(file.relative_to(folder).as_posix(), NO_IMAGE) for file in files if file in others]
    for line in Listing([], left_out).lines():
        note(f"{folder}: {line}")
    return images


def _is_image(file: Path) -> bool:
    """Whether its name or its first bytes say that a file is an image."""
    try:
        if file.suffix.lower() not in SUFFIXES and not is_dicom(file):
            open_image(file).close()
    except (UnknownFormatError, EmptyImageError):
        return False
    except (ImageError, OSError):
        pass  # an image that can't be read: its line says why
    return True


def _names_on_standard_input() -> list[Path]:
    """File names, one per line or as ``find -print0`` writes them; whether they exist is found out later."""
    names = sys.stdin.buffer.read()
    if names.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as PowerShell writes a file
        names = names.decode("utf-16", "replace").encode("utf-8", "replace")
    names = names.removeprefix(codecs.BOM_UTF8)
    lines = names.split(b"\0") if b"\0" in names else names.splitlines()
    files = [find_path(Path(os.fsdecode(line))) for line in lines if line.strip()]
    if not files:
        raise UserError("standard input: names no file; it takes one file name a line")
    return files


def predict(
    paths: Sequence[Path],
    tag: str,
    form: Literal["table", "csv", "json"],
    workers: int = 0,
    out: Path | None = None,
    explain: Path | None = None,
) -> int:
    """Write what the model says of each file, in the given order, or why the file can't be read.

    Args:
        paths: see :func:`image_files`.
        tag: of the model.
        form: of the output.
        workers: threads; 0: one more than there are cores.
        out: file for the lines instead of standard output; files that it has already are left out.
        explain: folder for a heat map of each image; see :func:`picture_name`.

    Returns:
        Number of unreadable files among all that were given, also those of an earlier call with the same ``out``.

    Raises:
        UserError: no such path or model, or ``out`` holds other things than these answers.
        KeyboardInterrupt: with a line that tells the user how to go on.
    """
    predictor = stored_model(tag)
    manifest = predictor.manifest
    notes: list[str] = []
    files = image_files(paths, notes.append)

    def judge(file: Path, taken: Intake) -> Answer:
        prediction = predictor.predict(taken.image[None])
        if explain is not None:
            _draw(explain / picture_name(file), taken, prediction)
        probabilities = prediction.probabilities[0]
        scores = {name: float(value) for name, value in zip(manifest.classes, probabilities, strict=True)}
        assessment = assess_input(taken, prediction, manifest)
        return Answer(PredictResponse.of(probabilities, assessment, manifest), scores)

    with _output(form, out, manifest, files) as output:
        if explain is not None:
            _make_folder(explain, paths)
        for note in notes:
            print(note, file=sys.stderr)
        rest = [file for file in files if str(file) not in output.known]
        failed = sum(output.known.get(str(file), False) for file in files)
        if len(rest) < len(files):
            done = f"{len(files) - len(rest):,} of the {len(files):,} files"
            print(f"{out}: has {done} already; they are skipped", file=sys.stderr)
        results = each_intake(rest, manifest.preprocessing, judge, workers)
        return failed + _write(results, len(rest), output)


@dataclass(frozen=True)
class _Output:
    lines: Table | Csv | JsonLines
    stream: TextIO
    known: dict[str, bool]
    """For each file that has a line already, whether it could not be read."""
    interrupted: str
    """Line for the user in case of an interrupt."""


@contextmanager
def _output(
    form: Literal["table", "csv", "json"], out: Path | None, manifest: Manifest, files: Sequence[Path]
) -> Iterator[_Output]:
    if out is None:
        lines = Table(manifest, [str(file) for file in files]) if form == "table" else KEPT[form](manifest)
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors=ERRORS)
        sys.stdout.write(lines.head)
        hint = "interrupted; with --out FILE, the same command could go on where it was"
        yield _Output(lines, sys.stdout, {}, hint)
    elif form == "table":
        raise UserError("--out keeps answers for programs: give --format csv or json with it")
    else:
        kept = KEPT[form](manifest)
        hint = f"interrupted; {out} has what is finished, and the same command goes on with the rest"
        with answer_file(out, kept, manifest.model_version) as (stream, known):
            yield _Output(kept, stream, known, hint)


def _write(results: Results, total: int, output: _Output) -> int:
    """Write each line as soon as it is known; returns the number of files that could not be read."""
    failed = 0
    # None: only where standard error is a terminal. On a terminal, the lines themselves show how far it is.
    quiet = True if total < FEW or output.stream.isatty() else None
    try:
        with closing(results):
            for file, result in tqdm(results, total=total, desc="predict", leave=False, disable=quiet or None):
                output.stream.write(output.lines.line(str(file), result))
                # A killed process leaves whole lines, and a reader at the end of a pipe gets them at once.
                output.stream.flush()
                failed += isinstance(result, ImageError)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(output.interrupted) from None
    return failed


def _make_folder(explain: Path, paths: Sequence[Path]) -> None:
    for path in paths:
        if path.is_dir() and explain.resolve().is_relative_to(path.resolve()):
            raise UserError(f"--explain {explain}: lies in {path}, whose images are read; give another folder")
    explain.mkdir(parents=True, exist_ok=True)


def picture_name(file: Path) -> str:
    """Name of an image's heat map: the image's own, and a hash of its path, since folders may have the same names."""
    digest = hashlib.sha256(os.fsencode(file.absolute())).hexdigest()
    return f"{file.stem[:STEM]}-{digest[:16]}.png"


def _draw(path: Path, taken: Intake, prediction: Prediction) -> None:
    from bento.inference.overlays import overlay

    radiograph = taken.radiograph.copy()
    radiograph.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BILINEAR)
    stream = io.BytesIO()
    top = int(prediction.probabilities[0].argmax())
    overlay(radiograph, prediction.cam[0, top], taken.frame).save(stream, "PNG", compress_level=1)
    write_bytes(path, stream.getvalue())
