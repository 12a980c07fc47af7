"""For every reader: phone and desktop, light and dark, keyboard, screen reader."""

import re
from pathlib import Path

import pytest
from axe_core_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.support import pictures
from tests.support.browser import IMAGE, all_answered, altered, answered, opened, small_radiographs, upload


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("number", [1, 30])
def test_nothing_keeps_anybody_out_and_nothing_sticks_out(
    page: Page, service_url: str, scheme: str, width: int, number: int
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 850})
    opened(page, service_url)
    files = [("image.png", IMAGE), ("notes.png", b"garbage"), ("snow.png", pictures.glaring()), *small_radiographs(27)]
    upload(page, *files[:number])
    all_answered(page, number)
    expect(page.locator("#detail .where")).not_to_be_empty()
    page.get_by_text("Probabilities of the classes").click()
    violations = Axe().run(page)["violations"]
    assert not [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations]
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_an_image_that_has_no_answer_is_accessible(page: Page, service_url: str) -> None:
    opened(page, service_url)
    upload(page, ("snow.png", pictures.glaring()))
    expect(page.locator("#detail .pane")).to_have_count(1)
    assert not Axe().run(page)["violations"]


@pytest.mark.parametrize("width", [390, 1280])
def test_that_it_is_no_medical_device_is_always_in_view(page: Page, service_url: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    answered(page, service_url)
    for place in (0, 600, 100_000):
        page.evaluate("place => scrollTo(0, place)", place)
        expect(page.get_by_text("Research use, not a medical device")).to_be_in_viewport(ratio=1)


def test_on_a_phone_the_examples_make_room_for_the_answer(page: Page, service_url: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, service_url)
    expect(page.locator("#examples")).to_be_visible()
    upload(page, ("image.png", IMAGE))
    expect(page.locator("#detail .scores")).to_have_count(1)
    expect(page.locator("#detail .verdict")).to_be_in_viewport()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#examples")).to_be_visible()


def test_the_keyboard_reaches_everything(page: Page, service_url: str) -> None:
    answered(page, service_url)
    page.locator("#choose").focus()
    reached = set()
    for _ in range(28):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("() => { const e = document.activeElement; return e.id || e.className || e.textContent; }")
        )
    assert {"csv", "clear", "pane", "Invert", "Fit", "Print this report", "interface"} <= reached


@pytest.mark.parametrize("number", [1, 5])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_of_an_image_is_one_page_on_paper(
    page: Page, service_url: str, tmp_path: Path, number: int, scheme: str
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    long = "Its metrics hold for images like those of the test set; another hospital can be far worse. " * 2
    altered(page, "metadata", lambda metadata: metadata.update(warnings=[long] * 5, limits=["Random weights.", long]))
    opened(page, service_url)
    upload(page, ("image.png", IMAGE), *small_radiographs(number - 1))
    all_answered(page, number)
    expect(page.locator("#detail .where")).not_to_be_empty()
    page.emulate_media(media="print", color_scheme="dark" if scheme == "dark" else "light")
    for text in ("Research use, not a medical device", "Random weights.", "n = 30"):
        expect(page.get_by_text(text).first).to_be_visible()
    for part in ("#model", "#detail h3", "#detail .verdict", "#detail .scores", "#thresholds"):
        expect(page.locator(part)).to_be_visible()
    expect(page.locator("#detail .pane")).to_have_count(2)
    for part in ("#intake", "#table", "#csv", "#detail .tools"):
        expect(page.locator(part).first).to_be_hidden()
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    pdf = page.pdf(prefer_css_page_size=True, path=tmp_path / "report.pdf")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1


def test_printing_is_one_click(page: Page, service_url: str) -> None:
    answered(page, service_url)
    page.evaluate("() => { window.printed = 0; window.print = () => { window.printed += 1; }; }")
    page.get_by_role("button", name="Print this report").click()
    assert page.evaluate("() => window.printed") == 1
