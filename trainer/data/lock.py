"""One command at a time changes a data folder; the next one waits and says for whom."""

import contextlib
import os
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

LOCK_FILE, HOLDER_FILE = ".lock", ".lock.holder"


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Have a data folder to oneself; it is made where it does not exist. Where another process has it, wait.

    A folder that can't be written to is not locked: nobody changes it.

    Raises:
        OSError: the folder can't be made.
    """
    made = [folder for folder in (data_dir, *data_dir.parents) if not folder.exists()]
    lock, holder = FileLock(data_dir / LOCK_FILE), data_dir / HOLDER_FILE
    if _acquire(lock, data_dir, holder):
        try:
            since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()} (since {since})", encoding="utf-8")
            yield
        finally:
            # Those who wait have the lock's file open, and see that it is not the one of this name any more.
            for file in (holder, data_dir / LOCK_FILE):
                file.unlink(missing_ok=True)
            lock.release()
            with contextlib.suppress(OSError):
                for folder in made:
                    folder.rmdir()
    else:
        yield


def _acquire(lock: FileLock, data_dir: Path, holder: Path) -> bool:
    """Wait for the lock; False where the folder can't be written to."""
    waits = False
    while True:
        data_dir.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=waits)
        except Timeout:
            print(f"{data_dir}: waits for {_read(holder)}, which is changing it", flush=True)
            waits = True
        except FileNotFoundError:
            continue  # the holder has taken away the folder that it had made
        except OSError:
            if os.access(data_dir, os.W_OK):
                raise
            return False
        else:
            return True


def _read(holder: Path) -> str:
    try:
        return holder.read_text(encoding="utf-8")
    except OSError:
        return "another process"
