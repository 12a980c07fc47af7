"""The cache folder: which file holds what, and how much room all of them may take."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import ignite.distributed as idist


@dataclass(frozen=True)
class Store:
    """A folder of files named by everything that determines what is in them, so that none is ever out of date."""

    folder: Path
    budget: int
    """Largest size of its arrays together, in bytes."""

    def path(self, kind: str, *determinants: object, suffix: str = ".npy") -> Path:
        """File for a kind of content, under a digest of ``determinants``, which JSON must be able to hold."""
        digest = hashlib.sha256(json.dumps(determinants).encode()).hexdigest()[:16]
        return self.folder / f"{kind}-{digest}{suffix}"

    def make_room(self, need: int) -> None:
        """Remove the arrays used longest ago until ``need`` more bytes fit into the budget."""
        if idist.get_local_rank() == 0 and self.folder.is_dir():
            files = sorted(self.folder.glob("*.npy"), key=lambda path: path.stat().st_mtime, reverse=True)
            total = need
            for path in files:
                total += path.stat().st_size
                if total > self.budget:
                    path.unlink(missing_ok=True)
        idist.barrier()
