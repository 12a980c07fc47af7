"""The page of ``accept`` in a browser: light and dark, phone and desktop; it needs nothing but itself."""

from pathlib import Path

import pytest
from axe_core_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.trainer.sites.conftest import TAG, Site
from trainer.cli import main


@pytest.fixture
def acceptance(site: Site, tmp_path: Path, page: Page) -> Page:
    """The page of a first look at images of two sexes; it must ask for nothing and log no error."""

    def right(place: int, _: str, flagged: bool) -> str:
        return f"{'TUBERCULOSIS' if flagged else 'NORMAL'},{'FM'[place % 2]}"

    labels = site.labelled(tmp_path / "labels.csv", right, ",sex")
    words = ["--labels", str(labels), "--out", str(tmp_path), "--looks", "2"]
    assert main(["accept", "--model", TAG, "--dataset", str(site.folder), *words]) == 1
    page.set_content((tmp_path / "acceptance.html").read_text())
    return page


def test_nothing_keeps_anybody_out_and_nothing_sticks_out(acceptance: Page) -> None:
    for scheme in ("light", "dark"):
        for width in (390, 1280):
            acceptance.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            acceptance.set_viewport_size({"width": width, "height": 850})
            violations = Axe().run(acceptance)["violations"]
            assert not [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in violations]
            assert acceptance.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    expect(acceptance.locator("body")).to_have_css("background-color", "rgb(17, 23, 29)")


def test_the_verdict_leads_with_its_numbers_of_images(acceptance: Page) -> None:
    expect(acceptance.locator("#verdict .word")).to_have_text("Can't tell")
    expect(acceptance.locator("#verdict")).to_contain_text("45 images with TUBERCULOSIS, 45 without it; look 1 of 2.")
    expect(acceptance.locator("svg[role=img]").first).to_have_attribute(
        "aria-label", "sensitivity 1.00 (0.87 to 1.00), n = 45, target 0.90"
    )
    expect(acceptance.get_by_role("region", name="Subgroups")).to_contain_text("n = 22")
