"""Fixtures of both rooms. No test touches the user's model store or tells anybody that BentoML was used."""

import atexit
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

# A shell that starts the tests in the background has them, and all that they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Before bentoml is imported anywhere: it reads both once.
_HOME = tempfile.TemporaryDirectory(prefix="chest-xray-tests-")
atexit.register(_HOME.cleanup)
os.environ["BENTOML_HOME"] = _HOME.name
os.environ["BENTOML_DO_NOT_TRACK"] = "True"

import httpx  # noqa: E402
import pytest  # noqa: E402
from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

from tests.support.artifacts import store_artifact, write_artifact  # noqa: E402
from tests.support.browser import LAUNCH, find_chromium, watched_page  # noqa: E402
from tests.support.server import running_service  # noqa: E402

SERVED_VERSION = "served"
MAX_UPLOAD_BYTES = 1_000_000


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """Folder of a small real artifact; the test may damage it."""
    folder = tmp_path / "artifact"
    folder.mkdir()
    write_artifact(folder)
    return folder


@pytest.fixture(scope="session")
def stored_artifact() -> Path:
    """Folder of a small real artifact in this test session's model store, for reading only."""
    return store_artifact(SERVED_VERSION)


@pytest.fixture(scope="session")
def service_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the service of :func:`service_url` writes to its terminal."""
    return tmp_path_factory.mktemp("service") / "service.log"


@pytest.fixture(scope="session")
def service_url(stored_artifact: Path, service_log: Path) -> Iterator[str]:
    """A real ``bentoml serve`` of :func:`stored_artifact`, with short deadlines."""
    with running_service(
        service_log,
        CHEST_XRAY_MODEL=f"chest_xray:{stored_artifact.name}",
        CHEST_XRAY_MAX_UPLOAD_BYTES=str(MAX_UPLOAD_BYTES),
        CHEST_XRAY_UPLOAD_TIMEOUT="2",
    ) as url:
        yield url


@pytest.fixture
def client(service_url: str) -> Iterator[httpx.Client]:
    """A client of :func:`service_url`."""
    with httpx.Client(base_url=service_url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; skips where there is none. Playwright's event loop must not outlive a module: others have their own."""
    path = find_chromium()
    if path is None:
        pytest.skip("no chromium on the PATH; `make test` as root on Debian installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=LAUNCH)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that must stay without script errors, and must not ask another host for anything."""
    yield from watched_page(browser)
