"""Folders and tables that nobody would make on purpose: ``fetch`` takes, lists or refuses each file, in one line."""

import contextlib
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from bento.imaging.errors import ImageError
from bento.imaging.intake import read_radiograph
from tests.support import datasets, pictures
from tests.support.dicoms import dicom
from tests.support.fuzzing import images, mutated
from trainer.data.fetch import fetch
from trainer.data.fetch_report import read_fetch_report
from trainer.data.housekeeping import shown
from trainer.data.raw import read_raw
from trainer.data.split import split
from trainer.errors import UserError

SECONDS = 10.0
files = images | st.just(dicom(pictures.radiograph())).flatmap(mutated)
names = st.sampled_from((
    "a.png", "a", "A.PNG", "b.jfif", "c.dcm", "IM0001", "d\u202fe.png", "\u00e9.png", "e\u0301.png", "Thumbs.db",
    "._a.png", ".hidden", "@eaDir/a.png", "masks/a.png", "deep/er/a.png", "tab\t.png", "\udcff.png", "\udcfe.png",
    "x" * 250, "~$a.docx",
)) | st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..")
)  # fmt: skip
cells = st.sampled_from(
    ["N/a.png", "N/a", "T/good0.png", "N/good1.png", ".\\N\\good0.png", "N", "T", "n", "", "7", "\x00", "é"]
)
headers = st.sampled_from(["path", "label", "Patient ID", "patient", "site", "source", "split", "hospital", "PATH", ""])


def within_seconds(test: Callable[..., None]) -> Callable[..., None]:
    """End a test of many examples after a while, at whatever number it is."""
    began: list[float] = []

    @wraps(test)
    def bounded(*arguments: Any, **named: Any) -> None:
        began.append(time.monotonic())
        if began[-1] - began[0] < SECONDS:
            test(*arguments, **named)

    return bounded


def good(root: Path) -> None:
    for label in "NT":
        for number in range(3):
            datasets.radiograph(root / label / f"good{number}.png", number + 10 * (label == "T"))


def check(root: Path, data: Path) -> None:
    """Every file of the folder is taken or named, and a refusal is one line."""
    wanted = datasets.settings(root, data)
    refusal = ""
    try:
        fetch(wanted)
    except UserError as error:
        refusal = str(error)
    event("refused" if refusal else "taken")
    if refusal:
        assert "\n" not in refusal
        assert list(data.parent.iterdir()) == [root]
        return
    report = read_fetch_report(data)
    assert report is not None
    taken = {record.original for record in read_raw(data)}
    for file in root.rglob("*"):
        path = file.relative_to(root).as_posix()
        if file.is_dir() or path == "manifest.csv":
            continue
        path = shown(path)
        left_out = any(path == item or path.startswith(f"{item}/") for item in report.left_out)
        assert (path in taken) + (path in report.unreadable) + left_out == 1, path
        if path in report.unreadable and "the file's name" not in report.unreadable[path]:
            assert not _reads(file)
        assert path not in taken or _reads(file)
    with contextlib.suppress(UserError):
        split(wanted)


def _reads(file: Path) -> bool:
    try:
        read_radiograph(file, 64)
    except ImageError:
        return False
    return True


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.tuples(st.sampled_from("NT"), names), files, max_size=6))
@within_seconds
def test_no_file_of_a_folder_is_lost_or_ends_it(contents: dict[tuple[str, str], bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "set")
        good(root)
        for (label, name), content in contents.items():
            file = root / label / name
            with contextlib.suppress(OSError, UnicodeEncodeError):  # a folder of that name, or no name of a file
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
        check(root, Path(folder, "data"))


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """A table of good rows with further columns and rows, of several encodings, mostly mutated."""
    columns = draw(st.lists(headers, max_size=5))
    rows = draw(st.lists(st.lists(cells, min_size=1, max_size=7), max_size=4))
    listed = [["path", "label", *columns]] + [
        [f"{label}/good{number}.png", label, *["7"] * len(columns)] for label in "NT" for number in range(2)
    ]
    separator = draw(st.sampled_from([",", ";", "\t"]))
    text = "".join(separator.join(row) + "\r\n" for row in [*listed, *rows])
    table = text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"])), "replace")
    return draw(mutated(table))


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(tables())
@within_seconds
def test_no_table_loses_a_file_or_ends_it(table: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "set")
        good(root)
        (root / "manifest.csv").write_bytes(table)
        check(root, Path(folder, "data"))
