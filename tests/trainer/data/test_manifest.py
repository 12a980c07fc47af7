import codecs
from pathlib import Path

import pytest

from trainer.data.manifest import Record, fingerprint, read_manifest, split_protocol
from trainer.errors import UserError
from trainer.files import write_text
from trainer.tables import read_table, to_csv

RECORD = Record(
    path="raw/NORMAL/a.png",
    label="NORMAL",
    split="train",
    site="",
    patient="p1",
    sha256="0" * 64,
    group="p1",
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    odd = RECORD.model_copy(update={"path": 'raw/NORMAL/b, "c" ü.png', "site": "St. Ann; east"})
    write_text(tmp_path / "manifest.csv", to_csv([RECORD, odd], Record))
    assert read_manifest(tmp_path) == [RECORD, odd]
    head = (tmp_path / "manifest.csv").read_text(encoding="utf-8").partition("\n")[0]
    assert head == "path,label,split,site,patient,sha256,group,dataset,view"
    assert [entry.name for entry in tmp_path.iterdir()] == ["manifest.csv"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "does not exist; run `python -m trainer split`"),
        ("path,label\na,b\n", "column 'split'"),
        ("", "which has: nothing"),
        (to_csv([], Record), "lists no image"),
        (
            to_csv([RECORD], Record).replace("train", "training"),
            "line 2: split: Input should be 'train', 'val' or",
        ),
        (to_csv([RECORD], Record).replace("000", "xyz"), "line 2: sha256"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_one_line(tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / "manifest.csv").write_text(content)
    with pytest.raises(UserError, match=says) as caught:
        read_manifest(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"path,label\na.png,X\n",
        b"\xef\xbb\xbfpath,label\r\na.png,X\r\n",  # as Excel saves "CSV UTF-8"
        b"Path;Label\na.png;X\n\n",  # as a German Excel does
        b"path\tlabel\na.png\t X \n",
        "path,label\r\na.png,X\r\n".encode("utf-16"),  # as PowerShell's > and Excel's "Unicode text" write
        codecs.BOM_UTF16_BE + "path\tlabel\na.png\tX\n".encode("utf-16-be"),
        codecs.BOM_UTF32_LE + "path,label\na.png,X\n".encode("utf-32-le"),
    ],
)
def test_tables_are_read_as_common_programs_write_them(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    assert read_table(tmp_path / "t.csv", ("path", "label")) == [(2, {"path": "a.png", "label": "X"})]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("path,label\nä,X\n".encode("latin-1"), "byte 11 is not UTF-8"),
        ("path,label\n".encode("utf-16-le"), "has zero bytes: not text, or UTF-16 without its mark"),
        (b"path,label\na,b,c\n", "line 2: 3 cells, but the first line has 2"),
        (b"path,label\na\n", "line 2: 1 cells"),
        (b'path,label\n"a,b\n', "line 2: not a CSV file"),
        (b"path,label,label\na,b,c\n", "exactly one column 'label'"),
    ],
)
def test_a_table_that_cannot_be_read_says_where(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UserError, match=says):
        read_table(tmp_path / "t.csv", ("path", "label"))


def test_the_fingerprint_is_of_content_label_and_split_and_of_nothing_else() -> None:
    other = RECORD.model_copy(update={"path": "raw/X/b.png", "sha256": "1" * 64})
    base = fingerprint([RECORD, other])
    assert len(base) == 64
    assert fingerprint([other, RECORD.model_copy(update={"path": "elsewhere.png", "patient": "p9"})]) == base
    for change in ({"split": "val"}, {"label": "X"}, {"sha256": "2" * 64}):
        assert fingerprint([RECORD.model_copy(update=change), other]) != base
    assert fingerprint([RECORD]) != base


def test_the_protocol_of_a_folder_that_is_not_split(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run `python -m trainer split`"):
        split_protocol(tmp_path)


def test_a_manifest_of_former_days_calls_the_site_source(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(
        to_csv([RECORD.model_copy(update={"site": "east"})], Record).replace("site", "source")
    )
    assert [record.site for record in read_manifest(tmp_path)] == ["east"]
    table = tmp_path / "both.csv"
    table.write_text("source,site\nkaggle,east\n")
    assert read_table(table, ("site",)) == [(2, {"source": "kaggle", "site": "east"})]


def test_a_manifest_without_datasets_and_views_is_read(tmp_path: Path) -> None:
    text = to_csv([RECORD], Record)
    (tmp_path / "manifest.csv").write_text("".join(line.rsplit(",", 2)[0] + "\n" for line in text.splitlines()))
    assert read_manifest(tmp_path) == [RECORD]


def test_the_line_that_tells_excel_the_separator_is_no_header(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sep=;\npath;label\na,b.png;X\n")
    assert read_table(tmp_path / "t.csv", ("path", "label")) == [(3, {"path": "a,b.png", "label": "X"})]


def test_a_table_of_a_code_page_says_how_to_save_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("path,label\nKöln.png,X\n".encode("cp1252"))
    with pytest.raises(UserError, match=r"byte 12 is not UTF-8; save it as UTF-8: in Excel as 'CSV UTF-8'"):
        read_table(tmp_path / "t.csv", ("path", "label"))
