"""The list of what the program relies on though a library keeps it private."""

from tests.support.server import ROOT

PAGE = ROOT / "docs" / "architecture.md"


def test_every_module_that_relies_on_something_private_is_listed_and_no_other_one() -> None:
    marked = {
        path.relative_to(ROOT).as_posix()
        for room in ("bento", "trainer")
        for path in (ROOT / room).rglob("*.py")
        if "# Private:" in path.read_text(encoding="utf-8")
    }
    rows = PAGE.read_text(encoding="utf-8").partition("## Private parts")[2].splitlines()
    listed = {cell.partition("`")[2].partition("`")[0] for row in rows if (cell := (row.split("|") + [""] * 3)[2])}
    assert listed - {""} == marked
