"""The page as its users meet it: images in, one answer out, with a real service in a real Chromium."""

import base64
import csv
import io
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from bento.keys import hash_key
from tests.support import pictures
from tests.support.artifacts import CLASSES
from tests.support.browser import IMAGE, all_answered, altered, answered, opened, upload
from tests.support.dicoms import dicom
from tests.support.server import running_service


def saved_table(page: Page) -> list[dict[str, str]]:
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    return list(csv.DictReader(io.StringIO(Path(download.value.path()).read_bytes().decode())))


def test_an_uploaded_image_gets_the_services_own_answer(page: Page, service_url: str) -> None:
    expected = httpx.post(f"{service_url}/predict", files={"file": IMAGE}).json()
    card = answered(page, service_url).locator("#detail")
    expect(card.get_by_role("heading", name="image.png")).to_be_visible()
    card.get_by_text("Probabilities of the classes").click()
    shown = card.locator(".plain li").all_inner_texts()
    assert [text.split() for text in shown] == [
        [one["label"].capitalize(), f"{one['confidence']:.2f}"] for one in expected["predictions"]
    ]
    assert card.locator(".scores .on").count() == sum(flag["flagged"] for flag in expected["flags"])
    expect(card).to_contain_text(expected["model_version"])


def test_what_must_be_known_of_the_model_is_on_the_page(page: Page, service_url: str) -> None:
    opened(page, service_url)
    metadata = httpx.get(f"{service_url}/metadata").json()
    expect(page.locator("#notice")).to_contain_text(metadata["notice"])
    for text in (metadata["intended_use"], *metadata["limits"], *metadata["warnings"]):
        expect(page.locator("#about")).to_contain_text(text)


def test_each_metric_stands_beside_its_number_of_images(page: Page, service_url: str) -> None:
    def change(metadata: dict[str, Any]) -> None:
        first, last = metadata["operating_points"]
        first |= {"reference": "NORMAL", "validation_positives": 21, "validation_negatives": 36}
        last |= {"reference": None, "validation_positives": None, "validation_negatives": None}

    altered(page, "metadata", change)
    opened(page, service_url)
    expect(page.locator("#metrics")).to_contain_text("(sample:test, n = 30): accuracy 0.97, macro F1 0.96")
    rows = page.locator("#thresholds tbody tr")
    expect(rows.first).to_have_text("pneumonia against normal0.2057 images0.90 (0.80 to 1.00), n = 10– (n = 20)")
    expect(rows.last).to_have_text("tuberculosis0.20number not recorded0.90 (0.80 to 1.00), n = 10– (n = 20)")


@pytest.mark.parametrize(("event", "carrier"), [("paste", "clipboardData"), ("drop", "dataTransfer")])
def test_an_image_can_be_pasted_and_dropped(page: Page, service_url: str, event: str, carrier: str) -> None:
    opened(page, service_url)
    page.evaluate(
        """([event, carrier, data]) => {
            const transfer = new DataTransfer();
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            transfer.items.add(new File([bytes], "given.png", { type: "image/png" }));
            const kind = event === "paste" ? ClipboardEvent : DragEvent;
            document.body.dispatchEvent(new kind(event, { [carrier]: transfer, bubbles: true, cancelable: true }));
        }""",
        [event, carrier, base64.b64encode(IMAGE).decode()],
    )
    expect(page.locator("#detail .scores")).to_be_visible()
    expect(page.locator("#detail")).to_contain_text("given.png")


def test_a_bad_file_is_a_sentence_and_counted_as_refused(page: Page, service_url: str) -> None:
    opened(page, service_url)
    upload(page, ("notes.png", b"a radiograph, honestly"), ("image.png", IMAGE))
    expect(page.locator("#detail .verdict")).to_have_text("Refused")
    expect(page.locator("#detail .error")).to_contain_text("Not an image: not an image in an accepted format")
    expect(page.locator("#summary")).to_contain_text("2 images: ")
    expect(page.locator("#summary")).to_contain_text(", 1 refused")


def test_a_dicom_image_is_chosen_and_shown(page: Page, service_url: str) -> None:
    opened(page, service_url)
    assert ".dcm" in str(page.locator("#files").get_attribute("accept")).split(",")
    expect(page.locator("#accepted")).to_contain_text("DICOM")
    upload(
        page,
        ("image.dcm", pictures.GOOD["a DICOM image"]),
        ("ct.dcm", dicom(pictures.radiograph(), Modality="CT")),
    )
    # A browser knows no DICOM: what it shows is the service's own picture, in the viewer and as the thumbnail.
    expect(page.locator("#detail .where")).not_to_be_empty()
    lit = """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
        .data.some((value, i) => i % 4 === 0 && value > 60)"""
    assert page.locator("#detail .pane canvas").first.evaluate(lit)
    thumbnail = page.locator("#table tbody tr", has_text="image.dcm").locator("canvas")
    expect(thumbnail).to_have_attribute("width", "80")
    assert thumbnail.evaluate(lit)
    row = page.locator("#table tbody tr", has_text="ct.dcm")
    expect(row.locator(".warnings")).to_contain_text("Not a chest image: the DICOM file's modality is CT")


def test_results_are_saved_as_a_table_for_spreadsheets(page: Page, service_url: str) -> None:
    opened(page, service_url)
    upload(page, ("=evil().png", IMAGE), ('a "b", c.png', b"garbage"), ("snow.png", pictures.glaring()))
    all_answered(page, 3)
    evil, garbage, snow = saved_table(page)
    assert [evil["file"], garbage["file"]] == ["'=evil().png", 'a "b", c.png']
    expected = httpx.post(f"{service_url}/predict", files={"file": IMAGE}).json()["predictions"]
    assert {one["label"]: float(evil[one["label"]]) for one in expected} == {
        one["label"]: pytest.approx(one["confidence"]) for one in expected
    }
    assert evil["label"] in CLASSES
    assert garbage["error"].startswith("Not an image")
    assert garbage["verdict"] == "refused"
    assert snow["verdict"].startswith("no answer")
    assert (snow["label"], snow["flagged"], snow["in_distribution"]) == ("", "", "false")
    assert snow["input_warnings"] == "not-like-training inverted"
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#answers")).to_be_hidden()


def test_a_busy_service_is_asked_again(page: Page, service_url: str) -> None:
    opened(page, service_url)
    refusals = 2

    def busy_at_first(route):  # type: ignore[no-untyped-def]
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            route.fulfill(status=503, headers={"Retry-After": "1"}, body="{}")
        else:
            route.continue_()

    page.route("**/predict?explain=true", busy_at_first)
    upload(page, ("image.png", IMAGE))
    expect(page.locator("#detail .scores")).to_be_visible(timeout=10_000)


def test_an_image_that_the_service_failed_on_is_asked_again_with_a_click(page: Page, service_url: str) -> None:
    opened(page, service_url)
    page.route("**/predict?explain=true", lambda route: route.abort())
    upload(page, ("image.png", IMAGE))
    expect(page.locator("#detail .error")).to_contain_text("can't be reached")
    expect(page.locator("#summary")).to_have_text("1 image: 1 failed")
    page.unroute("**/predict?explain=true")
    page.get_by_role("button", name="Ask again").click()
    expect(page.locator("#detail .scores")).to_be_visible()


@pytest.mark.parametrize("name", ["Normal", "Pneumonia", "Tuberculosis"])
def test_an_example_is_one_click_away(page: Page, service_url: str, name: str) -> None:
    opened(page, service_url)
    page.get_by_role("button", name=name).click()
    expect(page.locator("#detail .scores, #detail .warnings").first).to_be_visible()
    expect(page.locator("#detail")).to_contain_text(f"example {name.lower()}.jpg")


def test_a_model_of_real_images_offers_no_drawn_examples(page: Page, service_url: str) -> None:
    altered(page, "metadata", lambda metadata: metadata["data"].update(synthetic=False))
    opened(page, service_url)
    expect(page.locator("#accepted")).not_to_be_empty()
    expect(page.locator("#examples")).to_be_hidden()


def test_a_key_is_asked_for_and_forgotten(page: Page, stored_artifact: Path, tmp_path: Path) -> None:
    with running_service(
        tmp_path / "log",
        CHEST_XRAY_MODEL=f"chest_xray:{stored_artifact.name}",
        CHEST_XRAY_API_KEY_HASHES=hash_key("ward-3"),
    ) as url:
        page.goto(url)
        field = page.get_by_label("Key", exact=True)
        for key, text in (("ward-4", "does not know this key"), ("ward-3", None)):
            field.fill(key)
            field.press("Enter")
            if text:
                expect(page.locator("#key-reason")).to_contain_text(text)
        expect(page.locator("#model")).to_contain_text("version")
        upload(page, ("image.png", IMAGE))
        expect(page.locator("#detail .scores")).to_be_visible()
        held = "() => [localStorage.length, sessionStorage.length, document.cookie].join()"
        assert page.evaluate(held) == "0,0,"
        page.reload()
        expect(page.locator("#key-dialog")).to_be_visible()


def test_the_pages_policy_is_strict(client: httpx.Client) -> None:
    for path in ("/", "/page/page.js", "/page/page.css", "/page/examples/normal.jpg"):
        response = client.get(path)
        assert response.status_code == 200
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
    assert client.get("/page/../service.py").status_code == 404
    assert client.get("/page/%2e%2e/service.py").status_code == 404
