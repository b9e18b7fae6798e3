"""docs/assets/report.png: the top of the report page, as a browser of the width of README shows it.

    python docs/build/picture.py     # after `make repro`; wants Chromium

The READMEs show it between their marks <!-- picture --> once it is there.
"""

from __future__ import annotations

import shutil
import sys

from playwright.sync_api import sync_playwright

from ilt import paths
from pages import ROOT

PAGE = ROOT / paths.REPORT / "index.html"
PICTURE = ROOT / "docs" / "assets" / "report.png"
WIDTH, HEIGHT = 1000, 720
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None or not PAGE.is_file():
        sys.exit(f"{PAGE} and one of {', '.join(BROWSERS)} are needed: `make repro`, and apt install chromium")
    with sync_playwright() as playwright:
        window = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        view = window.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        view.goto(PAGE.as_uri())
        view.screenshot(path=PICTURE)
        window.close()
    print(f"wrote {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
