"""Where the tail's training data come from: the policy of ``--cache`` and its disk budget."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import ignite.distributed as idist
import numpy as np

from bento.imaging.intake import DECODING
from trainer.data.manifest import Record
from trainer.features.augmentation import Augmentation
from trainer.features.batches import Fetch, from_cache, from_images, views_shown
from trainer.features.decoded_store import ImageFiles, Images, decoded_images, images_path
from trainer.features.memmap import missing_anywhere
from trainer.features.prefix_cache import Prefix, Views, cache_bytes, cache_paths, prefix_outputs
from trainer.features.store import Store
from trainer.settings import Settings
from trainer.types import Array


@dataclass(frozen=True)
class LabelledImages:
    """One split's images: N images, their N files and N class indices."""

    images: Images
    files: ImageFiles
    labels: Array
    sites: list[str]
    """Of each image; empty where unknown."""
    key: str
    """Names the images, their order and their preprocessing."""

    @property
    def groups(self) -> list[str]:
        """Class and site of each image."""
        return class_and_site(self.labels, self.sites)


@dataclass(frozen=True)
class Features:
    """What the tail is trained and validated on, by cut."""

    train: dict[int, Fetch]
    validation: dict[int, Fetch]


def class_and_site(labels: Array, sites: Sequence[str]) -> list[str]:
    """Name of the group of each of N images in the weights of the loss."""
    return [f"{label} {site}" for label, site in zip(labels, sites, strict=True)]


def store_of(settings: Settings) -> Store:
    """The settings' cache folder."""
    return Store(settings.data_dir / "cache", int(settings.cache_gb * 1e9))


def augmentation_of(settings: Settings) -> Augmentation:
    """The settings' augmentation."""
    s = settings
    return Augmentation(s.rotation, s.shift, s.scale, s.exposure, s.sharpness, s.noise, s.flip)


def load_images(records: list[Record], classes: Sequence[str], settings: Settings, title: str) -> LabelledImages:
    """A split's images: decoded into the image store, or with ``--cache off`` from their files each time."""
    spec = settings.preprocessing
    files = ImageFiles([settings.data_dir / record.path for record in records], spec, settings.workers)
    hashes = [record.sha256 for record in records]
    labels = np.array([classes.index(record.label) for record in records], dtype=np.int64)
    images: Images = files
    if settings.cache != "off":
        store = store_of(settings)
        if missing_anywhere([images_path(store, files, hashes)]):
            store.make_room(len(files) * spec.image_size**2)
        images = decoded_images(files, hashes, store, title)
    sites = [record.site for record in records]
    return LabelledImages(images, files, labels, sites, f"{DECODING} {spec.model_dump_json()} {hashes}")


def make_features(settings: Settings, prefix: Prefix, train: LabelledImages, validation: LabelledImages) -> Features:
    """Fill the cache, as far as settings and budget let it, and say what to read.

    Raises:
        UserError: the disk is full.
    """
    views, plain = Views(augmentation_of(settings), settings.views, settings.seed), Views()
    affordable = _make_room(settings, prefix, train, validation, views) if settings.cache == "views" else 0
    if affordable:
        store = store_of(settings)
        return Features(
            _cached(prefix, train, replace(views, count=affordable), store, "train", _last(settings)),
            _cached(prefix, validation, plain, store, "val"),
        )
    return Features(
        {cut: from_images(train.images, prefix, cut, views) for cut in prefix.cuts},
        {cut: from_images(validation.images, prefix, cut, plain) for cut in prefix.cuts},
    )


def _last(settings: Settings) -> int:
    """Views that Phase A, whose input is the output at the last cut, is shown."""
    return 1 + int(views_shown(np.arange(2), settings.epochs_a).max())


def _cached(
    prefix: Prefix, split: LabelledImages, views: Views, store: Store, title: str, last: int | None = None
) -> dict[int, Fetch]:
    arrays = prefix_outputs(prefix, split.images, split.key, views, store, title, last)
    return {cut: from_cache(array, prefix.device) for cut, array in zip(prefix.cuts, arrays, strict=True)}


def _make_room(
    settings: Settings, prefix: Prefix, train: LabelledImages, validation: LabelledImages, views: Views
) -> int:
    """Views that the budget has room for, once older caches have gone; says so where they are fewer than asked."""
    store = store_of(settings)
    plain = cache_bytes(prefix, len(validation.images), settings.image_size, 1)
    per_view = cache_bytes(prefix, len(train.images), settings.image_size, 1)
    images = settings.image_size**2 * (len(train.images) + len(validation.images))
    affordable = min(views.count, (store.budget - images - plain) // per_view)
    affordable = affordable if affordable > 1 else 0  # with one view there would be nothing but the images
    if affordable < views.count and idist.get_rank() == 0:
        rest = f"{affordable} views instead" if affordable else "the prefix runs anew each epoch, as with --cache fresh"
        print(
            f"cache: {views.count} views need {(images + plain + per_view * views.count) / 1e9:.1f} GB, "
            f"--cache-gb allows {settings.cache_gb:g}: {rest}"
        )
    if not affordable:
        store.make_room(0)
        return 0
    views = replace(views, count=affordable)
    paths = cache_paths(store, prefix, train.key, views, _last(settings)) + cache_paths(
        store, prefix, validation.key, Views()
    )
    if missing_anywhere(paths):
        store.make_room(plain + per_view * affordable)
    return affordable
