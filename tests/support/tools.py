"""Tools of the project's environment, and its YAML files."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.support.server import ROOT


def documents(name: str) -> list[dict[str, Any]]:
    """Every document of a YAML file of the project."""
    return list(yaml.safe_load_all((ROOT / name).read_text()))


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a tool that is installed beside this interpreter."""
    command = [str(Path(sys.executable).parent / name), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
