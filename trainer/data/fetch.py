"""``fetch``: bring datasets into ``data/raw/<CLASS>/`` and check that each of its images decodes.

``raw`` is made in a hidden folder and renamed when complete: it is never half there and always fits its report, and
an old dataset goes only when the new one is ready.
"""

import hashlib
import shutil
from collections import Counter
from pathlib import Path

from trainer.data import kaggle, sample
from trainer.data.datasets import NamedDataset, merge, named_datasets
from trainer.data.fetch_report import RAW, REPORT_FILE, FetchedDataset, FetchReport, read_fetch_report
from trainer.data.folder import Listing, Radiograph
from trainer.data.housekeeping import shown
from trainer.data.listing import list_images
from trainer.data.lock import locked
from trainer.data.manifest import MANIFEST_FILE, PROTOCOL_FILE, SPLITS
from trainer.data.raw import RawRecord, build_raw, read_raw
from trainer.errors import UserError
from trainer.settings import Settings

__all__ = ["describe_dataset", "fetch"]

_STAGING = ".raw.partial"
_OLD = ".raw.replaced"


def fetch(settings: Settings) -> FetchReport:
    """Bring the datasets of the settings into ``data_dir/raw``; nothing to do if they are there.

    Raises:
        UserError: a dataset can't be had or used, or ``data_dir`` holds others.
    """
    try:
        with locked(settings.data_dir):
            try:
                return _fetch(settings)
            finally:
                shutil.rmtree(settings.data_dir / _STAGING, ignore_errors=True)
    except OSError as error:
        where = error.filename or settings.data_dir
        raise UserError(f"{where}: {error.strerror or error}; fetch can be run again") from error


def describe_dataset(data_dir: Path) -> str:
    """Names of the datasets that the folder holds: ``kaggle:<handle>``, ``folder:<name>``, ``sample:<parameters>``.

    Several have `` + `` between them.

    Raises:
        UserError: ``fetch`` has not run.
    """
    report = read_fetch_report(data_dir)
    if report is None:
        raise UserError(f"{data_dir}: holds no dataset; run `python -m trainer fetch` first")
    return report.dataset


def _fetch(settings: Settings) -> FetchReport:
    data_dir, staging = settings.data_dir, settings.data_dir / _STAGING
    for leftover in (staging, data_dir / _OLD):
        shutil.rmtree(leftover, ignore_errors=True)
    held = read_fetch_report(data_dir)
    datasets = named_datasets(settings.dataset)
    identified = [_identify(dataset, settings, held) for dataset in datasets]
    if held is None:
        _refuse_foreign(data_dir)
    elif _is_held(held, [wanted for wanted, _ in identified], settings):
        print(f"{data_dir / RAW}: has the {held.images:,} images of {held.dataset} already")
        _print_report(data_dir, held)
        return held
    staging.mkdir(parents=True)
    listings: dict[str, Listing] = {}
    for (name, what), (wanted, listing) in zip(datasets, identified, strict=True):
        listings[name] = listing or list_images(wanted.location or _obtain(what, settings, staging))
    whole = merge(listings)
    report = FetchReport(
        datasets=[wanted.model_copy(update={"layout": listings[wanted.name].layout}) for wanted, _ in identified],
        left_out={shown(item.path): f"{item.files:,} files {item.reason}" for item in whole.left_out},
        notes=whole.lines(),
    )
    report = build_raw(staging / RAW, whole.radiographs, settings.workers, report)
    _commit(data_dir, staging)
    counts = ", ".join(f"{label} {count:,}" for label, count in report.classes.items())
    print(f"{data_dir / RAW}: {report.images:,} images of {report.dataset} ({counts})")
    _print_report(data_dir, report)
    return report


def _is_held(held: FetchReport, wanted: list[FetchedDataset], settings: Settings) -> bool:
    """Whether ``raw`` is complete and of the wanted datasets; if not, it is made anew.

    Raises:
        UserError: it holds others, and the settings do not let them be replaced.
    """
    data_dir = settings.data_dir
    here = {dataset.identity: dataset for dataset in held.datasets}
    if here.keys() != {dataset.identity for dataset in wanted}:
        if not settings.replace:
            raise UserError(
                f"{data_dir}: holds {' + '.join(dataset.shown for dataset in held.datasets)} and can't take "
                f"{' + '.join(dataset.dataset for dataset in wanted)} too; "
                "give another --data-dir, or --replace to give up what it holds"
            )
        return False
    for dataset in wanted:
        # A folder that is gone by now has no listing; its images are here all the same.
        if dataset.listing and dataset.listing != here[dataset.identity].listing:
            if not settings.replace:
                raise UserError(
                    f"{dataset.location}: its list of images has changed since it was fetched into {data_dir}; "
                    "--replace takes it as it is now, another --data-dir keeps both"
                )
            return False
    renamed = any(here[dataset.identity].name not in (dataset.name, "") for dataset in wanted)
    return not renamed and all((data_dir / record.path).is_file() for record in read_raw(data_dir))


def _identify(
    dataset: NamedDataset, settings: Settings, held: FetchReport | None
) -> tuple[FetchedDataset, Listing | None]:
    """What a dataset is, and a folder's images; nothing is downloaded."""
    name, what = dataset
    if what == "kaggle":
        return FetchedDataset(name=name, dataset=f"kaggle:{settings.kaggle_handle}"), None
    if what == "sample":
        parameters = (
            f"images={settings.sample_images}",
            f"size={settings.sample_size}",
            f"hospitals={settings.sample_hospitals}",
            f"seed={settings.seed}",
            f"confounded={str(settings.sample_confounded).lower()}",
        )
        return FetchedDataset(name=name, dataset=f"sample:{','.join(parameters)}"), None
    root, data_dir = Path(what).expanduser().resolve(), settings.data_dir.resolve()
    if root.is_relative_to(data_dir) or data_dir.is_relative_to(root):
        raise UserError(f"--dataset {root} and --data-dir {data_dir} lie one in the other; give another --data-dir")
    wanted = FetchedDataset(name=name, dataset=f"folder:{root.name}", location=str(root))
    if held and not root.exists() and wanted.location in {dataset.location for dataset in held.datasets}:
        return wanted, None
    listing = list_images(what)
    return wanted.model_copy(update={"listing": _digest(listing.radiographs)}), listing


def _digest(radiographs: list[Radiograph]) -> str:
    """SHA-256 of a list of images and what is known of them, sizes included."""
    digest = hashlib.sha256()
    for radiograph in radiographs:
        row = (
            radiograph.path,
            radiograph.file.stat().st_size,
            radiograph.label,
            radiograph.site,
            radiograph.patient,
            radiograph.split,
        )
        digest.update(repr(row).encode())
    return digest.hexdigest()


def _refuse_foreign(data_dir: Path) -> None:
    """Refuse a data folder that has folders which no fetch has made: they may be somebody's only copy."""
    for name in (RAW, *SPLITS):
        if (data_dir / name).exists():
            raise UserError(f"{data_dir / name}: was not made by fetch; move it away or give another --data-dir")


def _obtain(what: str, settings: Settings, staging: Path) -> Path:
    """Download or generate a dataset; the folder that its images are in."""
    if what == "kaggle":
        return kaggle.download(settings.kaggle_handle)
    folder = staging / "sample"
    sample.write(
        folder,
        sample.SampleSet(
            images=settings.sample_images,
            size=settings.sample_size,
            hospitals=settings.sample_hospitals,
            seed=settings.seed,
            confounded=settings.sample_confounded,
        ),
        settings.workers,
    )
    return folder


def _commit(data_dir: Path, staging: Path) -> None:
    """Let the staged ``raw`` take the place of the old one, whose split goes with it."""
    old = data_dir / _OLD
    shutil.rmtree(old, ignore_errors=True)
    old.mkdir()
    for name in (MANIFEST_FILE, PROTOCOL_FILE, *SPLITS, RAW):
        if (data_dir / name).exists():
            (data_dir / name).rename(old / name)
    (staging / RAW).rename(data_dir / RAW)
    shutil.rmtree(old)
    shutil.rmtree(staging)


def _print_report(data_dir: Path, report: FetchReport) -> None:
    """Images by dataset, site, view and class, and what was left out and why."""
    for line in [*_counts(read_raw(data_dir)), *report.lines()]:
        print(f"  {line}")
    if report.lines():
        print(f"  see {data_dir / RAW / REPORT_FILE}")


def _counts(records: list[RawRecord]) -> list[str]:
    """A table of the images by dataset, site and view (rows) and class (columns); none where it has one row only."""
    labels = sorted({record.label for record in records})
    images = Counter(((record.dataset, record.site, record.view), record.label) for record in records)
    rows = [
        [*(part or "-" for part in row), *(f"{images[row, label]:,}" for label in labels)]
        for row in sorted({row for row, _ in images})
    ]
    table = [["dataset", "site", "view", *labels], *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    if len(rows) == 1:
        return []
    return [
        "  ".join(
            cell.ljust(width) if place < 3 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
