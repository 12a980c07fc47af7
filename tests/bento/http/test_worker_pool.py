"""Work in threads: alone while threads are free, two together under load, and each outcome to whom it belongs."""

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from bento.http.worker_pool import WorkerPool

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Work:
    """Doubles numbers; holds every pass until it is let go."""

    def __init__(self) -> None:
        self.passes: list[list[int]] = []
        self.go = threading.Event()

    def prepare(self, number: int) -> int:
        if number < 0:
            raise ValueError(f"{number} is negative")
        return number

    def finish(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.passes.append(list(numbers))
        assert self.go.wait(10)
        return [KeyError(number) if number == 13 else 2 * number for number in numbers]


async def begun(work: Work, count: int) -> None:
    """Wait until that many passes have begun."""
    deadline = time.monotonic() + 5
    while len(work.passes) < count:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_what_threads_are_free_for_is_done_alone() -> None:
    work = Work()
    threads = WorkerPool(2, work.prepare, work.finish)
    tasks = [asyncio.create_task(threads.run(number)) for number in (1, 2)]
    await begun(work, 2)
    work.go.set()
    assert await asyncio.gather(*tasks) == [2, 4]
    assert sorted(work.passes) == [[1], [2]]


async def test_under_load_two_share_a_pass_and_each_gets_its_own() -> None:
    work = Work()
    threads = WorkerPool(2, work.prepare, work.finish)
    first = [asyncio.create_task(threads.run(number)) for number in (1, 2)]
    await begun(work, 2)  # both threads are taken
    rest = [asyncio.create_task(threads.run(number)) for number in range(3, 10)]
    await asyncio.sleep(0.05)
    work.go.set()
    assert await asyncio.gather(*first, *rest) == [2 * number for number in range(1, 10)]
    assert max(map(len, work.passes)) == 2
    assert sum(map(len, work.passes)) == 9
    assert [9] in work.passes  # of the last ones nobody takes two while a thread is free


async def test_one_that_fails_does_not_take_its_neighbour_along() -> None:
    work = Work()
    threads = WorkerPool(1, work.prepare, work.finish)
    first = asyncio.create_task(threads.run(1))
    await begun(work, 1)
    rest = [asyncio.create_task(threads.run(number)) for number in (-5, 2, 13, 3)]
    await asyncio.sleep(0.05)
    work.go.set()
    found = await asyncio.gather(first, *rest, return_exceptions=True)
    assert [type(one) for one in found] == [int, ValueError, int, KeyError, int]
    assert found[2::2] == [4, 6]


async def test_a_pass_that_fails_fails_for_all_who_share_it() -> None:
    def broken(numbers: Sequence[int]) -> list[int | Exception]:
        time.sleep(0.05)
        raise RuntimeError("out of memory")

    threads: WorkerPool[int, int, int] = WorkerPool(1, lambda number: number, broken)
    found = await asyncio.gather(*(threads.run(number) for number in range(4)), return_exceptions=True)
    assert [type(one) for one in found] == [RuntimeError] * 4


async def test_who_has_gone_gets_nothing_and_the_others_theirs() -> None:
    work = Work()
    threads = WorkerPool(1, work.prepare, work.finish)
    tasks = [asyncio.create_task(threads.run(number)) for number in (1, 2, 3)]
    await begun(work, 1)
    tasks[1].cancel()
    work.go.set()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    assert [await tasks[0], await tasks[2]] == [2, 6]
