"""The study: its storage, what a killed search has left in it, and the loop that runs trials."""

import signal
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import optuna
from optuna import Study, Trial
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import (
    ArgumentError,
    IntegrityError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)

from trainer.errors import UserError
from trainer.files import read_text, write_text
from trainer.running.progress import say

HEARTBEAT = 30
"""Seconds between the signs of life that a trial in a shared storage gives."""
SILENCE = 150
"""Seconds without one after which its machine counts as gone."""
LOOK_AGAIN = 2.0
"""Seconds after which a storage that could not be opened is tried once more."""
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
Told = Callable[[Study, FrozenTrial], None]
"""Is told of a trial that has ended."""
_WORKER = "worker"
_BEGUN = "begun with"


@dataclass(frozen=True)
class Studies:
    """Where the search keeps its trials."""

    storage: RDBStorage
    worker: str
    """Name of this folder on this machine among those that share the storage."""
    shared: bool

    def open(self, name: str, begun: Mapping[str, Any], pruner: BasePruner | None = None) -> Study:
        """The study of a name, made anew or gone on with.

        Args:
            name: of the study.
            begun: what must be the same for all who work on it.
            pruner: what ends poor trials; None: nothing.

        Raises:
            UserError: it was begun with something else.
        """
        study = optuna.create_study(
            storage=self.storage,
            study_name=name,
            direction="maximize",
            pruner=pruner or NopPruner(),
            load_if_exists=True,
        )
        known = study.user_attrs.setdefault(_BEGUN, None)
        if known is None:
            study.set_user_attr(_BEGUN, dict(begun))
        else:
            for key, value in begun.items():
                if key not in known or known[key] != value:
                    raise UserError(
                        f"search {name}: was begun with {key} {known.get(key)}, and {key} is {value} here; "
                        "give the same, or another --run"
                    )
        self.release(study)
        return study

    def release(self, study: Study) -> int:
        """Mark as failed what this folder's search was running when it was killed, and queue it again; how many."""
        again = RetryHeartbeatStaleTrialCallback()
        stale = [one for one in study.get_trials(states=(TrialState.RUNNING,)) if self._own(one)]
        for trial in stale:
            study.tell(trial.number, state=TrialState.FAIL)
            again(study, trial)
        return len(stale)

    def _own(self, trial: FrozenTrial) -> bool:
        return not self.shared or trial.user_attrs.get(_WORKER) == self.worker

    def sampler(self, study: Study, seed: int) -> TPESampler:
        """Optuna's default sampler, over settings together; a search that goes on does not draw the same again."""
        salt = zlib.crc32(self.worker.encode()) if self.shared else 0
        drawn = (seed + 1_000_003 * len(study.trials) + salt) % 2**32
        return TPESampler(seed=drawn, multivariate=True, group=True, constant_liar=self.shared)

    def run(self, study: Study, objective: Callable[[Trial], float], left: Callable[[], int], told: Told) -> None:
        """Run trials until none is left, and wait for those of others.

        Args:
            study: to which they belong.
            objective: gives a trial's score.
            left: how many trials are still to be begun.
            told: is told of each trial that has ended here.

        Raises:
            KeyboardInterrupt: its trial goes back into the queue.
        """
        waits = False
        with _interrupts() as interrupted:
            while True:
                fail_stale_trials(study)
                if left() > 0:
                    waits = False
                    try:
                        study.optimize(_claimed(objective, self.worker), n_trials=1, callbacks=[told])
                    except BaseException:
                        self.release(study)
                        raise
                elif running := len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))):
                    if not waits:
                        say(f"waiting for {running} of other machines")
                    waits = True
                    time.sleep(2)
                else:
                    return
                if interrupted():
                    raise KeyboardInterrupt


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Gives whether Ctrl-C was pressed, also where its exception was lost: Python drops one raised in a finalizer."""
    pressed, before = threading.Event(), signal.getsignal(signal.SIGINT)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return

    def remember(number: int, frame: FrameType | None) -> None:
        pressed.set()
        before(number, frame)

    signal.signal(signal.SIGINT, remember)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def _claimed(objective: Callable[[Trial], float], worker: str) -> Callable[[Trial], float]:
    def run(trial: Trial) -> float:
        trial.set_user_attr(_WORKER, worker)
        return objective(trial)

    return run


def median_pruner() -> BasePruner:
    """Ends a trial below the median of the complete ones at the same place, once five are complete."""
    return MedianPruner(n_startup_trials=5, n_min_trials=3)


def open_studies(folder: Path, url: str | None) -> Studies:
    """The storage that ``--storage`` names, or a SQLite file in the search's folder.

    Raises:
        UserError: the storage can't be used; its password is not shown.
    """
    own = folder / "search.db"
    token = folder / ".worker"
    if not token.is_file():
        write_text(token, f"{uuid.uuid4().hex}\n")
    try:
        if url is None:
            return Studies(RDBStorage(f"sqlite:///{own.absolute()}"), read_text(token).strip(), shared=False)
        storage = _shared_storage(url)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"--storage: no database that can be used ({reason}); give a URL such as sqlite:////shared/search.db or "
            "postgresql+psycopg://user:password@host/name, with its driver installed"
        ) from error
    except (SQLAlchemyError, RuntimeError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise UserError(f"{'--storage' if url else own}: can't be opened ({reason})") from error
    return Studies(storage, read_text(token).strip(), shared=True)


def _shared_storage(url: str) -> RDBStorage:
    """The storage behind a URL; of two machines that make its tables at once, one finds them when it looks again."""
    opened = partial(
        RDBStorage,
        url,
        heartbeat_interval=HEARTBEAT,
        grace_period=SILENCE,
        heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
    )
    try:
        return opened()
    except (IntegrityError, OperationalError, ProgrammingError):
        time.sleep(LOOK_AGAIN)
        return opened()


def finished(study: Study) -> list[FrozenTrial]:
    """The trials that count: complete or pruned, in their order."""
    return study.get_trials(deepcopy=False, states=FINISHED)


def to_begin(study: Study, wanted: int) -> int:
    """How many trials are still to be begun, those of others that run now counted as good."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return wanted - len(finished(study)) - len(running)
