import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from starlette.responses import PlainTextResponse

from bento.http.auth import ApiKeys
from bento.http.problems import MEDIA_TYPE
from bento.keys import hash_key
from tests.support import pictures
from tests.support.server import running_service

pytestmark = pytest.mark.anyio
KEYS = ("first-key", "second-key")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def ask(path: str, headers: dict[str, str] | None = None, keys: tuple[str, ...] = KEYS) -> httpx.Response:
    app = ApiKeys(PlainTextResponse("in"), hashes=[hash_key(key) for key in keys])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.get(path, headers=headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer first-key"},
        {"authorization": "bearer second-key"},
        {"x-api-key": "first-key"},
    ],
)
async def test_a_known_key_is_let_in(headers: dict[str, str]) -> None:
    assert (await ask("/predict", headers)).text == "in"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer third-key"},
        {"authorization": "Bearer "},
        {"authorization": "Basic first-key"},
        {"authorization": "first-key"},
        {"x-api-key": ""},
        {"x-api-key": hash_key("first-key")},
        {"x-api-key": "\u00fc".encode("latin-1").decode("latin-1")},
    ],
)
@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/metadata", "/metrics", "/nowhere", "/livez/"])
async def test_everybody_else_is_not(path: str, headers: dict[str, str]) -> None:
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    response = await ask(path, encoded)  # type: ignore[arg-type]
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == MEDIA_TYPE
    assert response.json()["type"] == "/problems/unauthorized"


OPEN = ("/livez", "/readyz", "/healthz", "/health", "/docs", "/docs.json", "/problems/not-found")


@pytest.mark.parametrize("path", OPEN)
async def test_probes_and_documentation_need_no_key(path: str) -> None:
    assert (await ask(path)).text == "in"


async def test_without_keys_nobody_is_asked() -> None:
    assert (await ask("/predict", keys=())).text == "in"


def test_a_service_with_keys_takes_them_from_every_client(stored_artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{hash_key('ward-3')} ward 3\n")
    radiograph = tmp_path / "image.png"
    radiograph.write_bytes(pictures.GOOD["a grey PNG"])
    with running_service(
        tmp_path / "log",
        CHEST_XRAY_MODEL=f"chest_xray:{stored_artifact.name}",
        CHEST_XRAY_API_KEY_FILE=str(tmp_path / "keys"),
    ) as url:
        for headers, status in (({}, 401), ({"x-api-key": "ward-4"}, 401), ({"x-api-key": "ward-3"}, 200)):
            files = {"file": radiograph.read_bytes()}
            assert httpx.post(f"{url}/predict", files=files, headers=headers).status_code == status
        assert httpx.get(f"{url}/livez").status_code == 200
        script = (
            "import sys, pathlib, bentoml\n"
            "with bentoml.SyncHTTPClient(sys.argv[1], token='ward-3') as client:\n"
            "    print(client.predict(file=pathlib.Path(sys.argv[2]))['top_k'])\n"
        )
        command = [sys.executable, "-c", script, url, str(radiograph)]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "3\n"
    assert "ward-3" not in (tmp_path / "log").read_text()
