"""Every setting of the service: an environment variable named ``CHEST_XRAY_`` and the field, in capitals."""

import math
import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from bento.artifact import STORE_NAME
from bento.images import MAX_PIXELS

ENV_PREFIX = "CHEST_XRAY_"
CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def available_cores(cpu_max: Path = CPU_MAX) -> int:
    """Cores this process may use: its affinity, cut by the container's quota (cgroup v2), at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = cpu_max.read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, math.ceil(int(quota) / int(period))))


class Settings(BaseSettings):
    """Settings of the service. Field docstrings are the documentation."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, use_attribute_docstrings=True)

    model: str = Field(default=f"{STORE_NAME}:latest", min_length=1)
    """Tag of the artifact in the BentoML model store."""
    max_upload_bytes: int = Field(default=10_000_000, ge=1_000)
    """Largest image file in bytes."""
    max_pixels: int = Field(default=MAX_PIXELS, ge=1_000)
    """Most pixels an image may announce; checked before anything is decoded."""
    threads: int = Field(default_factory=lambda: available_cores() + 1, ge=1, le=1024)
    """Images decoded and classified at the same time. One more than cores fills the gaps between the two."""
    max_concurrency: int = Field(default=64, ge=1)
    """Uploaded images that may wait or run at the same time; further ones are told to try again (503)."""
    upload_timeout: float = Field(default=30.0, gt=0)
    """Seconds a client may take to send its image."""
    predict_timeout: float = Field(default=20.0, gt=0)
    """Seconds from the end of the upload to the answer."""
