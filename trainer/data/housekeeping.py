"""Names of files and folders that are no images of a dataset, whatever is in them.

Network drives, desktops, archives and editors put thumbnails, caches and forks of images beside the images, and
annotation tools put masks there.
"""

import re
import unicodedata

_FOLDERS = frozenset((
    "#recycle", "#snapshot", "~snapshot", "$recycle.bin", "recycler", "recycled", "system volume information",
    "lost+found", "__macosx", "network trash folder", "temporary items", "thevolumesettingsfolder",
    "thefindbycontentfolder", "thumbnails", "thumbs", "__pycache__", "cvs",
))  # fmt: skip
_FILES = frozenset(("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini", "icon\r"))
_FORKS = ("@synoeastream", "@synoresource", ":zone.identifier", ":encryptable")
"""Ends of files that keep what another file system keeps beside a file."""
_ANNOTATIONS = frozenset((
    "mask", "label", "annotation", "annot", "segmentation", "seg", "heatmap", "groundtruth", "gt", "contour", "overlay",
    "bbox", "bboxe",
))  # fmt: skip
"""Words, without a plural's s."""


def is_housekeeping(name: str, folder: bool) -> bool:
    """Whether a file or folder is hidden, or was made by a network drive, a desktop, an archive or an editor."""
    folded = name.casefold()
    if name.startswith((".", "@", "~$")):  # @: Synology's and QNAP's, such as @eaDir
        return True
    return folded in _FOLDERS if folder else folded in _FILES or folded.endswith(_FORKS)


def is_annotation(folder: str) -> bool:
    """Whether a folder's name says that it holds masks or other annotations: ``masks``, ``lung_mask``, ``leftMask``."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", unicodedata.normalize("NFKC", folder))
    last = [word.lower() for word in words][-2:]
    return bool(last) and any(word.removesuffix("s") in _ANNOTATIONS for word in ("".join(last), last[-1]))


def class_name(text: str) -> str:
    """A class's name as it is kept: without blanks around it, its letters composed (Unicode NFC)."""
    return unicodedata.normalize("NFC", text.strip())


def is_name(text: str) -> bool:
    """Whether text can name a file or a class: it has no control characters and is Unicode, without lone surrogates."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def shown(path: str) -> str:
    """A path for print and JSON, with escapes for what :func:`is_name` refuses, so that two paths stay two."""
    return "".join(letter if is_name(letter) else letter.encode("unicode_escape").decode() for letter in path)
