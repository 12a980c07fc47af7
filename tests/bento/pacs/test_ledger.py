"""The ledger: what is written down, in which order things come up, and what begins again."""

import sqlite3
import time
from pathlib import Path

import pytest

from bento.pacs.ledger import LONGEST_WAIT, Entry, Ledger, wait_before
from bento.pacs.status import status

WEB, NODE = "https://archive/dicom-web", "dicom://A@archive:1"


def entry(name: str, received: float = 0) -> Entry:
    """An image of that id."""
    return Entry(name, f"1.2.{name}", "1.3", "1.4", "ORTHANC", 0, received or time.time())


def test_an_image_goes_from_door_to_door(ledger: Ledger) -> None:
    ledger.add(entry("1"), "received", size=10)
    (found,) = ledger.due("received", set())
    assert found.sop_uid == "1.2.1"
    assert ledger.judged("1", "model 1", [WEB, NODE], 30, "")
    assert ledger.due("received", set()) == []
    assert ledger.used() == 30
    assert [one.id for one in ledger.deliveries(WEB, 8, set())] == ["1"]
    ledger.sent(["1"], WEB)
    assert ledger.deliveries(WEB, 8, set()) == []
    assert ledger.rows("SELECT state FROM images") == [("judged",)]
    ledger.sent(["1"], NODE)
    assert ledger.rows("SELECT state FROM images") == [("done",)]
    assert ledger.finished_before(time.time(), 0, 9) == ["1"]
    ledger.emptied(["1"])
    assert ledger.used() == 0


def test_the_oldest_comes_first_and_nobody_gets_what_another_is_busy_with(ledger: Ledger) -> None:
    for name, received in (("1", 30.0), ("2", 10.0), ("3", 20.0)):
        ledger.add(entry(name, received), "received")
    assert [one.id for one in ledger.due("received", set(), 3)] == ["2", "3", "1"]
    assert [one.id for one in ledger.due("received", {"2"})] == ["3"]


def test_a_known_image_is_taken_again_only_for_another_model(ledger: Ledger) -> None:
    ledger.add(entry("1"), "received", model="a")
    assert ledger.is_known("1", "a")
    assert ledger.is_known("1", "b")  # under way
    ledger.judged("1", "a", [WEB], 1, "")
    ledger.sent(["1"], WEB)
    assert ledger.is_known("1", "a")
    assert ledger.is_known("1", "")
    assert not ledger.is_known("1", "b")
    ledger.add(entry("1"), "received", model="a")
    assert ledger.rows("SELECT state FROM images") == [("done",)]
    ledger.add(entry("1"), "received", model="b")
    assert ledger.rows("SELECT state FROM images") == [("received",)]
    assert ledger.rows("SELECT * FROM deliveries") == []


def test_what_came_damaged_may_come_again_and_what_was_refused_may_not(ledger: Ledger) -> None:
    ledger.add(entry("1"), "set aside", reason="damaged")
    assert not ledger.is_known("1", "a")
    ledger.add(entry("1"), "received", size=5)
    assert [one.id for one in ledger.due("received", set())] == ["1"]
    ledger.finish("1", "set aside", "refused")
    assert ledger.is_known("1", "a")


def test_whether_an_image_was_asked_about_is_known_until_it_begins_anew(ledger: Ledger) -> None:
    ledger.add(entry("1"), "received")
    assert not ledger.asked("1")
    assert ledger.asked("1")
    ledger.not_asked("1")
    assert not ledger.asked("1")
    ledger.forget("1")
    with pytest.raises(sqlite3.IntegrityError):
        ledger.asked("1")
    ledger.add(entry("1"), "received")
    assert not ledger.asked("1")


def test_waits_grow_to_a_limit() -> None:
    waits = [wait_before(tries) for tries in (1, 2, 3, 20, 2000)]
    assert waits == [1, 2, 4, LONGEST_WAIT, LONGEST_WAIT]


def test_what_is_postponed_is_not_due_before_its_time(ledger: Ledger) -> None:
    ledger.add(entry("1"), "received")
    ledger.postpone("1", "it ended with an error", 60)
    assert ledger.due("received", set()) == []
    assert ledger.retry() == 1
    assert [one.tries for one in ledger.due("received", set())] == [1]


def test_retry_begins_again_where_it_was(ledger: Ledger) -> None:
    for name in ("1", "2"):
        ledger.add(entry(name), "received", size=1)
    ledger.finish("1", "set aside", "refused")
    ledger.judged("2", "a", [WEB], 5, "")
    ledger.failed("2", WEB, "it answers status C000")
    assert ledger.rows("SELECT state, reason FROM images WHERE id = '2'") == [
        ("set aside", "not delivered: it answers status C000")
    ]
    ledger.retry()
    assert [one.id for one in ledger.due("received", set())] == ["1"]
    assert [one.id for one in ledger.deliveries(WEB, 8, set())] == ["2"]


def test_retry_of_one_leaves_the_others(ledger: Ledger) -> None:
    for name in ("1", "2"):
        ledger.add(entry(name), "received", size=1)
        ledger.finish(name, "set aside", "refused")
    assert ledger.retry("1") == 1
    assert [one.id for one in ledger.due("received", set(), 9)] == ["1"]


def test_a_forgotten_image_leaves_nothing(ledger: Ledger) -> None:
    ledger.add(entry("1"), "received")
    ledger.judged("1", "a", [WEB], 1, "")
    assert ledger.forget("1")
    assert not ledger.forget("1")
    assert ledger.rows("SELECT * FROM deliveries") == []
    assert not ledger.judged("1", "a", [WEB], 1, "")


def test_a_transaction_that_fails_changes_nothing(ledger: Ledger) -> None:
    ledger.add(entry("1"), "received")

    def fail() -> None:
        with ledger.transaction() as db:
            db.execute("DELETE FROM images")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert ledger.is_known("1", "")


def test_another_process_sees_it_and_a_new_one_goes_on(ledger: Ledger, tmp_path: Path) -> None:
    ledger.add(entry("1"), "received")
    other = Ledger(tmp_path)
    assert other.retry() == 1
    ledger.close()
    assert [one.id for one in Ledger(tmp_path).due("received", set())] == ["1"]


def test_status_shows_counts_the_oldest_and_what_failed_and_why(ledger: Ledger) -> None:
    assert status(ledger) == "no image has come"
    ledger.add(entry("1", time.time() - 7200), "received")
    ledger.add(entry("2"), "passed over", reason="a lateral view")
    ledger.add(entry("3"), "received", size=1)
    ledger.finish("3", "set aside", "damaged-image: it is cut off")
    ledger.add(entry("4"), "received")
    ledger.judged("4", "a", [WEB], 1, "")
    ledger.postpone_delivery("4", WEB, "it can't be reached", 9)
    text = status(ledger)
    for part in (
        "1  received", "1  passed over", "2 hours ago", "1  a lateral view", f"1  {WEB}: it can't be reached",
        "3  0 seconds ago, 1 tries: damaged-image: it is cut off", f"1  waiting: {WEB}",
    ):  # fmt: skip
        assert part in text, text
