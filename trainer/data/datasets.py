"""The datasets of a run: their names, and the images of all of them in one listing."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from trainer.data.folder import Listing, Radiograph
from trainer.data.listing import check_classes, list_images
from trainer.data.patients import check_pattern, patient_from_name
from trainer.data.raw import RawRecord
from trainer.errors import UserError

__all__ = ["BUILT_IN", "NamedDataset", "known_sites", "merge", "named_datasets", "open_datasets", "to_tell"]

BUILT_IN = ("kaggle", "sample")
_NAMED = re.compile(r"([A-Za-z0-9][\w.+-]*):(.+)", re.DOTALL)


class NamedDataset(NamedTuple):
    """One value of ``--dataset``."""

    name: str
    what: str
    """One of :data:`BUILT_IN`, or a folder."""


def named_datasets(given: Sequence[str]) -> list[NamedDataset]:
    """Each dataset with its name: as in ``NAME:PATH``, else its folder's.

    Raises:
        UserError: two have one name.
    """
    datasets = []
    for text in given:
        named = None if Path(text).expanduser().exists() else _NAMED.fullmatch(text)
        what = named[2] if named else text
        own = what if what in BUILT_IN else Path(what).expanduser().resolve().name or "root"
        datasets.append(NamedDataset(named[1] if named else own, what))
    name, count = Counter(dataset.name.casefold() for dataset in datasets).most_common(1)[0]
    if count > 1:
        raise UserError(f"--dataset: {count} datasets are called {name!r}; name them: --dataset NAME:PATH")
    return datasets


def merge(listings: Mapping[str, Listing]) -> Listing:
    """The images of all datasets by their names, each with its dataset's name.

    Of several datasets, paths begin with the name.

    Raises:
        UserError: there are fewer than two classes in all.
    """
    if len(listings) == 1:
        ((name, listing),) = listings.items()
        whole = replace(listing, radiographs=[replace(image, dataset=name) for image in listing.radiographs])
    else:
        whole = Listing([])
        for name, listing in listings.items():
            whole.radiographs.extend(
                replace(image, path=f"{name}/{image.path}", dataset=name) for image in listing.radiographs
            )
            whole.left_out.extend(item._replace(path=f"{name}/{item.path}") for item in listing.left_out)
        whole.radiographs.sort(key=lambda image: image.path)
    check_classes(", ".join(listings), whole.radiographs)
    return whole


def to_tell(listings: Mapping[str, Listing]) -> list[str]:
    """What is to be said aloud of the datasets' files; of several, each line begins with its dataset's name."""
    if len(listings) == 1:
        return next(iter(listings.values())).lines()
    lines = []
    for name, listing in listings.items():
        unknown = sum(not image.site for image in listing.radiographs)
        note = [f"{unknown:,} images name no site; the dataset's name stands for it"] if unknown else []
        lines += [f"{name}: {line}" for line in listing.lines() + note]
    return lines


def known_sites(images: Sequence[Radiograph] | Sequence[RawRecord]) -> list[str]:
    """Site of each image: of several datasets, the name stands for the site of an image of which none is known.

    So patients and classes of two datasets are never taken for those of one place.
    """
    several = len({image.dataset for image in images}) > 1
    return [image.site or (image.dataset if several else "") for image in images]


def open_datasets(
    given: Sequence[str], patient_pattern: str | None = None, table: Path | None = None
) -> list[Radiograph]:
    """List external folders without copying them, each image with its patient; print what is left out.

    The patient comes from the dataset's table, the pattern, or a known file-name rule; else the image counts
    as a patient of its own, named by its path.

    Args:
        given: folders, as for ``--dataset``.
        patient_pattern: see :func:`~trainer.data.patients.patient_from_name`.
        table: see :func:`~trainer.data.listing.list_images`; for one folder.

    Raises:
        UserError: see :func:`~trainer.data.listing.list_images` and :func:`merge`; or the pattern finds no patient.
    """
    datasets = named_datasets(given)
    listings = {dataset.name: list_images(dataset.what, table) for dataset in datasets}
    listing = merge(listings)
    for line in to_tell(listings):
        print(f"{given[0]}: {line}" if len(given) == 1 else line)
    check_pattern(patient_pattern, [image.path for image in listing.radiographs if not image.patient])
    return [
        replace(
            image,
            site=site,
            patient=image.patient or patient_from_name(image.path, patient_pattern) or image.path,
        )
        for image, site in zip(listing.radiographs, known_sites(listing.radiographs), strict=True)
    ]
