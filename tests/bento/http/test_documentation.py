"""Page and documentation behind a path prefix, in a real Chromium; no request goes to another host."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect, sync_playwright

from tests.support import pictures
from tests.support.browser import LAUNCH, find_chromium
from tests.support.proxy import find_nginx, nginx_prefixed, prefixed

in_a_browser = pytest.mark.skipif(find_chromium() is None, reason="no chromium on the PATH")


@pytest.fixture(scope="module", params=["no prefix", "a proxy of the tests", "nginx"])
def root(request: pytest.FixtureRequest, service_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the service's root, without the last slash."""
    if request.param == "no prefix":
        yield service_url
    elif request.param == "nginx":
        if find_nginx() is None:
            pytest.skip("no nginx: install the package nginx-light")
        with nginx_prefixed(service_url, tmp_path_factory.mktemp("nginx")) as url:
            yield url
    else:
        with prefixed(service_url) as url:
            yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=LAUNCH)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, root: str) -> Iterator[Page]:
    """A page that asks for nothing outside the root, and for nothing that is not there."""
    page = browser.new_page()
    asked: list[str] = []
    failed: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
    yield page
    page.close()
    elsewhere = [url for url in asked if not url.startswith((f"{root}/", "data:", "blob:"))]
    assert (elsewhere, failed) == ([], [])


@in_a_browser
def test_the_page_answers(page: Page, root: str) -> None:
    page.goto(f"{root}/")
    expect(page.locator("#model")).to_contain_text("version")
    image = FilePayload(name="a.png", mimeType="image/png", buffer=pictures.GOOD["a grey PNG"])
    page.locator("#files").set_input_files([image])
    expect(page.locator("#detail .where")).not_to_be_empty()
    page.get_by_role("button", name="Normal").click()
    expect(page.locator("#table tbody tr")).to_have_count(2)
    expect(page.locator("#summary")).not_to_contain_text("waiting")
    page.get_by_role("link", name="interface").click()
    expect(page.locator("#swagger-ui")).to_contain_text("/predict/batch")


@in_a_browser
@pytest.mark.parametrize("path", ["/docs", "/docs/"])
def test_swagger_ui_shows_and_asks_the_service(page: Page, root: str, path: str) -> None:
    page.goto(root + path)
    page.locator("#operations-default-health_health_get .opblock-summary-control").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table .response-col_status").last).to_contain_text("200")


@in_a_browser
def test_redoc_shows_the_routes(page: Page, root: str) -> None:
    page.goto(f"{root}/redoc")
    expect(page.locator("redoc, #redoc-container").first).to_contain_text("Classify one image", timeout=15_000)
    page.wait_for_load_state("networkidle")


def test_both_addresses_of_the_document_give_the_same_one(root: str) -> None:
    document = httpx.get(f"{root}/openapi.json", trust_env=False).json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {"/predict", "/predict/batch", "/health", "/metadata"}
    assert httpx.get(f"{root}/docs.json", trust_env=False).json() == document


@pytest.mark.parametrize(("path", "target"), [("/docs/", "/docs"), ("/health/", "/health"), ("/page", "/page/")])
def test_redirects_stay_below_the_prefix(root: str, path: str, target: str) -> None:
    answer = httpx.get(root + path, trust_env=False)
    assert answer.is_redirect
    assert answer.next_request is not None
    assert str(answer.next_request.url) == root + target


@pytest.mark.parametrize(
    "path",
    ["/", "/health", "/metadata", "/livez", "/readyz", "/docs", "/redoc", "/openapi.json", "/metrics", "/page/page.js"],
)
def test_head_has_the_headers_of_get_and_no_body(root: str, path: str) -> None:
    whole, head = (httpx.request(method, root + path, trust_env=False) for method in ("GET", "HEAD"))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]


def test_head_is_no_way_into_routes_without_get(root: str) -> None:
    answer = httpx.head(f"{root}/predict", trust_env=False)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert httpx.head(f"{root}/nowhere", trust_env=False).status_code == 404


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_documentation_needs_no_other_host(client: httpx.Client, path: str) -> None:
    page = client.get(path)
    assert page.status_code == 200
    assert not re.search(r'(?:src|href)\s*=\s*["\'](?:https?:)?//', page.text)
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert "http" not in page.headers["content-security-policy"]
    assets = re.findall(r'(?:src|href)="([^"/][^"]+)"', page.text)
    assert any(asset.endswith(".js") for asset in assets)
    for asset in assets:
        answer = client.get(asset)
        assert answer.status_code == 200
        assert len(answer.content) > 500
