"""Files are whole or not there, and an error names the file."""

import os
from pathlib import Path

import pytest

from trainer.errors import UserError
from trainer.files import read_text, write_text


def test_a_full_disk_leaves_the_old_file_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "a.txt", "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_text(tmp_path / "a.txt", "new")
    assert caught.value.filename == str(tmp_path / "a.txt")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.txt", "old")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_text_of_any_unicode_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_text("K\u00f6ln \u80ba\n", encoding=encoding)
    assert read_text(tmp_path / "a.txt") == "K\u00f6ln \u80ba\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("K\u00f6ln".encode("cp1252"), "byte 1 is not UTF-8; save it as UTF-8: in Excel as 'CSV UTF-8'"),
        ("K\u00f6ln".encode("utf-16-le"), "UTF-16 without its mark"),
        (b"\xff\xfea", "byte 2 is not UTF-16-LE"),
        (None, "can't be read"),
    ],
)
def test_a_text_that_is_not_unicode_says_how_to_save_it(tmp_path: Path, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(UserError, match=says):
        read_text(tmp_path / "a.txt")
