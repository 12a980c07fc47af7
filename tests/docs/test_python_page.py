"""The page on use from Python: its blocks run."""

import sys
from pathlib import Path

from tests.support import documents
from tests.support.server import ROOT

PAGE = ROOT / "docs" / "python.md"


def test_ten_lines_fetch_train_evaluate_and_predict(tmp_path: Path) -> None:
    environment = documents.prepare(tmp_path)
    block = documents.blocks(PAGE, "python")[0]
    statements = [line for line in block.splitlines() if line and not line.startswith(("from", "import"))]
    assert len(statements) <= 10
    printed = documents.run([sys.executable, "-c", block], tmp_path, environment)
    assert "'TUBERCULOSIS': " in printed.splitlines()[-1]


def test_both_clients_get_an_answer(tmp_path: Path, service_url: str) -> None:
    environment = documents.prepare(tmp_path)
    for block in documents.blocks(PAGE, "python")[1:]:
        assert "http://localhost:3000" in block
        code = block.replace("http://localhost:3000", service_url)
        assert documents.run([sys.executable, "-c", code], tmp_path, environment).strip()
