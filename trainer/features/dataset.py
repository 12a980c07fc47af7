"""Where the tail's training data come from: the policy of ``--cache`` and its disk budget."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ignite.distributed as idist
import numpy as np

from trainer.data.manifest import Record
from trainer.features.augmentation import Augmentation
from trainer.features.batches import Fetch, from_cache, from_images
from trainer.features.decoded_store import FilesAsImages, Images, decoded_images, images_path
from trainer.features.memmap import make_room, missing_anywhere
from trainer.features.prefix_cache import Prefix, Views, cache_bytes, cache_paths, prefix_outputs
from trainer.settings import Settings
from trainer.types import Array


@dataclass(frozen=True)
class LabelledImages:
    """One split's images: N images, their N files and N class indices."""

    images: Images
    files: list[Path]
    labels: Array
    sites: list[str]
    """Of each image; empty where unknown."""
    key: str
    """Names the images, their order and their preprocessing."""

    @property
    def groups(self) -> list[str]:
        """Class and site of each image."""
        return [f"{label} {site}" for label, site in zip(self.labels, self.sites, strict=True)]


@dataclass(frozen=True)
class Features:
    """What the tail is trained and validated on, by cut."""

    train: dict[int, Fetch]
    validation: dict[int, Fetch]


def load_images(records: list[Record], classes: Sequence[str], settings: Settings, title: str) -> LabelledImages:
    """A split's images: decoded into the image store, or with ``--cache off`` from their files each time."""
    spec = settings.preprocessing
    paths = [settings.data_dir / record.path for record in records]
    hashes = [record.sha256 for record in records]
    labels = np.array([classes.index(record.label) for record in records], dtype=np.int64)
    images: Images
    if settings.cache == "off":
        images = FilesAsImages(paths, spec, settings.workers)
    else:
        cache = settings.data_dir / "cache"
        if missing_anywhere([images_path(hashes, spec, cache)]):
            make_room(cache, len(paths) * spec.image_size**2, int(settings.cache_gb * 1e9))
        images = decoded_images(paths, hashes, spec, cache, settings.workers, title)
    sites = [record.site for record in records]
    return LabelledImages(images, paths, labels, sites, f"{spec.model_dump_json()} {hashes}")


def make_features(settings: Settings, prefix: Prefix, train: LabelledImages, validation: LabelledImages) -> Features:
    """Fill the cache, as far as settings and budget let it, and say what to read.

    Raises:
        UserError: the disk is full.
    """
    augmentation = augmentation_of(settings)
    views = Views(augmentation, settings.views, settings.seed)
    plain = Views()
    cache = settings.data_dir / "cache"
    if settings.cache == "views":
        affordable = _make_room(settings, prefix, train, validation, views, cache)
        if affordable:
            views = replace(views, count=affordable)
            return Features(
                _read(prefix, train, views, settings.image_size, cache, "train"),
                _read(prefix, validation, plain, settings.image_size, cache, "val"),
            )
    return Features(
        {cut: from_images(train.images, prefix, cut, views) for cut in prefix.cuts},
        {cut: from_images(validation.images, prefix, cut, plain) for cut in prefix.cuts},
    )


def _read(
    prefix: Prefix, radiographs: LabelledImages, views: Views, image_size: int, cache: Path, title: str
) -> dict[int, Fetch]:
    arrays = prefix_outputs(prefix, radiographs.images, image_size, radiographs.key, cache, views, title)
    return {cut: from_cache(array, prefix.device) for cut, array in zip(prefix.cuts, arrays, strict=True)}


def augmentation_of(settings: Settings) -> Augmentation:
    """The settings' augmentation."""
    s = settings
    return Augmentation(s.rotation, s.shift, s.scale, s.exposure, s.sharpness, s.noise, s.flip)


def _make_room(
    settings: Settings,
    prefix: Prefix,
    train: LabelledImages,
    validation: LabelledImages,
    views: Views,
    cache: Path,
) -> int:
    """Views that the budget has room for, once older caches have gone; says so where they are fewer than asked."""
    budget = int(settings.cache_gb * 1e9)
    plain = cache_bytes(prefix, len(validation.images), settings.image_size, 1)
    one = cache_bytes(prefix, len(train.images), settings.image_size, 1)
    images = settings.image_size**2 * (len(train.images) + len(validation.images))
    affordable = min(views.count, (budget - images - plain) // one)
    affordable = affordable if affordable > 1 else 0  # with one view there would be nothing but the images
    if affordable < views.count and idist.get_rank() == 0:
        rest = f"{affordable} views instead" if affordable else "the prefix runs anew each epoch, as with --cache fresh"
        print(
            f"cache: {views.count} views need {(images + plain + one * views.count) / 1e9:.1f} GB, "
            f"--cache-gb allows {settings.cache_gb:g}: {rest}"
        )
    if not affordable:
        make_room(cache, 0, budget)
        return 0
    views = replace(views, count=affordable)
    paths = cache_paths(prefix, train.key, views, cache) + cache_paths(prefix, validation.key, Views(), cache)
    if missing_anywhere(paths):
        make_room(cache, plain + one * affordable, budget)
    return affordable
