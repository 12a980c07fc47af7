"""The threads between the doors: images are judged, results sent, files deleted; each step can be done again."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from bento.pacs import log
from bento.pacs.capture import make_capture
from bento.pacs.deliver import Sender
from bento.pacs.encoding import encoded
from bento.pacs.gates import Gate
from bento.pacs.judge import FailedError, Judge, Model, RefusedError, UnavailableError
from bento.pacs.ledger import Entry, Ledger, wait_before
from bento.pacs.metrics import FAILURES, JUDGE, SPOOL
from bento.pacs.report import refusal_groups, report_groups
from bento.pacs.report_file import report_file
from bento.pacs.source import read_source
from bento.pacs.spool import Spool
from bento.pacs.watch import Watcher

IDLE_SECONDS = 0.5
"""How long an idle thread sleeps unless it is woken: what `retry` begins again is found by then."""
MOST_TRIES = 10
"""After which an image that fails by itself, or a delivery that is refused, is set aside."""
BATCH = 8
"""Images whose results go in one association or request."""
LOOKS_REST = 5
"""Times that it takes the watched server to answer, for which it is not asked again."""
DAY = 86_400.0
SET_ASIDE_DAYS = 7.0
"""Days for which the files of what was set aside wait for `retry`."""


@dataclass(frozen=True)
class Options:
    """What is made and how long it stays: see the settings of the same names."""

    capture: bool
    refusals: bool
    keep_days: float


class Work:
    """Everything that goes on with what the ledger holds.

    Args:
        ledger, spool: of the same folder.
        judge: who judges.
        senders: by the destination's URL.
        options: what is made and how long it stays.
    """

    def __init__(
        self, ledger: Ledger, spool: Spool, judge: Judge, senders: dict[str, Sender], options: Options
    ) -> None:
        self._ledger, self._spool, self._judge = ledger, spool, judge
        self._senders, self._options = senders, options
        self._stop, self._wake = threading.Event(), threading.Condition()
        self._lock, self._busy = threading.Lock(), set[str]()
        self.gates = {name: Gate(name) for name in ("service", "watch", *senders)}
        self._model_gate = Gate("service")
        self._threads: list[threading.Thread] = []
        self._model = ""

    def start(self, workers: int, watcher: Watcher | None, watch_seconds: float) -> None:
        """Start the threads."""
        jobs: list[tuple[str, Callable[[], bool]]] = [("judge", self._judge_one)] * workers
        jobs += [("deliver", lambda url=url: self._deliver_some(url)) for url in self._senders]  # type: ignore[misc]
        jobs += [("tidy", self._tidy)]
        if watcher is not None:
            jobs.append(("watch", self._watch_job(watcher, watch_seconds)))
        self._threads = [threading.Thread(target=self._forever, args=(job,), name=name) for name, job in jobs]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads after what they are doing."""
        self._stop.set()
        self.wake()
        for thread in self._threads:
            thread.join()

    def is_alive(self) -> bool:
        """Whether every thread runs."""
        return all(thread.is_alive() for thread in self._threads)

    def wake(self) -> None:
        """There is something to do."""
        with self._wake:
            self._wake.notify_all()

    def model(self) -> str:
        """The name and version of the model that judges; empty as long as nobody has told."""
        return self._model

    def _forever(self, job: Callable[[], bool]) -> None:
        while not self._stop.is_set():
            try:
                did_something = job()
            except Exception as error:  # a thread that ends would let everything wait for ever
                log.event("unexpected error", level=logging.ERROR, reason=log.place_of(error))
                did_something = False
            if job == self._tidy:
                self._stop.wait(IDLE_SECONDS)
            elif not did_something:
                with self._wake:
                    if not self._stop.is_set():
                        self._wake.wait(IDLE_SECONDS)

    def _tidy(self) -> bool:
        self._ask_model()
        self._clean()
        return False

    def _ask_model(self) -> None:
        # By a gate of its own: who asks for the model must not hold back those who have an image to ask about.
        if not self._model and self._model_gate.is_open():
            try:
                self._model = " ".join(self._judge.model().identity)
            except UnavailableError as error:
                self._model_gate.failed(error)

    def _judge_one(self) -> bool:
        if not self.gates["service"].is_open():
            return False
        with self._lock:
            entries = self._ledger.due("received", self._busy)
            self._busy |= {entry.id for entry in entries}
        for entry in entries:
            try:
                self._judge_entry(entry)
            finally:
                with self._lock:
                    self._busy.discard(entry.id)
        return bool(entries)

    def _judge_entry(self, entry: Entry) -> None:
        begin = time.perf_counter()
        try:
            results, model, refusal = self._results(self._spool.image(entry.id), again=self._ledger.asked(entry.id))
        except UnavailableError as error:
            self._ledger.not_asked(entry.id)
            self._ledger.waits(entry.id, error.reason)
            self.gates["service"].failed(error)
            return
        except RefusedError as error:
            self.gates["service"].worked()
            self._ledger.finish(entry.id, "set aside", f"{error.slug}: {error.reason}", self._model)
            log.event("image refused", image=entry.id, reason=error.slug)
            return
        except Exception as error:
            self._failed(entry, str(error) if isinstance(error, FailedError) else log.place_of(error))
            return
        self.gates["service"].worked()
        self._model = " ".join(model.identity)
        size = self._spool.put_results(entry.id, results)
        if not self._ledger.judged(entry.id, self._model, list(self._senders), size, refusal):
            self._spool.delete(entry.id)
            return
        seconds = time.perf_counter() - begin
        JUDGE.observe(seconds)
        log.event("image judged", image=entry.id, reason=refusal, ms=round(1000 * seconds, 1))
        self.wake()

    def _failed(self, entry: Entry, reason: str) -> None:
        FAILURES.labels("image").inc()
        tries = entry.tries + 1
        log.event("image failed", level=logging.WARNING, image=entry.id, reason=reason, tries=tries)
        if tries >= MOST_TRIES or not self._spool.has_image(entry.id):
            self._ledger.finish(entry.id, "set aside", reason)
        else:
            self._ledger.postpone(entry.id, reason, wait_before(tries))

    def _results(self, data: bytes, *, again: bool) -> tuple[list[bytes], Model, str]:
        """An image's results, the model, and why it was refused where it was and a report says so."""
        header, made = read_source(data), datetime.now()
        try:
            answer, model = self._judge.judge(data, again=again)
        except RefusedError as error:
            if not self._options.refusals:
                raise
            model = self._judge.model()
            return [report_file(header, model, refusal_groups(error.slug, error.reason), made)], model, error.slug
        results = [report_file(header, model, report_groups(answer), made)]
        if self._options.capture:
            results.append(encoded(make_capture(header, model, answer, made)))
        return results, model, ""

    def _deliver_some(self, url: str) -> bool:
        gate = self.gates[url]
        if not gate.is_open():
            return False
        entries = self._ledger.deliveries(url, BATCH, set())
        if not entries:
            return False
        reasons = list[str]()
        try:
            batch = [self._spool.results(entry.id) for entry in entries]
            try:
                reasons.extend(self._senders[url].send(batch))
            finally:  # what was given before an error stands
                self._delivered(entries[: len(reasons)], reasons, url)
        except FileNotFoundError as error:
            for entry in entries:
                if not self._spool.has_results(entry.id):
                    self._ledger.failed(entry.id, url, log.place_of(error))
            return True
        except UnavailableError as error:
            for entry in entries[len(reasons) :]:
                self._ledger.delivery_waits(entry.id, url, error.reason)
            gate.failed(error)
            return True
        gate.worked()
        return True

    def _delivered(self, entries: Sequence[Entry], reasons: Sequence[str], url: str) -> None:
        results = list(zip(entries, reasons, strict=True))
        self._ledger.sent([entry.id for entry, reason in results if not reason], url)
        for entry, reason in results:
            if reason:
                self._refused(entry, url, reason)
            else:
                log.event("results sent", image=entry.id, destination=url)

    def _refused(self, entry: Entry, url: str, reason: str) -> None:
        tries = entry.tries + 1
        FAILURES.labels("delivery").inc()
        log.event(
            "results not taken", level=logging.WARNING, image=entry.id, destination=url, reason=reason, tries=tries
        )
        if tries >= MOST_TRIES:
            self._ledger.failed(entry.id, url, reason)
        else:
            self._ledger.postpone_delivery(entry.id, url, reason, wait_before(tries))

    def _watch_job(self, watcher: Watcher, seconds: float) -> Callable[[], bool]:
        gate, next_look = self.gates["watch"], 0.0

        def job() -> bool:
            nonlocal next_look
            if not gate.is_open():
                return False
            try:
                if (begin := time.monotonic()) >= next_look:
                    watcher.look()
                    gate.worked()
                    end = time.monotonic()
                    # A large archive takes long to answer: most of the time is for fetching.
                    next_look = end + max(seconds, LOOKS_REST * (end - begin))
                entries = self._ledger.due("found", set()) if self._spool.has_room() else []
                for entry in entries:
                    watcher.fetch(entry)
            except UnavailableError as error:
                gate.failed(error)
                return False
            return bool(entries)

        return job

    def _clean(self) -> None:
        """Delete the files of what is finished: after its days, or before them where the spool is full."""
        now = time.time()
        keep = self._options.keep_days * DAY
        self._spool.set_used(self._ledger.used())
        moment, set_aside = now - keep, now - max(keep, SET_ASIDE_DAYS * DAY)
        if not self._spool.has_room():
            moment = set_aside = now
        finished = self._ledger.finished_before(moment, set_aside, 100)
        for image in finished:
            self._spool.delete(image)
        if finished:
            self._ledger.emptied(finished)
        SPOOL.set(self._spool.used)
