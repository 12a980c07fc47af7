"""The models of BentoML's model store: list, delete, and decide which one is served by default.

That is the one which ``chest_xray:latest`` means. BentoML keeps it in a file beside the models, which every part of it
reads; by itself it lets a new model be ``latest`` at once, and after a deletion the newest one.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from bento.artifact import STORE_NAME, ArtifactError, Manifest, load_manifest
from trainer.errors import UserError
from trainer.files import check_writable, model_store, write_text
from trainer.inference.model_store import stored_folder

# Private: BentoML's own record of what `latest` means.
POINTER = "latest"
OWN_IMAGES = "Each macro F1 is of the model's own test images, so that it is no comparison."
HEADS = ("", "model", "made", "dataset", "classes", "macro F1", "test images", "calibrated for")


def versions_folder() -> Path:
    """Folder of the versions of this project's model."""
    return model_store() / "models" / STORE_NAME


def stored_tags() -> list[str]:
    """Tags of all stored models, damaged ones too, the newest first."""
    # By hand: BentoML lists none where one is damaged.
    folders = [path for path in versions_folder().glob("*") if path.is_dir()]
    folders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [f"{STORE_NAME}:{folder.name}" for folder in folders]


def served_tag() -> str | None:
    """Tag of the model that ``bentoml serve`` takes by default; None where the store has no model.

    Raises:
        UserError: the store does not say it, and a damaged model hides which one is the newest.
    """
    tags = stored_tags()
    try:
        pointed = f"{STORE_NAME}:{(versions_folder() / POINTER).read_text(encoding='utf-8').strip()}"
    except OSError:
        pointed = ""
    if pointed in tags:
        return pointed
    return f"{STORE_NAME}:{stored_folder(f'{STORE_NAME}:{POINTER}').name}" if tags else None


def serve_by_default(tag: str) -> None:
    """Let ``chest_xray:latest`` mean this stored model, in one step."""
    write_text(versions_folder() / POINTER, tag.partition(":")[2])


@contextmanager
def store_alone() -> Iterator[None]:
    """Have the store's default to oneself, between looking at it and changing it.

    Raises:
        OSError: the store can't be written; it names the folder.
    """
    folder = versions_folder().parent
    check_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{STORE_NAME}.lock"):
        yield


def find_tag(given: str) -> str:
    """The whole tag of a stored model, from its tag or its version.

    Raises:
        UserError: there is no such model.
    """
    tag = given if ":" in given else f"{STORE_NAME}:{given}"
    tags = stored_tags()
    if tag == f"{STORE_NAME}:{POINTER}":
        tag = served_tag() or tag
    if tag not in tags:
        raise UserError(f"models: no model {given} in the model store; python -m trainer models lists them")
    return tag


def promote(given: str) -> str:
    """Serve a stored model by default from now on; returns its whole tag.

    Raises:
        UserError: it is not there, or damaged.
    """
    tag = find_tag(given)
    with store_alone():
        check_servable(tag)
        serve_by_default(tag)
    return tag


def check_servable(tag: str) -> None:
    """Refuse a stored model that is damaged.

    Raises:
        UserError: what is wrong with it.
    """
    try:
        load_manifest(stored_folder(tag))
    except ArtifactError as error:
        raise UserError(str(error)) from error


def delete(given: str, confirm: Callable[[str], bool]) -> str:
    """Delete a stored model, but not the one that is served by default.

    Args:
        given: its tag or its version.
        confirm: is asked with the whole tag first.

    Returns:
        The whole tag.

    Raises:
        UserError: it is not there, is served by default, or is not confirmed.
    """
    tag = find_tag(given)
    _refuse_served(tag)
    if not confirm(tag):
        raise UserError(f"models: {tag} is not deleted; --yes deletes it without a question")
    with store_alone():
        _refuse_served(tag)
        shutil.rmtree(versions_folder() / tag.partition(":")[2])
    return tag


def _refuse_served(tag: str) -> None:
    if tag != served_tag():
        return
    others = [other for other in stored_tags() if other != tag]
    then = f"promote another first: python -m trainer models promote {others[0]}" if others else "there is no other one"
    raise UserError(f"models: {tag} is served by default and can't be deleted; {then}")


def models_table() -> str:
    """All stored models, the newest first, as text; the one that is served by default has a star."""
    tags = stored_tags()
    if not tags:
        return f"no model in {versions_folder()}; make one with python -m trainer"
    served = served_tag()
    rows = [HEADS, *(_row(tag, served) for tag in tags)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    notes = [f"* served by default. {OWN_IMAGES}"]
    if named := os.environ.get("CHEST_XRAY_MODEL"):
        notes.append(f"CHEST_XRAY_MODEL is set here: bentoml serve takes {named}.")
    return "\n".join([*lines, "", *notes])


def _row(tag: str, served: str | None) -> tuple[str, ...]:
    star = "*" if tag == served else ""
    try:
        manifest = load_manifest(stored_folder(tag))
    except (ArtifactError, UserError):
        return star, tag, "damaged", "", "", "", "", ""
    data = manifest.data
    dataset = "sample (generated)" if data.synthetic else data.dataset
    made, classes = f"{manifest.created:%Y-%m-%d %H:%M}", ", ".join(manifest.classes)
    return star, tag, made, dataset, classes, _macro_f1(manifest), f"{manifest.metrics.images:,}", _site(manifest)


def _site(manifest: Manifest) -> str:
    return f"{manifest.site.name} (n = {manifest.site.images:,})" if manifest.site else ""


def _macro_f1(manifest: Manifest) -> str:
    """On the model's own test images, with the interval where it is known."""
    known = manifest.intervals.get("macro_f1")
    if known is None:
        return f"{manifest.metrics.macro_f1:.2f}"
    return f"{known.value:.2f} ({known.low:.2f} to {known.high:.2f})"
