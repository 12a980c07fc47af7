"""A Ray cluster: its address, the connection to it, and what its nodes have. Ray itself is loaded by the connection."""

import contextlib
import io
import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bento.cpu import available_cores
from trainer.errors import UserError
from trainer.inference.image_names import NEEDS_EXTRA, reason

LOCAL = "local"
AUTO = "auto"
CONNECT_SECONDS = 5.0
SPARE_MEMORY = 256 * 2**20
"""Bytes of the object store of a local cluster beyond the model's: blocks of names and answers."""


def check_address(address: str) -> None:
    """Refuse what Ray would wait for in vain.

    Raises:
        UserError: Ray is not installed, no address of a cluster's head, or nothing answers there.
    """
    if find_spec("ray") is None:
        raise UserError(f"--ray {NEEDS_EXTRA}")
    if address in (LOCAL, AUTO):
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise UserError(
            f"--ray {address}: give HOST:PORT of the cluster's head (its port is 6379 by default), {AUTO} or {LOCAL}"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"--ray {address}: no cluster answers there ({reason(error)})") from error


@contextlib.contextmanager
def connected(address: str, shared: int) -> Iterator[None]:
    """Connect to a cluster, or start one on this machine's cores, and leave it.

    Args:
        address: of the cluster, as :func:`check_address` takes it.
        shared: bytes of what all nodes are to hold.

    Raises:
        UserError: Ray's errors, in one line.
    """
    # Before Ray is loaded: it tells nobody that it was used, and writes nothing about itself to the terminal.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    own: dict[str, Any] = {}
    temporary: str | None = None
    if address == LOCAL:
        # Of this cluster alone; Ray would keep one in the user's home.
        # Ray reads it once a process.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(16))
        # Ray's sockets lie there, whose paths must be short.
        temporary = os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
        os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray spells it so
        own = {"num_cpus": available_cores(), "include_dashboard": False}
        own["object_store_memory"] = SPARE_MEMORY + 2 * shared
    import ray
    import ray.data
    from ray.exceptions import AuthenticationError

    stack = contextlib.ExitStack()
    stack.enter_context(contextlib.redirect_stdout(io.StringIO()))  # where Ray tells that a node died
    try:
        try:
            with _native_parts_silent():
                ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, **own)
        except AuthenticationError as error:
            raise UserError(
                f"--ray {address}: the cluster asks for its token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or the "
                "file ~/.ray/auth_token"
            ) from error
        except Exception as error:  # Ray raises plain exceptions, too, where it can't start
            raise UserError(f"--ray {address}: can't be joined or started: {reason(error)}") from error
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        yield
    except Exception as error:
        if not type(error).__module__.startswith("ray."):
            raise
        raise UserError(f"--ray {address}: {reason(error)}") from error
    finally:
        ray.shutdown()
        stack.close()
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def alive_nodes() -> int:
    """How many nodes the cluster has."""
    import ray

    return sum(node["Alive"] for node in ray.nodes())


def count_actors(address: str, cores: int) -> int:
    """How many actors of so many cores the cluster's nodes hold.

    Raises:
        UserError: none.
    """
    import ray

    nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    actors = sum(node // cores for node in nodes)
    if not actors:
        most = max(nodes, default=0)
        raise UserError(
            f"--ray {address}: no node has {cores} cores for an actor (the largest has {most}); see --workers"
        )
    return actors


@contextlib.contextmanager
def _native_parts_silent() -> Iterator[None]:
    """What Ray's native parts write while they start, their level of logging, does not reach the terminal."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
