"""The notebook of the documentation: every cell runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.server import ROOT

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
MINUTES = 4
EXECUTE = (
    "import sys, nbformat; from nbclient import NotebookClient; notebook = nbformat.read(sys.argv[1], 4); "
    f"NotebookClient(notebook, timeout={60 * MINUTES}).execute(); nbformat.write(notebook, sys.argv[2])"
)


def test_every_cell_of_the_notebook_runs_and_the_last_one_draws(tmp_path: Path) -> None:
    done = tmp_path / "done.ipynb"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", EXECUTE, str(NOTEBOOK), str(done)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        timeout=60 * (MINUTES + 1),
    )
    cells = [cell for cell in json.loads(done.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert any("image/png" in output.get("data", {}) for output in cells[-1]["outputs"])


def test_the_committed_notebook_has_no_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell.get("outputs") for cell in cells)
