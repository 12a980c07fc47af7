"""The page leads each image with one line, and nothing below it says otherwise."""

import io
from typing import Any

import httpx
import pytest
from PIL import Image, ImageOps
from playwright.sync_api import Page, expect

from tests.support import pictures
from tests.support.browser import IMAGE, altered, opened, scored, scores_are, upload

REASONS = {
    "not-like-training": "No answer: not a frontal chest radiograph of the kind that the model knows",
    "colour": "No answer: a picture in colour, not a radiograph",
    "blank": "No answer: the image is blank",
    "rotated": "No answer: the image seems to lie on its side",
    "upside-down": "No answer: the image seems to be upside down",
    "inverted": "No answer: the image seems to be inverted",
}


@pytest.mark.parametrize(
    ("scores", "line"),
    [
        ({"TUBERCULOSIS": 0.83, "PNEUMONIA": 0.1}, "Flagged for review: tuberculosis"),
        ({"TUBERCULOSIS": 0.5, "PNEUMONIA": 0.9}, "Flagged for review: pneumonia, tuberculosis"),
        ({"TUBERCULOSIS": 0.3, "PNEUMONIA": 0.1}, "Nothing flagged"),
        ({}, "No answer: the model has no thresholds"),
    ],
)
def test_one_line_leads(page: Page, service_url: str, scores: dict[str, float], line: str) -> None:
    altered(page, "predict", scores_are(**scores))
    opened(page, service_url)
    upload(page, ("image.png", IMAGE))
    expect(page.locator("#detail .verdict")).to_have_text(line)
    expect(page.locator("#detail .lead + .picture")).to_have_count(1)
    # Class probabilities, which can be high where a flag is low, stay folded away.
    expect(page.locator("#detail .plain")).to_be_hidden()


@pytest.mark.parametrize("kind", REASONS)
def test_an_image_that_cannot_be_judged_has_no_scores(page: Page, service_url: str, kind: str) -> None:
    def change(answer: dict[str, Any]) -> None:
        answer["flags"] = [scored("TUBERCULOSIS", 0.9)]
        answer["in_distribution"] = kind != "not-like-training"
        answer["input_warnings"] = [{"kind": kind, "text": f"This is {kind}."}]

    altered(page, "predict", change)
    opened(page, service_url)
    upload(page, ("image.png", IMAGE))
    card = page.locator("#detail")
    expect(card.locator(".verdict")).to_have_text(REASONS[kind])
    expect(card.get_by_role("group", name="Warnings")).to_have_text(f"Warning: This is {kind}.")
    expect(card.locator(".pane")).to_have_count(1)
    expect(card.locator(".scores, .track, .plain, .legend")).to_have_count(0)
    assert "flagged" not in card.inner_text().lower()
    expect(page.locator("#summary")).to_have_text("1 image: 1 no answer")


def test_a_warning_that_leaves_the_answer_standing_comes_before_the_scores(page: Page, service_url: str) -> None:
    def change(answer: dict[str, Any]) -> None:
        scores_are(TUBERCULOSIS=0.9)(answer)
        answer["input_warnings"] = [{"kind": "transparent", "text": "Parts are transparent."}]

    altered(page, "predict", change)
    opened(page, service_url)
    upload(page, ("image.png", IMAGE))
    expect(page.locator("#detail .verdict")).to_have_text("Flagged for review: tuberculosis")
    order = "card => [...card.querySelectorAll('.warnings, .scores')].map((one) => one.className)"
    assert page.locator("#detail").evaluate(order) == ["warnings", "scores"]


def test_a_score_is_explained_in_words(page: Page, service_url: str) -> None:
    def change(metadata: dict[str, Any]) -> None:
        metadata["operating_points"] = [
            metadata["operating_points"][1]
            | {"reference": "NORMAL", "validation_positives": 21, "validation_negatives": 36}
        ]
        metadata["no_threshold"] = {"PNEUMONIA": "4 validation images, and it takes 20."}

    altered(page, "metadata", change)
    altered(page, "predict", scores_are(TUBERCULOSIS=0.3996))
    opened(page, service_url)
    upload(page, ("image.png", IMAGE))
    expect(page.locator("#detail .verdict")).to_have_text("Nothing flagged (no threshold for pneumonia)")
    items = page.locator("#detail .scores li")
    expect(items.first).to_contain_text("Tuberculosis against normal")
    # As many digits as it takes for the sentence to be true.
    expect(items.first).to_contain_text("0.3996, not flagged: below 0.4000")
    expect(items.first).to_contain_text(
        "Threshold chosen on 57 validation images (21 with it, 36 of normal) "
        "to find 90 % of the images with tuberculosis."
    )
    expect(items.last).to_have_text(
        "Pneumonia: no threshold, and so neither flagged nor cleared: 4 validation images, and it takes 20."
    )
    expect(page.locator("#detail .words")).to_contain_text("it is not a patient's risk")


def test_answers_of_a_service_that_gives_probabilities_are_understood(page: Page, service_url: str) -> None:
    def without_reference(metadata: dict[str, Any]) -> None:
        for point in metadata["operating_points"]:
            point.update(reference=None, validation_positives=None, validation_negatives=None)

    def change(answer: dict[str, Any]) -> None:
        scores_are(TUBERCULOSIS=0.9)(answer)
        answer["flags"][0]["confidence"] = answer["flags"][0].pop("score")

    altered(page, "metadata", without_reference)
    altered(page, "predict", change)
    opened(page, service_url)
    upload(page, ("image.png", IMAGE))
    expect(page.locator("#detail .scores li").first).to_contain_text("0.90, flagged: at or above 0.40")
    expect(page.locator("#detail .words")).to_contain_text("A score is the model's probability of the class")


def test_an_inverted_image_is_inverted_and_asked_again_with_one_click(page: Page, service_url: str) -> None:
    opened(page, service_url)
    upload(page, ("snow.png", pictures.glaring()))
    card = page.locator("#detail")
    expect(card.locator(".verdict")).to_have_text(REASONS["inverted"])
    card.get_by_role("button", name="Invert and ask again").click()
    expect(card.get_by_role("heading")).to_have_text("snow.png (inverted)")
    expect(card.locator(".scores")).to_be_visible()
    expect(card.get_by_role("button", name="Invert and ask again")).to_have_count(0)
    with Image.open(io.BytesIO(pictures.glaring())) as image:
        turned = pictures.encode(ImageOps.invert(image), "PNG")
    expected = httpx.post(f"{service_url}/predict", files={"file": turned}).json()
    card.get_by_text("Probabilities of the classes").click()
    shown = card.locator(".plain .number").all_inner_texts()
    assert shown[:2] == [f"{one['confidence']:.2f}" for one in expected["predictions"][:2]]
