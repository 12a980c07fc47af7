import codecs
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
    assert str(error.value).startswith(f"CHEST_XRAY_API_KEY_FILE: {file}")
    assert "my-secret-key" not in str(error.value)


LINES = f"# Schlüssel für Süd\r\n{hash_key('a')} Süd\r\n{hash_key('b')}\r\n"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(LINES.encode(), id="UTF-8, and Windows' line ends"),
        pytest.param(LINES.encode("utf-8-sig"), id="UTF-8 with a mark"),
        pytest.param(LINES.encode("utf-16"), id="UTF-16, as PowerShell's >"),
        pytest.param(codecs.BOM_UTF16_BE + LINES.encode("utf-16-be"), id="UTF-16, the other order"),
        pytest.param(LINES.partition("\r\n")[2].encode("utf-8-sig"), id="a key right behind the mark"),
        pytest.param(LINES.replace("\r\n", "\r").encode(), id="an old Macintosh's line ends"),
    ],
)
def test_a_key_file_of_any_editor_is_read(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "keys").write_bytes(data)
    assert read_hashes("", tmp_path / "keys") == [hash_key("a"), hash_key("b")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (LINES.encode("cp1252"), "not text in UTF-8"),
        (LINES.encode("utf-16")[:-1], "not text in UTF-8"),
        (hash_key("a").encode("utf-16-le"), "not a SHA-256"),
        (LINES.encode("utf-32"), "not a SHA-256"),
        (codecs.BOM_UTF16_LE, "holds no key"),
    ],
    ids=["Windows-1252", "half a character", "UTF-16 without a mark", "UTF-32", "a mark alone"],
)
def test_another_encoding_is_an_error_that_names_the_variable(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "keys").write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        read_hashes("", tmp_path / "keys")
    assert str(error.value).startswith("CHEST_XRAY_API_KEY_FILE: ")


def test_the_variable_may_begin_with_a_mark_and_must_hold_a_key() -> None:
    assert read_hashes("\ufeff" + hash_key("a"), None) == [hash_key("a")]
    with pytest.raises(ValueError, match="CHEST_XRAY_API_KEY_HASHES holds no key"):
        read_hashes(" , ", None)


def test_the_command_makes_a_key_and_its_line() -> None:
    command = [sys.executable, "-m", "bento.keys", "ward", "3"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    key = result.stderr.split()[-1]
    assert len(key) >= 43
    assert result.stdout == f"{hash_key(key)} ward 3\n"
