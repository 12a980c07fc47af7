"""The page as its users meet it: a real service in a real Chromium, without a display."""

import base64
import csv
import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from axe_core_python.sync_playwright import Axe
from playwright.sync_api import Browser, FilePayload, Page, expect, sync_playwright

from bento.keys import hash_key
from tests.support import pictures
from tests.support.artifacts import CLASSES
from tests.support.browser import LAUNCH, find_chromium
from tests.support.dicoms import dicom
from tests.support.server import running_service

pytestmark = pytest.mark.skipif(
    find_chromium() is None, reason="no chromium on the PATH; `make test` as root on Debian installs it"
)
IMAGE = pictures.GOOD["a grey PNG"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=LAUNCH)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
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
    page.locator("#files").set_input_files(
        [FilePayload(name=name, mimeType="image/png", buffer=data) for name, data in files]
    )


def opened(page: Page, url: str) -> Page:
    page.goto(url)
    expect(page.locator("#model")).to_contain_text("version")
    return page


def answered(page: Page, url: str) -> Page:
    """The page with one image's answer."""
    opened(page, url)
    upload(page, ("image.png", IMAGE))
    expect(page.locator("article.answered figcaption p")).not_to_be_empty()
    return page


def test_an_uploaded_image_gets_the_services_own_answer(page: Page, service_url: str) -> None:
    expected = httpx.post(f"{service_url}/predict", files={"file": IMAGE}).json()
    card = answered(page, service_url).locator("article")
    expect(card.get_by_role("heading", name="image.png")).to_be_visible()
    shown = card.locator(".scores li").all_inner_texts()
    assert [text.split() for text in shown] == [
        [one["label"], f"{100 * one['confidence']:.1f}", "%"] for one in expected["predictions"]
    ]
    assert card.locator(".flags .on").count() == sum(flag["flagged"] for flag in expected["flags"])
    expect(card).to_contain_text(expected["model_version"])


def test_what_must_be_known_of_the_model_is_on_the_page(page: Page, service_url: str) -> None:
    opened(page, service_url)
    metadata = httpx.get(f"{service_url}/metadata").json()
    expect(page.locator("#notice")).to_contain_text(metadata["notice"])
    for text in (metadata["intended_use"], *metadata["limits"], *metadata["warnings"]):
        expect(page.locator("#about")).to_contain_text(text)


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
    expect(page.locator("article.answered")).to_contain_text("given.png")


def test_a_bad_file_is_a_sentence_beside_the_good_ones(page: Page, service_url: str) -> None:
    opened(page, service_url)
    upload(page, ("notes.png", b"a radiograph, honestly"), ("image.png", IMAGE))
    expect(page.locator("article .error")).to_contain_text("Not an image: not an image in an accepted format")
    expect(page.locator("article.answered")).to_have_count(1)


def test_a_dicom_image_is_chosen_and_shown(page: Page, service_url: str) -> None:
    opened(page, service_url)
    assert ".dcm" in str(page.locator("#files").get_attribute("accept")).split(",")
    expect(page.locator("#accepted")).to_contain_text("DICOM")
    upload(
        page,
        ("image.dcm", pictures.GOOD["a DICOM image"]),
        ("ct.dcm", dicom(pictures.radiograph(), Modality="CT")),
    )
    card = page.locator("article.answered")
    expect(card).to_contain_text("image.dcm")
    # A browser knows no DICOM: what it shows is the service's own picture.
    loaded = "image => image.complete && image.naturalWidth === 120 && image.src.startsWith('data:image/png')"
    expect(card.locator("figcaption p")).not_to_be_empty()
    assert card.locator("img").evaluate(loaded)
    expect(page.locator("article .error")).to_contain_text("Not a chest image: the DICOM file's modality is CT")


def test_the_heat_map_fades_and_changes_with_the_class(page: Page, service_url: str) -> None:
    card = answered(page, service_url).locator("article")
    canvas, slider = card.locator("canvas"), card.get_by_role("slider")
    drawn = "canvas => canvas.toDataURL()"
    first = canvas.evaluate(drawn)
    painted = "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((v) => v)"
    assert canvas.evaluate(painted)
    size = "element => [element.clientWidth, element.clientHeight]"
    assert canvas.evaluate(size) == card.locator("img").evaluate(size)
    slider.focus()
    slider.press("Home")
    assert canvas.evaluate("canvas => getComputedStyle(canvas).opacity") == "0"
    slider.press("End")
    assert canvas.evaluate("canvas => getComputedStyle(canvas).opacity") == "1"
    card.get_by_role("combobox").select_option(index=1)
    assert canvas.evaluate(drawn) != first


def test_a_hundred_images_are_answered_and_saved(page: Page, service_url: str) -> None:
    opened(page, service_url)
    names = [f"{number}.png" for number in range(98)]
    upload(page, ("=evil().png", IMAGE), ('a "b", c.png', b"garbage"), *((name, IMAGE) for name in names))
    expect(page.locator("#progress")).to_have_text("100 read", timeout=120_000)
    assert page.locator("article .error").count() == 1
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_bytes().decode())))
    assert [row["file"] for row in rows] == ["'=evil().png", 'a "b", c.png', *names]
    expected = httpx.post(f"{service_url}/predict", files={"file": IMAGE}).json()["predictions"]
    assert {one["label"]: float(rows[0][one["label"]]) for one in expected} == {
        one["label"]: pytest.approx(one["confidence"]) for one in expected
    }
    assert rows[0]["label"] in CLASSES
    assert rows[1]["error"].startswith("Not an image")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("article")).to_have_count(0)


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
    expect(page.locator("article.answered")).to_have_count(1, timeout=10_000)


def test_input_warnings_come_before_the_scores(page: Page, service_url: str) -> None:
    opened(page, service_url)
    upload(page, ("snow.png", pictures.glaring()))
    card = page.locator("article.answered")
    notes = card.get_by_role("alert").locator(".note")
    expect(notes).to_have_count(2)
    expect(notes.first).to_contain_text("Warning: Outside what the model knows")
    expect(notes.last).to_contain_text("Warning: The image seems to be inverted")
    order = "card => [...card.querySelectorAll('.warnings, .scores')].map((one) => one.className)"
    assert card.evaluate(order) == ["warnings", "scores"]
    assert not Axe().run(page)["violations"]
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    (row,) = csv.DictReader(io.StringIO(Path(download.value.path()).read_bytes().decode()))
    assert row["in_distribution"] == "false"
    assert row["input_warnings"] == "not-like-training inverted"


def test_an_image_without_input_warnings_shows_none(page: Page, service_url: str) -> None:
    expect(answered(page, service_url).get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize("name", ["Normal", "Pneumonia", "Tuberculosis"])
def test_an_example_is_one_click_away(page: Page, service_url: str, name: str) -> None:
    opened(page, service_url)
    page.get_by_role("button", name=name).click()
    expect(page.locator("article.answered")).to_contain_text(f"example {name.lower()}.jpg")


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
        expect(page.locator("article.answered")).to_have_count(1)
        held = "() => [localStorage.length, sessionStorage.length, document.cookie].join()"
        assert page.evaluate(held) == "0,0,"
        page.reload()
        expect(page.locator("#key-dialog")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_keeps_anybody_out_and_nothing_sticks_out(
    page: Page, service_url: str, scheme: str, width: int
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 850})
    answered(page, service_url)
    upload(page, ("notes.png", b"garbage"))
    expect(page.locator("article .error")).to_have_count(1)
    violations = Axe().run(page)["violations"]
    assert not [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations]
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_the_keyboard_reaches_everything(page: Page, service_url: str) -> None:
    answered(page, service_url)
    page.locator("#choose").focus()
    reached = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("() => document.activeElement.id || document.activeElement.tagName"))
    assert {"BUTTON", "csv", "clear", "SELECT", "INPUT", "A"} <= reached


def test_the_pages_policy_is_strict(client: httpx.Client) -> None:
    for path in ("/", "/page/page.js", "/page/page.css", "/page/examples/normal.jpg"):
        response = client.get(path)
        assert response.status_code == 200
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
    assert client.get("/page/../service.py").status_code == 404
    assert client.get("/page/%2e%2e/service.py").status_code == 404
