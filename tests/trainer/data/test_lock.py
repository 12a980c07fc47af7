"""Two commands never change one data folder at a time: the second one waits and says for whom."""

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from tests.support.datasets import contents, radiographs, settings
from trainer.data.fetch import fetch
from trainer.data.lock import LOCK_FILE, locked
from trainer.data.split import split
from trainer.errors import UserError

PROGRAM = (
    "import sys; from trainer.settings import Settings; from trainer.data.fetch import fetch; "
    "from trainer.data.split import split; print('ready', flush=True); sys.stdin.readline(); "
    "settings = Settings(dataset=sys.argv[1], data_dir=sys.argv[2]); fetch(settings); split(settings)"
)


def test_two_at_once_into_one_folder_both_end_well_and_as_one_alone(tmp_path: Path) -> None:
    folder = radiographs(tmp_path / "set", *(f"{label}/{number}.png" for label in "NT" for number in range(100)))
    alone = settings(folder, tmp_path / "alone")
    fetch(alone)
    split(alone)
    for attempt in range(2):
        data = tmp_path / f"data{attempt}"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [sys.executable, "-c", PROGRAM, str(folder), str(data)]
        both = [subprocess.Popen(command, text=True, **pipes) for _ in range(2)]  # type: ignore[call-overload]
        for process in both:
            assert process.stdout.readline() == "ready\n"
        for process in both:
            process.stdin.write("\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=120) for process in both]
        assert [process.returncode for process in both] == [0, 0], outputs
        assert contents(data) == contents(tmp_path / "alone")


def test_the_second_one_waits_and_says_who_has_the_folder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    order = []

    def second() -> None:
        with locked(tmp_path / "data"):
            order.append("second")

    with locked(tmp_path / "data"):
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.5)
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]
    said = capfd.readouterr().out
    assert f"{tmp_path / 'data'}: waits for process {os.getpid()} on " in said
    assert "(since 2" in said


def test_nothing_stays_after_an_error_or_a_keyboard_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = radiographs(tmp_path / "set", "N/a.png", "T/b.png")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainer.data.raw.sha256_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(settings(folder, tmp_path / "deep/data"))
    assert list(tmp_path.iterdir()) == [folder]


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    program = "import sys, time; from trainer.data.lock import locked; from pathlib import Path\n"
    program += "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.kill()
    process.wait()
    process.stdout.close()
    with locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_only_read_needs_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = radiographs(tmp_path / "set", "N/a.png", "T/b.png")
    wanted = settings(folder, tmp_path / "data")
    report = fetch(wanted)

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path / "data" / LOCK_FILE))

    monkeypatch.setattr(FileLock, "acquire", read_only)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert fetch(wanted) == report
    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(UserError, match=rf"{tmp_path / 'data'}.*: Read-only file system"):
        fetch(wanted.model_copy(update={"dataset": "sample", "replace": True}))
