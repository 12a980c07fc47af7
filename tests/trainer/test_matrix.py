"""``matrix``: a run without each site in turn, counted aloud, and one table at the end."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.support.runs import FLAGS, Trained
from trainer.cli import main


def test_a_matrix_counts_its_sites_and_goes_on_where_it_stopped(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sites = ("hospital-a", "hospital-b")  # without the third, a split would lack a class
    for site in sites:
        folder = tmp_path / f"m-without-{site}"
        shutil.copytree(trained.run.folder, folder)
        config = yaml.safe_load((folder / "config.yaml").read_text())
        config |= {"run": folder.name, "hold_out_site": site}
        (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    folders = ["--data-dir", str(trained.data_dir), "--runs-dir", str(tmp_path)]
    assert main(["matrix", *FLAGS, *folders, "--run", "m"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line for line in told if " of 2: " in line] == [
        f"{number} of 2: without {site}, finished before" for number, site in enumerate(sites, start=1)
    ]
    assert sum(line.startswith("report: ") for line in told) == 2
    assert not [line for line in told if line.startswith("Phase ")]
