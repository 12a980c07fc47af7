"""What the gateway's tests share."""

from pathlib import Path

import pytest

from bento.pacs.judge import LocalJudge
from bento.pacs.ledger import Ledger


@pytest.fixture(scope="session")
def judge(stored_artifact: Path) -> LocalJudge:
    """The tests' model in this process."""
    return LocalJudge(f"chest_xray:{stored_artifact.name}")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """An empty ledger."""
    return Ledger(tmp_path)
