"""Every setting of the service: an environment variable named ``CHEST_XRAY_`` and the field in capitals."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from bento.artifact import STORE_NAME
from bento.cpu import available_cores
from bento.imaging.preprocessing import MAX_PIXELS

ENV_PREFIX = "CHEST_XRAY_"
SUPERVISOR = f"{ENV_PREFIX}SUPERVISOR"
"""Environment variable that the service sets for its workers: the process that has started them."""
PACS_PREFIX = f"{ENV_PREFIX}PACS_"
"""Of the settings of ``python -m bento.pacs``, which looks at them itself."""
KEY_VARIABLES = (f"{ENV_PREFIX}API_KEY_HASHES", f"{ENV_PREFIX}API_KEY_FILE")
_MEANT = re.compile("CHEST_?X_?RAY_?")
# Kubernetes and Docker give every container those of a service called chest-xray.
_SERVICE_LINK = re.compile(ENV_PREFIX + r"(SERVICE_(HOST|PORT\w*)|(\d+_)?PORT(_\d+_(TCP|UDP|SCTP)\w*)?|NAME|ENV_\w+)")
CORES_PER_WORKER = 8


def _default_threads() -> int:
    return min(available_cores(), CORES_PER_WORKER) + 1


class Settings(BaseSettings):
    """Settings of the service. The docstrings below the fields are their documentation."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_ignore_empty=True, frozen=True, use_attribute_docstrings=True
    )

    model: str = Field(default=f"{STORE_NAME}:latest", min_length=1)
    """Tag of the artifact in the BentoML model store."""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    """Where the model runs. `cuda` ends the service where there is no GPU that works, `auto` then takes the CPU."""
    max_upload_bytes: int = Field(default=10_000_000, ge=1_000)
    """Largest image file in bytes."""
    max_pixels: int = Field(default=MAX_PIXELS, ge=1_000)
    """Most pixels an image may announce; checked before anything is decoded."""
    max_batch: int = Field(default=16, ge=1, le=256)
    """Most images of one request to ``/predict/batch``."""
    max_batch_bytes: int = Field(default=50_000_000, ge=1_000)
    """Most bytes of them together."""
    max_upload_memory: int = Field(default=256_000_000, ge=1_000_000)
    """Bytes of uploads that a worker holds in memory; beyond it the oldest unfinished upload gives way."""
    workers: int = Field(default_factory=lambda: max(1, available_cores() // CORES_PER_WORKER), ge=1, le=256)
    """Processes that serve. One fills eight cores: all but a tenth of its work is outside Python's lock."""
    threads: int = Field(default_factory=_default_threads, ge=1, le=1024)
    """Threads of a worker that classify, under load two images a pass; one more than its cores fills the gaps."""
    max_concurrency: int = Field(default=64, ge=1)
    """Uploaded images that may wait or run in a worker; further ones are told to try again (503)."""
    header_timeout: float = Field(default=10.0, gt=0)
    """Seconds a client may take to send a request's headers."""
    upload_timeout: float = Field(default=30.0, gt=0)
    """Seconds a client may take to send its images."""
    predict_timeout: float = Field(default=20.0, gt=0)
    """Seconds from the end of the upload to the answer."""
    refuse_unknown: bool = False
    """Answer 422 instead of a prediction for an image that is outside what the model knows or has an input warning."""
    drift_window: int = Field(default=1_000, ge=0, le=1_000_000)
    """Latest images that `/metrics` compares with the model's reference, over all workers; 0: drift is not watched."""
    api_key_hashes: str = ""
    """SHA-256 of each accepted API key, in hexadecimal, with commas between. Not given: no key is asked for."""
    api_key_file: Path | None = None
    """File with one such hash a line; what follows it on the line is a comment. `python -m bento.keys` makes one."""

    @classmethod
    def single_worker(cls) -> bool:
        """Whether one process serves; true where the settings are wrong, too, which the service says by itself."""
        try:
            return cls().workers == 1
        except ValidationError:
            return True


def check_environment(environment: Mapping[str, str]) -> None:
    """Refuse what would be overlooked without a word: a setting's name mistyped, keys meant and not given.

    Raises:
        ValueError: an environment variable is no setting, or is empty where an empty one would let everybody in.
    """
    fields = [field.upper() for field in Settings.model_fields]
    known = {SUPERVISOR, *(ENV_PREFIX + field for field in fields)}
    for name in map(str.upper, environment):
        if name.startswith(PACS_PREFIX):
            continue
        if (meant := _MEANT.match(name)) and name not in known and not _SERVICE_LINK.fullmatch(name):
            guesses = difflib.get_close_matches(name[meant.end() :], fields, n=1)
            hint = f"did you mean {ENV_PREFIX}{guesses[0]}?" if guesses else "docs/configuration.md lists them"
            raise ValueError(f"{name}: the service has no such setting; {hint}")
    for name, value in environment.items():
        if name.upper() in KEY_VARIABLES and not value.strip():
            raise ValueError(f"{name} is empty, and every request would be let in; unset it if that is meant")
