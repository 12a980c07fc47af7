"""Datasets from Kaggle, through kagglehub, which caches, resumes and unpacks its downloads."""

import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path

import requests

from trainer.errors import UserError

_HAND = "or download it by hand and give its folder: --dataset PATH; or try the generated images: --dataset sample"
_CREDENTIALS = "an API token (kaggle.com, Settings, API) in KAGGLE_API_TOKEN or ~/.kaggle/kaggle.json"


def download(handle: str) -> Path:
    """Download a Kaggle dataset unless kagglehub's cache (``KAGGLEHUB_CACHE``) has it; its folder there.

    Raises:
        UserError: Kaggle can't be reached or refuses, or the archive is incomplete or broken.
    """
    import kagglehub  # slow to import, and needed by nobody who brings a folder
    from kagglehub.exceptions import DataCorruptionError

    name = f"Kaggle dataset {handle}"
    try:
        return Path(kagglehub.dataset_download(handle))
    except requests.HTTPError as error:
        raise UserError(f"{name}: {_refusal(error, handle)}; {_HAND}") from error
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError) as error:
        raise UserError(f"{name}: the download broke off; run it again, {_HAND}") from error
    except (requests.ConnectionError, requests.Timeout) as error:
        raise UserError(f"{name}: Kaggle can't be reached; check the network, {_HAND}") from error
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, DataCorruptionError) as error:
        _forget_broken(handle)
        raise UserError(f"{name}: the archive is broken ({_one_line(error)}); run it again, {_HAND}") from error
    except ValueError as error:
        # kagglehub's own: an archive of unknown type, or a kaggle.json that it can't read.
        _forget_broken(handle)
        raise UserError(f"{name}: {_one_line(error)}; run it again, {_HAND}") from error
    except OSError as error:
        raise UserError(
            f"{name}: {error.filename or 'cache'}: {error.strerror or error}; see KAGGLEHUB_CACHE"
        ) from error


def endpoint() -> str:
    """URL of the API that :func:`download` asks."""
    from kagglesdk.kaggle_env import get_endpoint, get_env

    return str(get_endpoint(get_env()))


def has_credentials() -> bool:
    """Whether kagglehub finds an API token or a user's key; public datasets need neither.

    Raises:
        UserError: there is a ``kaggle.json`` that can't be read.
    """
    from kagglehub.config import get_kaggle_credentials

    try:
        return get_kaggle_credentials() is not None
    except (OSError, ValueError) as error:
        raise UserError(f"{_one_line(error)}; put {_CREDENTIALS}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _refusal(error: requests.HTTPError, handle: str) -> str:
    """Say what an HTTP error's status means for a download and what to do about it."""
    status = error.response.status_code if error.response is not None else 0
    page = "https://www.kaggle.com/datasets/" + "/".join(handle.split("/")[:2])
    if status == 401:
        return f"Kaggle does not accept the credentials (401); put {_CREDENTIALS}"
    if status == 403:
        return f"Kaggle refuses it (403); sign in, accept the licence at {page} and put {_CREDENTIALS}"
    if status == 404:
        return "not found (404); check --kaggle-handle owner/name"
    if status == 429:
        return "too many requests (429); wait and run it again"
    return f"Kaggle answers with an error ({status}); run it again later"


def _forget_broken(handle: str) -> None:
    """Remove broken archives and half-unpacked versions, which kagglehub would take up again for ever."""
    from kagglehub.config import get_cache_folder

    owner, name = handle.split("/")[:2]
    folder = Path(get_cache_folder(), "datasets", owner, name)
    for archive in folder.glob("*.archive"):
        archive.unlink(missing_ok=True)
    for version in folder.glob("versions/*"):
        if not (folder / f"{version.name}.complete").exists():
            shutil.rmtree(version, ignore_errors=True)
