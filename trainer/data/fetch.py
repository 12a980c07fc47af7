"""``fetch``: bring one dataset into ``data/raw/<CLASS>/`` and check that each of its images decodes.

``raw`` is made in a hidden folder and renamed when complete: it is never half there and always fits its report, and
an old dataset goes only when the new one is ready.
"""

import hashlib
import shutil
from pathlib import Path

from trainer.data import kaggle, sample
from trainer.data.folder import Listing, Radiograph
from trainer.data.housekeeping import shown
from trainer.data.listing import read_listing
from trainer.data.lock import locked
from trainer.data.manifest import MANIFEST_FILE, PROTOCOL_FILE, SPLITS
from trainer.data.raw import RAW, REPORT_FILE, FetchReport, build_raw, read_fetch_report, read_raw
from trainer.errors import UserError
from trainer.settings import Settings

__all__ = ["describe_dataset", "fetch"]

_STAGING = ".raw.partial"
_OLD = ".raw.replaced"


def fetch(settings: Settings) -> FetchReport:
    """Bring the dataset of the settings into ``data_dir/raw``; nothing to do if it is there.

    Raises:
        UserError: the dataset can't be had or used, or ``data_dir`` holds another one.
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
    """Name of the dataset that the folder holds: ``kaggle:<handle>``, ``folder:<name>`` or ``sample:<parameters>``.

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
    wanted, listing = _identify(settings, held)
    if held is None:
        _refuse_foreign(data_dir)
    elif _is_held(held, wanted, settings):
        print(f"{data_dir / RAW}: has the {held.images:,} images of {held.dataset} already")
        return held
    staging.mkdir(parents=True)
    root = Path(wanted.location) if wanted.location else _obtain(settings, staging)
    listing = listing or read_listing(root)
    left_out = {shown(item.path): f"{item.files:,} files {item.reason}" for item in listing.left_out}
    wanted = wanted.model_copy(update={"left_out": left_out})
    report = build_raw(staging / RAW, listing.radiographs, settings.workers, wanted)
    _commit(data_dir, staging)
    _print_report(data_dir, report, listing)
    return report


def _is_held(held: FetchReport, wanted: FetchReport, settings: Settings) -> bool:
    """Whether ``raw`` is complete and of the wanted dataset; if not, it is made anew.

    Raises:
        UserError: it holds another dataset, and the settings do not let it be replaced.
    """
    data_dir = settings.data_dir
    if (held.dataset, held.location) != (wanted.dataset, wanted.location):
        if not settings.replace:
            was = f"{held.dataset} ({held.location})" if held.location else held.dataset
            raise UserError(
                f"{data_dir}: holds {was} and can't take {wanted.dataset} too; "
                "give another --data-dir, or --replace to give up what it holds"
            )
        return False
    # A folder that is gone by now has no listing; its images are here all the same.
    if wanted.listing and wanted.listing != held.listing:
        if not settings.replace:
            raise UserError(
                f"{wanted.location}: its list of images has changed since it was fetched into {data_dir}; "
                "--replace takes it as it is now, another --data-dir keeps both"
            )
        return False
    return all((data_dir / record.path).is_file() for record in read_raw(data_dir))


def _identify(settings: Settings, held: FetchReport | None) -> tuple[FetchReport, Listing | None]:
    """The dataset that the settings name, as a report without counts, and a folder's images; nothing is downloaded."""
    if settings.dataset == "kaggle":
        return FetchReport(dataset=f"kaggle:{settings.kaggle_handle}"), None
    if settings.dataset == "sample":
        parameters = (
            f"images={settings.sample_images}",
            f"size={settings.sample_size}",
            f"hospitals={settings.sample_hospitals}",
            f"seed={settings.seed}",
            f"confounded={str(settings.sample_confounded).lower()}",
        )
        return FetchReport(dataset=f"sample:{','.join(parameters)}"), None
    root, data_dir = Path(settings.dataset).expanduser().resolve(), settings.data_dir.resolve()
    if root.is_relative_to(data_dir) or data_dir.is_relative_to(root):
        raise UserError(f"--dataset {root} and --data-dir {data_dir} lie one in the other; give another --data-dir")
    wanted = FetchReport(dataset=f"folder:{root.name}", location=str(root))
    if held and held.location == wanted.location and not root.exists():
        return wanted, None
    listing = read_listing(settings.dataset)
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


def _obtain(settings: Settings, staging: Path) -> Path:
    """Download or generate the dataset; the folder that its images are in."""
    if settings.dataset == "kaggle":
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


def _print_report(data_dir: Path, report: FetchReport, listing: Listing) -> None:
    counts = ", ".join(f"{label} {count:,}" for label, count in report.classes.items())
    print(f"{data_dir / RAW}: {report.images:,} images of {report.dataset} ({counts})")
    notes = [
        (len(report.unreadable), "unreadable files left out"),
        (len(report.input_warnings), "images with input warnings"),
        (report.duplicates, "exact duplicates"),
        (report.lookalikes, "images that show the same picture as another one; they stay in one split"),
        (len(report.conflicts), "images in more than one class"),
    ]
    lines = [f"{count:,} {what}" for count, what in notes if count] + listing.lines()
    for line in lines:
        print(f"  {line}")
    if lines:
        print(f"  see {data_dir / RAW / REPORT_FILE}")
