"""Public chest X-ray datasets: their downloads are recognised by their files and read as they are."""

from pathlib import Path

from trainer.data.adapters import (
    chexpert,
    covid_radiography,
    kaggle_set,
    kermany,
    mimic,
    nih,
    nlm,
    padchest,
    rsna,
    tbx11k,
    vindr,
)
from trainer.data.adapters.layout import Layout
from trainer.data.folder import Listing
from trainer.data.housekeeping import is_housekeeping
from trainer.errors import UserError

__all__ = ["LAYOUTS", "read_download"]

LAYOUTS: tuple[Layout, ...] = (
    nlm.SHENZHEN,
    nlm.MONTGOMERY,
    tbx11k.LAYOUT,
    kermany.LAYOUT,
    rsna.LAYOUT,
    nih.LAYOUT,
    chexpert.LAYOUT,
    mimic.LAYOUT,
    padchest.LAYOUT,
    vindr.LAYOUT,
    covid_radiography.LAYOUT,
    kaggle_set.LAYOUT,
)


def read_download(top: Path) -> Listing | None:
    """The images of a public dataset's download; None where a folder is none.

    The download may lie in folders that hold nothing else, as archives unpack.

    Raises:
        UserError: see :meth:`Layout.listing`; or the folder holds several downloads.
    """
    folder = top
    while True:
        if layout := _layout(folder):
            return layout.listing(folder, top)
        folders = sorted(
            entry for entry in folder.iterdir() if entry.is_dir() and not is_housekeeping(entry.name, True)
        )
        if len(folders) != 1:
            break
        folder = folders[0]
    inside = {entry.name: layout.title for entry in folders if (layout := _layout(entry))}
    if inside:
        found = ", ".join(f"{name} ({title})" for name, title in inside.items())
        raise UserError(f"{top}: holds downloads of public sets: {found}; give each one as its own --dataset")
    return None


def _layout(folder: Path) -> Layout | None:
    return next((layout for layout in LAYOUTS if layout.fits(folder)), None)
