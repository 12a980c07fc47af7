"""The page says for which hospital the model is calibrated, and what its thresholds and probabilities rest on."""

from typing import Any

from playwright.sync_api import Page, expect

from tests.support.artifacts import make_site
from tests.support.browser import IMAGE, altered, opened, scores_are, upload

SITE = make_site("0" * 64, threshold=0.4).model_dump(mode="json")


def calibrated(metadata: dict[str, Any]) -> None:
    metadata["site"] = SITE


def test_the_page_says_for_whom_the_model_is_calibrated(page: Page, service_url: str) -> None:
    altered(page, "metadata", calibrated)
    opened(page, service_url)
    expect(page.locator("#site")).to_have_text(
        "Calibrated for St Elsewhere on 45 images (40 patients), 2026-02-03. "
        "Its thresholds are for St Elsewhere; they may be reused by: this site alone."
    )
    row = page.locator("#site-thresholds tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("at least 95 % of the patients, with confidence 0.88 (18 patients)")


def test_images_that_were_drawn_by_score_are_said_to_be_weighed(page: Page, service_url: str) -> None:
    def drawn(metadata: dict[str, Any]) -> None:
        point = SITE["thresholds"][0] | {"independent_patients": 16.3}
        metadata["site"] = SITE | {"strata": 6, "thresholds": [point]}

    altered(page, "metadata", drawn)
    opened(page, service_url)
    expect(page.locator("#site")).to_contain_text("(40 patients), drawn by score and weighed back, 2026-02-03.")
    row = page.locator("#site-thresholds tbody tr")
    expect(row).to_contain_text("confidence 0.88 (18 patients, worth 16.3 drawn as they come)")


def test_a_model_that_is_not_calibrated_says_nothing_of_a_site(page: Page, service_url: str) -> None:
    opened(page, service_url)
    expect(page.locator("#site")).to_be_hidden()
    expect(page.locator("#site-thresholds")).to_be_hidden()


def test_flag_bar_and_probability_of_a_site_agree(page: Page, service_url: str) -> None:
    def change(answer: dict[str, Any]) -> None:
        scores_are(TUBERCULOSIS=0.7, PNEUMONIA=0.1)(answer)
        answer["flags"][0]["probability"] = 0.0312

    altered(page, "metadata", calibrated)
    altered(page, "predict", change)
    opened(page, service_url)
    upload(page, ("image.png", IMAGE))
    items = page.locator("#detail .scores > li")
    expect(items).to_have_count(2)
    first, second = items.all()
    expect(first).to_contain_text("0.70, flagged: at or above 0.40")
    expect(first).to_contain_text(
        "Where 2 % of the images are of tuberculosis, as stated for St Elsewhere: 3.1 % of the"
    )
    expect(first).to_contain_text("Threshold of St Elsewhere, chosen on 45 images there (20 with it, 25 without)")
    expect(second).to_contain_text(
        "The model's own threshold, not one of St Elsewhere. Threshold chosen on 70 validation images"
    )
    for item, flagged in ((first, True), (second, False)):
        fill, mark = (item.locator(f".{name}").bounding_box() for name in ("fill", "mark"))
        assert fill is not None
        assert mark is not None
        assert (fill["x"] + fill["width"] >= mark["x"]) == flagged
