"""Progress: lines in a log, one bar with the time left on a terminal."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from tests.support.server import ROOT
from trainer.running.progress import expect, say, task, whole_command

CODE = """
import time
from trainer.running.progress import expect, say, task, whole_command

with whole_command():
    expect({"decoding": 5.0, "training": 1.0, "judging": 1.0})
    with whole_command(), task("training", units=4) as advance:
        for epoch in range(4):
            time.sleep(0.15)
            advance(1)
            say(f"epoch {epoch}")
    with task("judging"):
        time.sleep(0.15)
print("end")
"""


def shown(environment: dict[str, str], terminal: bool) -> str:
    """What standard output and error of :data:`CODE` get together."""
    command = [sys.executable, "-c", CODE]
    if not terminal:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
        )
        return done.stdout
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=theirs, stderr=theirs)
    os.close(theirs)
    output = b""
    try:
        while part := os.read(ours, 65536):
            output += part
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait(30) == 0
    return output.decode()


def test_a_log_gets_the_lines_and_nothing_else() -> None:
    assert shown(dict(os.environ), terminal=False) == "epoch 0\nepoch 1\nepoch 2\nepoch 3\nend\n"


def test_a_terminal_shows_one_bar_with_the_time_left_that_is_gone_at_the_end() -> None:
    output = shown(dict(os.environ), terminal=True)
    bars = re.findall(r"(training|judging) +(\d+)%\|[^|]*\| \d\d:\d\d passed, (\?|\d\d:\d\d) left", output)
    percentages = [int(percentage) for _, percentage, _ in bars]
    assert percentages == sorted(percentages)
    # What is passed over (decoding) is no part of the whole: two tasks of a second each are left.
    assert {"50"} <= {percentage for _, percentage, _ in bars}
    assert bars[-1][0] == "judging"
    last = output.rstrip("\r\n").split("\r")
    assert last[-1].endswith("end")
    assert last[-2].strip() == ""  # the bar is wiped


def test_only_the_first_of_several_processes_talks() -> None:
    assert shown(os.environ | {"RANK": "1"}, terminal=False) == "end\n"
    assert "left" not in shown(os.environ | {"RANK": "1"}, terminal=True)


def test_a_task_that_fails_leaves_no_bar_behind() -> None:
    with pytest.raises(OSError, match="full"), whole_command(), task("a"):
        raise OSError("full")
    expect({"b": 1.0})  # of no command: nothing to show
    with task("b", units=2) as advance:
        advance(2)
    say("c")
