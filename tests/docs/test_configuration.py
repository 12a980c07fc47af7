"""The configuration reference: up to date and whole."""

from bento.settings import Settings as ServiceSettings
from docs.scripts.configuration import FILE, reference
from trainer.commands import COMMANDS


def test_the_committed_page_is_up_to_date() -> None:
    assert FILE.read_text(encoding="utf-8") == reference(), "run `make reference`"


def test_every_setting_is_there_with_its_meaning() -> None:
    rows = [line.strip("| ").split(" | ") for line in reference().splitlines() if line.startswith("| `")]
    assert all(len(row[-1]) > 8 for row in rows)
    names = {cell.strip("`") for row in rows for cell in row[:2]}
    for command in COMMANDS.values():
        fields = command.settings.model_fields
        optional = {name.upper() for name, field in fields.items() if not field.is_required()}
        assert {f"TRAINER_{name}" for name in optional} <= names
    assert {f"CHEST_XRAY_{name.upper()}" for name in ServiceSettings.model_fields} <= names
