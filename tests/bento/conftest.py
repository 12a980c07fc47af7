"""The page in a real Chromium, without a display."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.browser import LAUNCH, find_chromium, watched_page


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
