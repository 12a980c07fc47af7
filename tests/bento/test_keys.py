import subprocess
import sys
from pathlib import Path

import pytest

from bento.keys import hash_key, read_hashes
from tests.support.server import ROOT


def test_keys_come_from_the_setting_and_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# keys of the ward\n\n{hash_key('a').upper()} ward 3, until June\n{hash_key('b')}\n")
    assert read_hashes(f"{hash_key('c')}, {hash_key('d')}", file) == [hash_key(key) for key in "cdab"]
    assert read_hashes("", None) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [("my-secret-key", "not a SHA-256"), ("# nothing\n", "holds no key"), (None, "can't be read")],
)
def test_a_file_that_would_let_in_the_wrong_ones_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "keys"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_hashes("", file)
    assert str(file) in str(error.value)
    assert "my-secret-key" not in str(error.value)


def test_the_command_makes_a_key_and_its_line() -> None:
    command = [sys.executable, "-m", "bento.keys", "ward", "3"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    key = result.stderr.split()[-1]
    assert len(key) >= 43
    assert result.stdout == f"{hash_key(key)} ward 3\n"
