import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from bento.cpu import available_cores
from bento.settings import CORES_PER_WORKER, Settings


def test_defaults_need_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CHEST_XRAY_")]:
        monkeypatch.delenv(name)
    settings = Settings()
    assert settings.model == "chest_xray:latest"
    assert settings.max_upload_bytes == 10_000_000
    assert settings.threads == min(available_cores(), CORES_PER_WORKER) + 1
    assert settings.workers == max(1, available_cores() // CORES_PER_WORKER)


def test_the_environment_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEST_XRAY_THREADS", "7")
    assert Settings().threads == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("THREADS", "0"),
        ("MAX_UPLOAD_BYTES", "ten"),
        ("MAX_PIXELS", "-1"),
        ("UPLOAD_TIMEOUT", "0"),
        ("MODEL", ""),
    ],
)
def test_a_senseless_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"CHEST_XRAY_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_every_setting_is_documented() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", None), ("100000 100000", 1), ("50000 100000", 1), ("nonsense", None)],
)
def test_a_containers_quota_counts(tmp_path: Path, quota: str, cores: int | None) -> None:
    cpu_max = tmp_path / "cpu.max"
    cpu_max.write_text(quota)
    assert available_cores(cpu_max) == (cores or len(os.sched_getaffinity(0)))
