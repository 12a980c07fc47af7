"""Looking at one image: zoom, pan, invert, window and level, and heat maps that colour only what matters."""

import base64
import io
import json
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from bento.inference import overlays
from tests.support import pictures
from tests.support.browser import altered, opened, scores_are, upload
from tests.support.server import ROOT

SQUARE = pictures.encode(Image.fromarray(pictures.radiograph(200, 200)), "PNG")


def shown(page: Page, pane: int = 0) -> np.ndarray[Any, Any]:
    """Pixels of a pane's canvas, height × width × 3, after what was asked for has been drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return pixels_of(page.locator("#detail .pane canvas").nth(pane))


def pixels_of(canvas: Locator) -> np.ndarray[Any, Any]:
    url = canvas.evaluate("canvas => canvas.toDataURL('image/png')")
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB")).astype(np.int64)


@pytest.fixture
def looking(page: Page, service_url: str) -> Page:
    """The page with a square image, a small spot of evidence for tuberculosis at its upper left, and less elsewhere."""

    def change(answer: dict[str, Any]) -> None:
        scores_are(TUBERCULOSIS=0.9)(answer)
        if "explanation" not in answer:
            return
        values = [[0.35 if row < 4 else -1.0 for _ in range(8)] for row in range(8)]
        values[1][1] = 1.0
        weak = [[0.3 for _ in range(8)] for _ in range(8)]
        answer["explanation"] |= {
            "frame": {"left": 0, "top": 0, "right": 1, "bottom": 1},
            "maps": [{"label": "TUBERCULOSIS", "values": values}, {"label": "PNEUMONIA", "values": weak}],
        }

    altered(page, "predict", change)
    opened(page, service_url)
    upload(page, ("image.png", SQUARE))
    expect(page.locator("#detail .where")).to_have_text(
        "Evidence for tuberculosis is strongest at the picture's upper left."
    )
    return page


def test_the_whole_image_fits_the_window(looking: Page) -> None:
    pixels = shown(looking)
    assert pixels.shape[0] == pixels.shape[1]
    small = np.asarray(Image.fromarray(pixels[:, :, 0].astype(np.uint8)).resize((200, 200)), dtype=float)
    assert np.abs(small - pictures.radiograph(200, 200)).mean() < 4
    boxes = [pane.bounding_box() for pane in looking.locator("#detail .pane").all()]
    assert all(box is not None and box["height"] <= 900 for box in boxes)
    # Beside each other, not above.
    assert len({box["y"] for box in boxes if box is not None}) == 1


def test_wheel_buttons_and_keys_zoom_and_pan(looking: Page) -> None:
    whole = shown(looking)
    frame = looking.locator("#detail .pane").first
    for way in ("button", "key", "wheel"):
        if way == "button":
            looking.get_by_role("button", name="Zoom in").click()
        elif way == "key":
            frame.press("+")
        else:
            frame.hover()
            looking.mouse.wheel(0, -100)
        near = shown(looking)
        assert np.ptp(near) < np.ptp(whole)
        # Both panes show the same part.
        assert np.array_equal(near[-20:], shown(looking, 1)[-20:])
        looking.get_by_role("button", name="Fit").click()
        assert np.array_equal(shown(looking), whole)
    for _ in range(4):
        frame.press("+")
    middle = shown(looking).mean()
    frame.press("ArrowRight")
    right = shown(looking).mean()
    assert right > middle + 2  # the picture is brighter at its right
    frame.press("ArrowLeft")
    frame.press("ArrowLeft")
    assert shown(looking).mean() < middle - 2
    frame.press("0")
    assert np.array_equal(shown(looking), whole)


def test_drag_pans_and_with_shift_changes_window_and_level(looking: Page) -> None:
    frame = looking.locator("#detail .pane").first
    box = frame.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag(by_x: float, by_y: float) -> None:
        looking.mouse.move(x, y)
        looking.mouse.down()
        looking.mouse.move(x + by_x, y + by_y, steps=4)
        looking.mouse.up()

    for _ in range(4):
        frame.press("+")
    before = shown(looking).mean()
    drag(80, 0)
    assert shown(looking).mean() < before - 2
    frame.press("0")
    before = shown(looking).mean()
    looking.keyboard.down("Shift")
    drag(0, 60)
    looking.keyboard.up("Shift")
    assert shown(looking).mean() < before - 10
    assert float(looking.get_by_label("Level").input_value()) > 55
    looking.get_by_role("button", name="Reset").click()
    assert abs(shown(looking).mean() - before) < 1e-9


def test_two_fingers_zoom(looking: Page) -> None:
    whole = shown(looking)
    looking.locator("#detail .pane").first.evaluate(
        """pane => {
            const box = pane.getBoundingClientRect();
            pane.setPointerCapture = () => {};
            const send = (kind, pointerId, x) => pane.dispatchEvent(new PointerEvent(kind, {
                pointerId, pointerType: "touch", buttons: 1,
                clientX: box.left + x * box.width, clientY: box.top + box.height / 2 }));
            send("pointerdown", 1, 0.45);
            send("pointerdown", 2, 0.55);
            send("pointermove", 1, 0.3);
            send("pointermove", 2, 0.7);
            send("pointerup", 1, 0.3);
            send("pointerup", 2, 0.7);
        }"""
    )
    assert np.ptp(shown(looking)) < 0.6 * np.ptp(whole)


def test_invert_window_and_level_recolour_the_image(looking: Page) -> None:
    plain = shown(looking)
    invert = looking.get_by_role("button", name="Invert", exact=True)
    invert.click()
    assert np.abs(shown(looking) - (255 - plain)).max() <= 1
    expect(invert).to_have_attribute("aria-pressed", "true")
    looking.locator("#detail .pane").first.press("i")
    assert np.array_equal(shown(looking), plain)
    looking.get_by_label("Window").fill("40")
    expected = np.clip((plain / 2.55 - 50) / 40 * 255 + 127.5, 0, 255)
    assert np.abs(shown(looking) - expected).max() <= 2
    looking.get_by_label("Level").fill("80")
    assert shown(looking).mean() < expected.mean()


def test_a_heat_map_colours_only_what_matters(looking: Page) -> None:
    plain, mapped = shown(looking), shown(looking, 1)
    coloured = np.abs(mapped - plain).max(axis=2) > 6
    rows, columns = np.nonzero(coloured)
    side = coloured.shape[0]
    assert 0.005 < coloured.mean() < 0.08
    assert (rows.mean() / side, columns.mean() / side) == pytest.approx((0.19, 0.19), abs=0.03)
    expect(looking.locator("#detail .scale")).to_contain_text("40 %")
    legend = pixels_of(looking.locator("#detail .legend"))
    assert tuple(legend[0, -1]) == overlays.STOPS[-1][1]
    # Both classes' maps share a scale: what is weak beside the other class stays uncoloured.
    looking.get_by_role("combobox").select_option("PNEUMONIA")
    expect(looking.locator("#detail .where")).to_have_text(
        "Little on this image speaks for pneumonia: nothing is coloured."
    )
    assert np.array_equal(shown(looking, 1), plain)
    looking.get_by_role("combobox").select_option("TUBERCULOSIS")
    looking.get_by_label("Strength").fill("0")
    assert np.array_equal(shown(looking, 1), plain)


def test_the_first_heat_map_is_that_of_the_class_that_the_verdict_names_first(page: Page, service_url: str) -> None:
    def change(answer: dict[str, Any]) -> None:
        scores_are(PNEUMONIA=0.9, TUBERCULOSIS=0.95)(answer)
        answer["flags"][1]["threshold"] = 0.94  # hardly reached, unlike pneumonia's

    altered(page, "predict", change)
    opened(page, service_url)
    upload(page, ("image.png", SQUARE))
    expect(page.locator("#detail .verdict")).to_have_text("Flagged for review: tuberculosis, pneumonia")
    expect(page.get_by_role("combobox")).to_have_value("TUBERCULOSIS")


def test_page_report_and_command_line_have_the_same_colours() -> None:
    script = (ROOT / "bento/page/palette.js").read_text(encoding="utf-8")

    def constant(name: str) -> Any:
        found = re.search(rf"export const {name} = (.*);", script)
        assert found
        return json.loads(found[1])

    assert constant("STOPS") == [[place, list(colour)] for place, colour in overlays.STOPS]
    assert (constant("FLOOR"), constant("OPACITY")) == (overlays.FLOOR, overlays.OPACITY)


def test_the_command_lines_map_colours_only_what_matters() -> None:
    cam = np.full((8, 8), 0.35, np.float32)
    cam[1, 1] = 1.0
    picture = np.asarray(overlays.overlay(Image.new("L", (160, 160), 100), cam)).astype(int)
    coloured = np.abs(picture - 100).max(axis=2) > 6
    assert 0.005 < coloured.mean() < 0.08
    assert coloured[:60, :60].sum() == coloured.sum()
