"""The report in a real Chromium: light and dark, phone and desktop, keyboard, screen reader, paper."""

import pytest
from axe_core_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.support.runs import Trained


@pytest.fixture
def report(page: Page, trained: Trained) -> Page:
    """A page that shows the report of the trained run; it must ask for nothing and log no error."""
    page.set_content(trained.run.report.read_text())
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_keeps_anybody_out_and_nothing_sticks_out(report: Page, scheme: str, width: int) -> None:
    report.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    report.set_viewport_size({"width": width, "height": 850})
    assert not [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in Axe().run(report)["violations"]]
    assert report.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_in_the_dark_the_paper_is_dark_and_plots_too_but_radiographs_stay(report: Page) -> None:
    report.emulate_media(color_scheme="dark")
    expect(report.locator("body")).to_have_css("background-color", "rgb(17, 23, 29)")
    expect(report.locator("img.plot").first).to_have_css("filter", "invert(1) hue-rotate(180deg)")
    expect(report.locator(".sheet img").first).to_have_css("filter", "none")
    report.emulate_media(media="print", color_scheme="dark")
    expect(report.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")
    expect(report.locator("img.plot").first).to_have_css("filter", "none")


@pytest.mark.parametrize("way", ["click", "keyboard"])
def test_a_failure_is_enlarged_and_put_back(report: Page, way: str) -> None:
    button = report.locator(".sheet button").first
    picture = button.locator("img")
    before = picture.bounding_box()
    if way == "click":
        button.click()
    else:
        button.focus()
        report.keyboard.press("Enter")
    large = picture.bounding_box()
    assert before is not None
    assert large is not None
    assert large["width"] > 2 * before["width"]
    assert large["height"] <= 900
    if way == "click":
        button.click()
    else:
        report.keyboard.press("Escape")
        expect(button).to_be_focused()
    back = picture.bounding_box()
    assert back is not None
    assert (back["width"], back["height"]) == (before["width"], before["height"])


def test_on_a_phone_an_enlarged_picture_is_larger_too(report: Page) -> None:
    report.set_viewport_size({"width": 390, "height": 844})
    picture = report.locator(".sheet img").first
    before = picture.bounding_box()
    report.locator(".sheet button").first.click()
    large = picture.bounding_box()
    assert before is not None
    assert large is not None
    assert large["width"] > 1.5 * before["width"]


def test_the_guidelines_are_folded_and_paper_opens_the_fold(report: Page) -> None:
    items = report.locator("details table")
    height = "fold => fold.getBoundingClientRect().height"
    folded = report.locator("details").evaluate(height)
    expect(items).not_to_be_visible()
    report.emulate_media(media="print")
    assert report.locator("details").evaluate(height) > folded + 500
