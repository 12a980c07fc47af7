import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from bento.cpu import available_cores
from bento.settings import CORES_PER_WORKER, Settings, check_environment


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
    ],
)
def test_a_senseless_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"CHEST_XRAY_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


@pytest.mark.parametrize("name", ["MODEL", "THREADS", "MAX_PIXELS", "REFUSE_UNKNOWN"])
def test_an_empty_variable_is_not_given(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(f"CHEST_XRAY_{name}", raising=False)
    expected = Settings()
    monkeypatch.setenv(f"CHEST_XRAY_{name}", "")
    check_environment({f"CHEST_XRAY_{name}": ""})
    assert Settings() == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("CHEST_XRAY_API_KEY_HASH", "did you mean CHEST_XRAY_API_KEY_HASHES?"),
        ("CHEST_XRAY_API_KEYS_FILE", "did you mean CHEST_XRAY_API_KEY_FILE?"),
        ("chest_xray_max_batchs", "did you mean CHEST_XRAY_MAX_BATCH?"),
        ("CHESTXRAY_API_KEY_FILE", "did you mean CHEST_XRAY_API_KEY_FILE?"),
        ("CHEST_X_RAY_REFUSE_UNKNOWN", "did you mean CHEST_XRAY_REFUSE_UNKNOWN?"),
        ("CHEST_XRAY_Q", "docs/configuration.md lists them"),
    ],
)
def test_a_name_that_is_no_setting_is_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match="no such setting") as error:
        check_environment({"PATH": "/bin", name: "x"})
    assert str(error.value).startswith(name.upper())
    assert message in str(error.value)


def test_names_that_others_set_are_no_mistake() -> None:
    names = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP", "PORT_80_TCP_ADDR"]
    check_environment({f"CHEST_XRAY_{name}": "10.0.0.1" for name in (*names, "SUPERVISOR", "THREADS")})
    check_environment({"TRAINER_EPOCHS": "3", "CHEST": "x", "chest_xray_threads": "2"})


@pytest.mark.parametrize("name", ["CHEST_XRAY_API_KEY_HASHES", "CHEST_XRAY_API_KEY_FILE", "chest_xray_api_key_file"])
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_variable_for_keys_is_an_error(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is empty"):
        check_environment({name: value})


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
