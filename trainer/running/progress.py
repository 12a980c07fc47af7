"""What a long command shows while it works: lines of what is done and, on a terminal, one bar with the time left."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

# tqdm's own one is a semaphore of the system, which a process that is killed leaves behind.
tqdm.set_lock(threading.RLock())

BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed} passed, {remaining} left"
Advance = Callable[[float], None]
"""Tells how many more units of a task are done."""


def leading() -> bool:
    """Whether this process is the one, of those that torchrun has started, that talks."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """Print a line at once, above the bar where there is one."""
    if leading():
        with tqdm.external_write_mode():
            print(text, flush=True)


class _WholeBar:
    """One bar over several tasks, as long as the seconds that they are expected to take."""

    def __init__(self) -> None:
        # Without smoothing: the time left follows from all of the time passed.
        self.bar = _bar(total=1, bar_format=BAR, smoothing=0)
        self.left: dict[str, float] = {}
        """Seconds of each task that is still to come, in their order."""

    def expect(self, seconds: Mapping[str, float]) -> None:
        self.left |= seconds
        self._resize()

    def begin(self, name: str, units: float) -> Advance:
        while name in self.left and (passed := next(iter(self.left))) != name:
            del self.left[passed]  # it was not needed, or ended early
        each = self.left.get(name, 0.0) / max(units, 1e-9)
        self.bar.set_description_str(name, refresh=False)
        self._resize()

        def advance(count: float) -> None:
            if name in self.left:
                step = min(each * count, self.left[name])
                self.left[name] -= step
                self.bar.update(step)

        return advance

    def _resize(self) -> None:
        self.bar.total = self.bar.n + sum(self.left.values())
        self.bar.refresh()


_whole: _WholeBar | None = None


@contextmanager
def whole_command() -> Iterator[None]:
    """One bar for all tasks of the block, in place of one for each; inside another such block, the other's."""
    global _whole
    if _whole is not None:
        yield
        return
    _whole = _WholeBar()
    try:
        yield
    finally:
        bar, _whole = _whole.bar, None
        bar.close()


def expect(seconds: Mapping[str, float]) -> None:
    """Tell the bar of the whole command which tasks follow, and how long they take; only the proportions matter."""
    if _whole is not None:
        _whole.expect(seconds)


@contextmanager
def task(name: str, units: float | None = None) -> Iterator[Advance]:
    """A task of the command, which takes so many units; what it gives is told how many more are done.

    One without units is done when the block ends. A task is a part of the bar of the whole command where there is one,
    and otherwise has a bar of its own.
    """
    if _whole is not None:
        advance = _whole.begin(name, units or 1)
        yield advance
        if units is None:
            advance(1)
        return
    with _bar(total=units, desc=name) as bar:

        def advance(count: float) -> None:
            bar.update(count)

        yield advance


def _bar(**options: Any) -> "tqdm[Any]":
    """Silent where standard error is no terminal: a log or a notebook would get a line for each step."""
    return tqdm(**options, leave=False, dynamic_ncols=True, disable=None if leading() else True)
