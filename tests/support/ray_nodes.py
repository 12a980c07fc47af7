"""Nodes of a real Ray cluster on this machine, which a test may kill."""

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.support.server import free_port

STORE = 80 * 2**20
"""Bytes of a node's object store; Ray takes no less than 75 MB."""


TRIES = 3
"""Ray's processes wait some seconds for each other, and give up on a machine that is too busy."""
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
"""Environment of the nodes and of whoever asks them."""


class Node:
    """A node: ``ray start`` and what it starts."""

    def __init__(self, address: str, folder: Path, *, head: bool) -> None:
        where = ["--head", f"--port={address.rpartition(':')[2]}", f"--temp-dir={folder}", "--include-dashboard=false"]
        where += [f"--ray-client-server-port={free_port()}", "--node-ip-address=127.0.0.1"]
        words = where if head else [f"--address={address}"]
        environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"} | TOKEN
        # Ray's workers are nice by default: beside a busy neighbour they would wait.
        environment["RAY_worker_niceness"] = "0"
        self._process = subprocess.Popen(
            [str(Path(sys.executable).with_name("ray")), "start", *words, "--num-cpus=1", "--block",
             f"--object-store-memory={STORE}", "--log-color=false"],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if "Ray runtime started" in line:
                return
        self.kill()
        raise AssertionError("".join(said))

    def works(self) -> bool:
        """Whether one of its workers judges images."""
        return any(process.name().startswith("ray::MapWorker") for process in self._all())

    def kill(self) -> None:
        """SIGKILL to all processes of the node, the raylet and its workers first."""
        for process in self._all():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def _all(self) -> list[psutil.Process]:
        if self._process.poll() is not None:
            return []
        own = psutil.Process(self._process.pid)
        return [*own.children(recursive=True), own]


def _started(address: str, folder: Path, head: bool) -> Node:
    for _ in range(TRIES - 1):
        with contextlib.suppress(AssertionError):
            return Node(address, folder, head=head)
    return Node(address, folder, head=head)


@contextlib.contextmanager
def two_nodes() -> Iterator[tuple[str, Node]]:
    """A cluster of two nodes with a core each: the address of its head, and the other node."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        address = f"127.0.0.1:{free_port()}"
        nodes: list[Node] = []
        try:
            nodes.append(_started(address, Path(folder), True))
            nodes.append(_started(address, Path(folder), False))
            yield address, nodes[1]
        finally:
            for node in nodes:
                node.kill()
