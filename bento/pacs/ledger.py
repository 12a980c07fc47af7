"""The ledger: what became of each image, in a SQLite database that a crash at any point leaves whole.

An image goes ``found`` (by the watcher) → ``received`` → ``judged`` → ``done``; or it is ``passed over`` (not for the
model) or ``set aside`` (it can't be judged, or not be delivered). A delivery is ``waiting``, ``sent`` or ``failed``.
Rows stay when files are deleted: an image that comes again is known.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "ledger.sqlite"
FIRST_WAIT, LONGEST_WAIT = 1.0, 600.0
"""Seconds until the second try, and at most between two tries."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS images(
    id TEXT PRIMARY KEY, sop_uid TEXT NOT NULL, series_uid TEXT NOT NULL, study_uid TEXT NOT NULL,
    origin TEXT NOT NULL, state TEXT NOT NULL, model TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
    bytes INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0,
    received REAL NOT NULL, judged REAL, done REAL);
CREATE INDEX IF NOT EXISTS images_by_state ON images(state, received);
CREATE INDEX IF NOT EXISTS images_with_files ON images(done) WHERE bytes > 0;
CREATE TABLE IF NOT EXISTS deliveries(
    id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE, destination TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting', reason TEXT NOT NULL DEFAULT '', tries INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL DEFAULT 0, judged REAL NOT NULL, sent REAL, PRIMARY KEY(id, destination));
CREATE INDEX IF NOT EXISTS deliveries_by_state ON deliveries(destination, state, judged);
CREATE TABLE IF NOT EXISTS asked(id TEXT PRIMARY KEY REFERENCES images(id) ON DELETE CASCADE);
CREATE TABLE IF NOT EXISTS cursors(url TEXT PRIMARY KEY, date TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS series(
    url TEXT NOT NULL, series_uid TEXT NOT NULL, instances INTEGER NOT NULL, PRIMARY KEY(url, series_uid));
"""
_AGAIN = (
    "UPDATE images SET due = 0 WHERE :id IN ('', id) AND state IN ('found', 'received')",
    "UPDATE images SET state = CASE WHEN judged IS NULL THEN 'received' ELSE 'judged' END, due = 0, tries = 0,"
    " done = NULL WHERE :id IN ('', id) AND state = 'set aside' AND bytes > 0",
    "UPDATE deliveries SET state = 'waiting', due = 0, tries = 0 WHERE :id IN ('', id) AND state != 'sent'"
    " AND id IN (SELECT id FROM images WHERE state = 'judged')",
)


@dataclass(frozen=True)
class Entry:
    """An image to do something with."""

    id: str
    sop_uid: str
    series_uid: str
    study_uid: str
    origin: str
    tries: int
    received: float


def wait_before(tries: int) -> float:
    """Seconds to wait after so many tries: twice as long each time."""
    return float(min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(tries - 1, 30)))


class Ledger:
    """The database of a spool. May be used from several threads, and by several processes.

    Args:
        folder: the spool, which exists.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(folder / FILE, timeout=30, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA foreign_keys=ON")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The database, for statements that take effect together."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def rows(self, query: str, values: Sequence[object] | dict[str, object] = ()) -> list[tuple[Any, ...]]:
        """The rows of a question; for ``status`` and metrics."""
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def is_known(self, image: str, model: str) -> bool:
        """Whether an image needs nothing more: it is under way, or finished with this model.

        Args:
            image: its id.
            model: that judges now; empty: not known.
        """
        rows = self.rows(
            "SELECT 1 FROM images WHERE id = :id AND state != 'found' AND NOT (state = 'set aside' AND bytes = 0)"
            " AND NOT (state = 'done' AND :model != '' AND model != :model)",
            {"id": image, "model": model},
        )
        return bool(rows)

    def add(self, entry: Entry, state: str, *, size: int = 0, reason: str = "", model: str = "") -> None:
        """Write an image down, or begin again with one that is there and not known by :meth:`is_known`.

        Args:
            entry: the image.
            state: ``found``, ``received``, ``passed over`` or ``set aside``.
            size: bytes of its file in the spool.
            reason: why it is passed over or set aside.
            model: that judges now; empty: not known.
        """
        with self.transaction() as db:
            db.execute(
                "DELETE FROM images WHERE id = :id AND (state = 'found' OR (state = 'set aside' AND bytes = 0)"
                " OR (state = 'done' AND :model != '' AND model != :model))",
                {"id": entry.id, "model": model},
            )
            db.execute(
                "INSERT OR IGNORE INTO images(id, sop_uid, series_uid, study_uid, origin, state, reason, bytes,"
                " received) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (entry.id, entry.sop_uid, entry.series_uid, entry.study_uid, entry.origin, state, reason, size,
                 entry.received),
            )  # fmt: skip

    def due(self, state: str, busy: set[str], limit: int = 1) -> list[Entry]:
        """Images in a state whose time has come, the oldest first, but those that somebody is busy with."""
        rows = self.rows(
            "SELECT id, sop_uid, series_uid, study_uid, origin, tries, received FROM images"
            " WHERE state = ? AND due <= ? ORDER BY received LIMIT ?",
            (state, time.time(), limit + len(busy)),
        )
        return [Entry(*row) for row in rows if row[0] not in busy][:limit]

    def asked(self, image: str) -> bool:
        """Write down that somebody is asked to judge an image; whether that was written before: a crash came between.

        Raises:
            sqlite3.IntegrityError: there is no such image.
        """
        with self.transaction() as db:
            return not db.execute("INSERT OR IGNORE INTO asked VALUES(?)", (image,)).rowcount

    def not_asked(self, image: str) -> None:
        """Write down that nobody has judged an image after all."""
        with self.transaction() as db:
            db.execute("DELETE FROM asked WHERE id = ?", (image,))

    def judged(self, image: str, model: str, destinations: Sequence[str], size: int, reason: str) -> bool:
        """Write down that an image's results are in the spool, and where they go; False: it was forgotten meanwhile.

        Args:
            image: its id.
            model: that judged it.
            destinations: their URLs.
            size: bytes of its files in the spool, results included.
            reason: why it was refused; empty: it was not.
        """
        now = time.time()
        with self.transaction() as db:
            changed = db.execute(
                "UPDATE images SET state = 'judged', model = ?, judged = ?, bytes = ?, reason = ?, tries = tries + 1"
                " WHERE id = ?",
                (model, now, size, reason, image),
            ).rowcount
            if changed:
                db.executemany(
                    "INSERT OR IGNORE INTO deliveries(id, destination, judged) VALUES(?, ?, ?)",
                    [(image, destination, now) for destination in destinations],
                )
        return bool(changed)

    def finish(self, image: str, state: str, reason: str, model: str = "") -> None:
        """End an image's way as ``passed over`` or ``set aside``."""
        with self.transaction() as db:
            db.execute(
                "UPDATE images SET state = ?, reason = ?, model = ?, tries = tries + 1, done = ? WHERE id = ?",
                (state, reason, model, time.time(), image),
            )

    def waits(self, image: str, reason: str) -> None:
        """Write down why an image waits, through no fault of its own: it counts as no try."""
        with self.transaction() as db:
            db.execute("UPDATE images SET reason = ? WHERE id = ?", (reason, image))

    def postpone(self, image: str, reason: str, wait: float) -> None:
        """Count a try that failed, and try again after ``wait`` seconds."""
        with self.transaction() as db:
            db.execute(
                "UPDATE images SET tries = tries + 1, reason = ?, due = ? WHERE id = ?",
                (reason, time.time() + wait, image),
            )

    def deliveries(self, destination: str, limit: int, busy: set[str]) -> list[Entry]:
        """Images whose results are to be sent somewhere now, the oldest first; ``tries`` are the delivery's."""
        rows = self.rows(
            "SELECT i.id, sop_uid, series_uid, study_uid, origin, d.tries, received FROM deliveries d"
            " JOIN images i ON i.id = d.id WHERE destination = ? AND d.state = 'waiting' AND d.due <= ?"
            " ORDER BY d.judged LIMIT ?",
            (destination, time.time(), limit + len(busy)),
        )
        return [Entry(*row) for row in rows if row[0] not in busy][:limit]

    def sent(self, images: Sequence[str], destination: str) -> None:
        """Write down deliveries to one destination; with the last one an image is done."""
        with self.transaction() as db:
            for image in images:
                self._delivered(db, image, destination, "sent", "")

    def failed(self, image: str, destination: str, reason: str) -> None:
        """Give a delivery up; the image is set aside with its results."""
        with self.transaction() as db:
            self._delivered(db, image, destination, "failed", reason)

    @staticmethod
    def _delivered(db: sqlite3.Connection, image: str, destination: str, state: str, reason: str) -> None:
        now = time.time()
        db.execute(
            "UPDATE deliveries SET state = ?, reason = ?, sent = ?, tries = tries + 1 WHERE id = ? AND destination = ?",
            (state, reason, now, image, destination),
        )
        states = {row[0] for row in db.execute("SELECT state FROM deliveries WHERE id = ?", (image,))}
        if "waiting" not in states:
            end = "set aside" if "failed" in states else "done"
            why = f"not delivered: {reason}" if state == "failed" else ""
            db.execute(
                "UPDATE images SET state = ?, done = ?, reason = CASE WHEN ? = '' THEN reason ELSE ? END WHERE id = ?",
                (end, now, why, why, image),
            )

    def delivery_waits(self, image: str, destination: str, reason: str) -> None:
        """Write down why a delivery waits, through no fault of its own: it counts as no try."""
        with self.transaction() as db:
            db.execute(
                "UPDATE deliveries SET reason = ? WHERE id = ? AND destination = ?", (reason, image, destination)
            )

    def postpone_delivery(self, image: str, destination: str, reason: str, wait: float) -> None:
        """Count a delivery that failed, and try again after ``wait`` seconds."""
        with self.transaction() as db:
            db.execute(
                "UPDATE deliveries SET tries = tries + 1, reason = ?, due = ? WHERE id = ? AND destination = ?",
                (reason, time.time() + wait, image, destination),
            )

    def used(self) -> int:
        """Bytes of all files in the spool."""
        return int(self.rows("SELECT COALESCE(SUM(bytes), 0) FROM images WHERE bytes > 0")[0][0])

    def finished_before(self, moment: float, set_aside: float, limit: int) -> list[str]:
        """Ids of images with files that ended before a moment (another for those set aside), the oldest first."""
        rows = self.rows(
            "SELECT id FROM images WHERE bytes > 0 AND done IS NOT NULL"
            " AND done <= CASE state WHEN 'set aside' THEN ? ELSE ? END ORDER BY done LIMIT ?",
            (set_aside, moment, limit),
        )
        return [str(row[0]) for row in rows]

    def emptied(self, images: Sequence[str]) -> None:
        """Write down that images' files are gone."""
        with self.transaction() as db:
            db.executemany("UPDATE images SET bytes = 0 WHERE id = ?", [(image,) for image in images])

    def retry(self, image: str = "") -> int:
        """Begin again at once with an image, or with all that were set aside or wait; how many.

        An image that was judged is only delivered again.
        """
        with self.transaction() as db:
            count = sum(db.execute(one, {"id": image}).rowcount for one in _AGAIN)
        return count

    def forget(self, image: str) -> bool:
        """Delete what is known of an image; False: nothing was."""
        with self.transaction() as db:
            return bool(db.execute("DELETE FROM images WHERE id = ?", (image,)).rowcount)
