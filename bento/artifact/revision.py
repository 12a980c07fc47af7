"""The commit that a program was made from."""

import shutil
import subprocess
from pathlib import Path


def git_revision(project: Path) -> str:
    """Give the commit that is checked out in a project's folder, with ``-dirty`` where a file differs from it.

    Empty without git, or where the folder is not a repository's root.
    """
    if not (project / ".git").exists() or (git := shutil.which("git")) is None:
        return ""
    command = [git, "describe", "--always", "--dirty", "--abbrev=40", "--match="]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
