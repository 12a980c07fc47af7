"""A calibrated model as a version of its own: the same graph and weights, and a manifest with a site."""

import hashlib
import re
import shutil
from pathlib import Path

import bentoml
from bentoml.exceptions import BentoMLException

from bento.artifact import FORMAT_VERSION, MANIFEST_FILE, SITE_IMAGES_FILE, STORE_NAME, Manifest, SiteCalibration
from bento.artifact.site import BASE_CHARACTERS
from trainer.errors import UserError
from trainer.files import write_text
from trainer.publishing.stored_models import check_servable, serve_by_default, served_tag, store_alone, stored_tags

DIGITS = 6
"""Of the block's hash in the version."""
LONGEST = 63
"""Characters that BentoML allows a version."""


def calibrated_manifest(base: Manifest, site: SiteCalibration, images: str) -> Manifest:
    """The manifest of a calibrated model, with the hash of ``images``, the list of those that it was calibrated on.

    Its version is the base's, the site's name and a hash of all that was found but the time, so that the same
    calibration made again is the same version.
    """
    digest = hashlib.sha256(site.model_dump_json(exclude={"created"}).encode()).hexdigest()[:DIGITS]
    start = site.base_version[:BASE_CHARACTERS]
    name = site_slug(site.name)[: LONGEST - len(start) - DIGITS - 2].strip("-")
    version = "-".join(part for part in (start, name, digest) if part)
    files = base.files | {SITE_IMAGES_FILE: hashlib.sha256(images.encode()).hexdigest()}
    update = {"format_version": FORMAT_VERSION, "model_version": version, "site": site, "files": files}
    return base.model_copy(update=update)


def site_slug(name: str) -> str:
    """A site's name as part of a version: lower-case letters and digits, with hyphens between."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def store_version(base: Path, base_tag: str, manifest: Manifest, images: str) -> str:
    """Put a calibrated model into the model store; what is served by default stays as it is.

    Args:
        base: folder of the stored model that was calibrated.
        base_tag: of this one.
        manifest: of the calibrated one.
        images: see :func:`calibrated_manifest`.

    Returns:
        What is stored, and how it comes to be served.

    Raises:
        UserError: the store can't be written.
    """
    tag = f"{STORE_NAME}:{manifest.model_version}"
    with store_alone():
        served = served_tag()
        try:
            if tag in stored_tags():
                check_servable(tag)
            else:
                _store(base, base_tag, manifest, images)
        except (OSError, BentoMLException) as error:
            raise UserError(f"the model store can't be written: {error}; see BENTOML_HOME") from error
        finally:
            # BentoML lets what it has just stored be the default one.
            if served is not None and served_tag() != served:
                serve_by_default(served)
    return (
        f"stored, not promoted: {tag}; bentoml serve stays with {served}, "
        f"python -m trainer models promote {tag} changes that"
    )


def _store(base: Path, base_tag: str, manifest: Manifest, images: str) -> None:
    info = bentoml.models.get(base_tag).info
    labels = {**info.labels, "site": site_slug(manifest.site.name) if manifest.site else ""}
    tag = f"{STORE_NAME}:{manifest.model_version}"
    with bentoml.models.create(tag, labels=labels, metadata=dict(info.metadata)) as model:
        for name in manifest.files.keys() - {SITE_IMAGES_FILE}:
            shutil.copyfile(base / name, model.path_of(name))
        write_text(Path(model.path_of(SITE_IMAGES_FILE)), images)
        write_text(Path(model.path_of(MANIFEST_FILE)), manifest.model_dump_json(indent=2) + "\n")
