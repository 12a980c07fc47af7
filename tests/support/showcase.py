"""``make pictures``: the README's pictures, from a real run on generated images, its service and its report.

``python -m tests.support.showcase --examples`` draws the page's three example images anew.
"""

import argparse
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.support.browser import LAUNCH, find_chromium
from tests.support.server import ROOT, running_service
from trainer.cli import main as train
from trainer.data.sample import LABELS, generate
from trainer.errors import UserError

DOCS = ROOT / "docs"
EXAMPLES = ROOT / "bento/page/examples"
DATA = Path("data/pictures")
RUN = "pictures"
FLAGS = [
    *("--dataset", "sample", "--sample-images", "1200", "--data-dir", str(DATA), "--run", RUN),
    *("--backbone", "efficientnet_lite0"),
]
WIDTH = 1280
EXAMPLE_SIZE = 384
EXAMPLE_SEED = 77


def draw_examples() -> None:
    """The first image of each class, of a seed that no run uses."""
    wanted = list(LABELS)
    for radiograph in generate(60, EXAMPLE_SIZE, 3, EXAMPLE_SEED):
        if radiograph.label in wanted:
            wanted.remove(radiograph.label)
            path = EXAMPLES / f"{radiograph.label.lower()}.jpg"
            Image.fromarray(radiograph.pixels).save(path, quality=88)


def shoot(page: Page, path: Path, height: int) -> None:
    """Write the page's upper part, in 256 colours: documentation, not measurement."""
    page.screenshot(path=path, full_page=True, clip={"x": 0, "y": 0, "width": WIDTH, "height": height})
    with Image.open(path) as image:
        reduced = image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, 2)
    reduced.save(path, optimize=True)


def take(report: Path) -> None:
    """Photograph the page, with an answered example, and the report."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service(Path(folder) / "log") as url,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=find_chromium(), args=LAUNCH) as browser,
    ):
        page = browser.new_page(viewport={"width": WIDTH, "height": 900})
        page.goto(url)
        page.get_by_role("button", name="Tuberculosis").click()
        page.locator("#detail .where").wait_for()
        shoot(page, DOCS / "page.png", 950)
        page.goto(report.resolve().as_uri())
        shoot(page, DOCS / "report.png", 900)


def main() -> int:
    """Train where there is no such run yet, then take the pictures; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", action="store_true", help="draw the page's example images, and end")
    if parser.parse_args().examples:
        draw_examples()
        return 0
    if find_chromium() is None:
        raise SystemExit("make pictures: needs chromium; apt-get install chromium")
    report = ROOT / "runs" / RUN / "report.html"
    try:
        code = 0 if report.is_file() else train(["run", *FLAGS])
    except UserError as error:
        raise SystemExit(f"make pictures: {error}") from error
    if code == 0:
        take(report)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
