"""The demo's service: started, asked and stopped, whatever proxy the environment names."""

from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from tests.support.pictures import encode, grey
from trainer.demo import served

DEAD = "127.0.0.1:9"


@pytest.mark.parametrize(
    "proxies",
    [
        # one row a sentence: variables of a proxy that nobody answers for
        {"HTTP_PROXY": f"http://{DEAD}", "http_proxy": f"http://{DEAD}"},
        {"ALL_PROXY": f"socks5://{DEAD}", "all_proxy": f"socks5://{DEAD}"},
    ],
)
def test_the_demo_asks_its_own_service_without_a_proxy(
    proxies: dict[str, str], stored_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in proxies.items():
        monkeypatch.setenv(name, value)
    with served(f"chest_xray:{stored_artifact.name}") as client:
        answer = client.post("/predict", files={"file": encode(grey(), "PNG")})
        assert answer.status_code == HTTPStatus.OK
        address = client.base_url
    with pytest.raises(httpx.ConnectError), httpx.Client(trust_env=False) as other:
        other.get(f"{address}/readyz")
