"""Leaving a source out: which films a run may use, and which ones are another hospital's to it.

The data folder's split stays as it is, so that a run for each source needs no split of its own.
"""

from collections.abc import Sequence

from trainer.data.manifest import SPLITS, Record, read_manifest
from trainer.errors import UserError
from trainer.settings import Settings


def run_records(settings: Settings) -> list[Record]:
    """The films of a run: the data folder's, without those of ``--hold-out-source`` and what belongs to them.

    Raises:
        UserError: no split data, or see :func:`leave_out`.
    """
    records = read_manifest(settings.data_dir)
    return leave_out(records, settings.hold_out_source) if settings.hold_out_source else records


def held_out_records(settings: Settings) -> list[Record]:
    """The films of ``--hold-out-source``, of all splits: the run has seen none of them."""
    return [
        record for record in read_manifest(settings.data_dir) if record.source == settings.hold_out_source
    ]


def leave_out(records: Sequence[Record], source: str) -> list[Record]:
    """The films of all other sources, less those of a patient (or duplicates of a film) that ``source`` has too.

    Raises:
        UserError: no such source, or none named at all; fewer than two classes are left, or shared with ``source``,
            or a split has none of a class any more.
    """
    option = f"--hold-out-source {source}"
    names = sorted({record.source for record in records} - {""})
    if not names:
        raise UserError(f"{option}: the data name no source; it takes a manifest.csv with a column source")
    if source not in names:
        raise UserError(f"{option}: no such source in the data; choose from {', '.join(names)}")
    foreign = {record.group for record in records if record.source == source}
    kept = [record for record in records if record.source != source and record.group not in foreign]
    classes = sorted({record.label for record in kept})
    if len(classes) < 2:
        raise UserError(
            f"{option}: leaves fewer than two classes to train on ({', '.join(classes) or 'none'})"
        )
    shared = shared_classes(kept, [record for record in records if record.source == source])
    if len(shared) < 2:
        raise UserError(
            f"{option}: shares fewer than two classes with the other sources ({', '.join(shared) or 'none'}), "
            "so nothing can be compared"
        )
    for label in classes:
        for split in SPLITS:
            if not any(record.label == label and record.split == split for record in kept):
                raise UserError(f"{option}: leaves no {label} for {split}; bring more patients of it")
    return kept


def shared_classes(kept: Sequence[Record], held_out: Sequence[Record]) -> list[str]:
    """Classes that both have."""
    return sorted({record.label for record in kept} & {record.label for record in held_out})


def sources_to_hold_out(records: Sequence[Record]) -> tuple[list[str], dict[str, str]]:
    """Sources that can be left out, and of each other one the reason why it can't.

    Raises:
        UserError: none can be.
    """
    possible: list[str] = []
    refused: dict[str, str] = {}
    for name in sorted({record.source for record in records} - {""}):
        try:
            leave_out(records, name)
        except UserError as error:
            refused[name] = str(error)
        else:
            possible.append(name)
    if not possible:
        reason = next(iter(refused.values()), "the data name no source")
        raise UserError(f"matrix: no source can be left out; {reason}")
    return possible, refused
