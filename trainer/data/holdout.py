"""Leaving a site out: which images a run trains on, and which ones stay unseen as those of another hospital.

The data folder's split is not changed, so that runs that leave out different sites share it.
"""

from collections.abc import Sequence

from trainer.data.manifest import SPLITS, Record, read_manifest
from trainer.errors import UserError
from trainer.settings import Settings

__all__ = ["held_out_records", "leave_out", "run_records", "shared_classes", "sites_to_hold_out"]


def run_records(settings: Settings, aloud: bool = False) -> list[Record]:
    """The images that a run trains and is tested on: the data folder's, without those of ``--hold-out-site``.

    Args:
        settings: of the run.
        aloud: print how many are left out.

    Raises:
        UserError: the data are not split, or see :func:`leave_out`.
    """
    records = read_manifest(settings.data_dir)
    site = settings.hold_out_site
    if not site:
        return records
    kept = leave_out(records, site)
    if not aloud:
        return kept
    shared = sum(record.site != site for record in records) - len(kept)
    print(f"--hold-out-site {site}: {len(records) - len(kept) - shared:,} images held out, {len(kept):,} used")
    if shared:
        print(f"  {shared:,} images of other sites are used for nothing: they share a patient or a picture with {site}")
    return kept


def held_out_records(settings: Settings) -> list[Record]:
    """The images of ``--hold-out-site``, of all splits; the run has seen none of them."""
    return [record for record in read_manifest(settings.data_dir) if record.site == settings.hold_out_site]


def leave_out(records: Sequence[Record], site: str) -> list[Record]:
    """The images of all sites but one, without those that share a patient or an image with it.

    Raises:
        UserError: no such site, or none named at all; fewer than two classes are left, or shared with ``site``,
            or a split has none of a class any more.
    """
    option = f"--hold-out-site {site}"
    names = sorted({record.site for record in records} - {""})
    if not names:
        raise UserError(f"{option}: the data name no site; it takes a manifest.csv with a column site")
    if site not in names:
        raise UserError(f"{option}: no such site in the data; choose from {', '.join(names)}")
    foreign = {record.group for record in records if record.site == site}
    kept = [record for record in records if record.site != site and record.group not in foreign]
    classes = sorted({record.label for record in kept})
    if len(classes) < 2:
        raise UserError(f"{option}: leaves fewer than two classes to train on ({', '.join(classes) or 'none'})")
    shared = shared_classes(kept, [record for record in records if record.site == site])
    if len(shared) < 2:
        raise UserError(
            f"{option}: shares fewer than two classes with the other sites ({', '.join(shared) or 'none'}), "
            "so nothing can be compared"
        )
    for label in classes:
        for split in SPLITS:
            if not any(record.label == label and record.split == split for record in kept):
                raise UserError(f"{option}: leaves no {label} for {split}; bring more patients of it")
    return kept


def shared_classes(kept: Sequence[Record], held_out: Sequence[Record]) -> list[str]:
    """Classes that both the other sites and the one that is left out have, sorted."""
    return sorted({record.label for record in kept} & {record.label for record in held_out})


def sites_to_hold_out(records: Sequence[Record]) -> tuple[list[str], dict[str, str]]:
    """Sites that can be left out, and for each other site the reason why it can't be.

    Raises:
        UserError: no site can be left out.
    """
    possible: list[str] = []
    refused: dict[str, str] = {}
    for name in sorted({record.site for record in records} - {""}):
        try:
            leave_out(records, name)
        except UserError as error:
            refused[name] = str(error)
        else:
            possible.append(name)
    if not possible:
        reason = next(iter(refused.values()), "the data name no site")
        raise UserError(f"matrix: no site can be left out; {reason}")
    return possible, refused
