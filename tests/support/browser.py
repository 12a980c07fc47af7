"""Headless Chromium, as Debian has it (Playwright's own browser would be another download), and the page in it."""

import io
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, Route, expect

from tests.support import pictures

LAUNCH = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
NAMES = ("chromium", "chromium-browser", "google-chrome")
IMAGE = pictures.GOOD["a grey PNG"]


def find_chromium() -> str | None:
    """Path of a Chromium, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


def watched_page(browser: Browser) -> Iterator[Page]:
    """A page that must stay without script errors, and must not ask another host for anything."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    # An answer of 4xx or 5xx is noted there too; the page makes a sentence of it.
    page.on(
        "console",
        lambda message: (
            errors.append(message.text)
            if message.type in ("error", "warning") and "Failed to load resource" not in message.text
            else None
        ),
    )
    yield page
    page.close()
    assert not errors
    assert not [url for url in asked if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))]


def upload(page: Page, *files: tuple[str, bytes]) -> None:
    """Choose files on the page."""
    page.locator("#files").set_input_files(
        [FilePayload(name=name, mimeType="image/png", buffer=data) for name, data in files]
    )


def all_answered(page: Page, number: int, timeout: float = 30_000) -> None:
    """Wait until the summary counts that many images and none of them waits for its answer.

    The number comes first: until the page has drawn the new rows, the summary is that of the images before them.
    """
    summary = page.locator("#summary")
    expect(summary).to_contain_text(f"{number} image", timeout=timeout)
    expect(summary).not_to_contain_text("waiting", timeout=timeout)


def opened(page: Page, url: str) -> Page:
    """The page, with what it says of the model."""
    page.goto(url)
    expect(page.locator("#model")).to_contain_text("version")
    return page


def answered(page: Page, url: str) -> Page:
    """The page with one image's answer and its heat map."""
    opened(page, url)
    upload(page, ("image.png", IMAGE))
    expect(page.locator("#detail .where")).not_to_be_empty()
    return page


def small_radiographs(number: int) -> list[tuple[str, bytes]]:
    """Names and bytes of small grey PNG images, each of another brightness."""
    files = []
    for index in range(number):
        pixels = np.asarray(pictures.radiograph(48, 48), dtype=np.float64) * (0.7 + 0.3 * index / max(1, number - 1))
        stream = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(stream, "PNG")
        files.append((f"image {index:03d}.png", stream.getvalue()))
    return files


def altered(page: Page, path: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the service's JSON answers of a path before the page gets them."""

    def handle(route: Route) -> None:
        response = route.fetch()
        content = response.json()
        if response.ok:
            change(content)
        route.fulfill(response=response, json=content)

    page.route(re.compile(rf"/{path}(\?.*)?$"), handle)


def scored(label: str, score: float) -> dict[str, Any]:
    """A flag as the service gives it, with a threshold of 0.4."""
    return {"label": label, "flagged": score >= 0.4, "score": score, "threshold": 0.4, "target_sensitivity": 0.9}


def scores_are(**scores: float) -> Callable[[dict[str, Any]], None]:
    """Change an answer to these flags, of an image that nothing speaks against."""

    def change(answer: dict[str, Any]) -> None:
        answer |= {"flags": [scored(*item) for item in scores.items()], "in_distribution": True, "input_warnings": []}

    return change
