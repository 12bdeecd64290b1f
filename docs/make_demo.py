"""Make docs/report.jpg, the picture in the README: ``python docs/make_demo.py`` runs the demo and looks at it."""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from fissura.cli.app import app

OUT = Path(__file__).resolve().parent / "report.jpg"


def main() -> None:
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        raise SystemExit("there is no Chromium on PATH; install the system's package 'chromium'")
    with tempfile.TemporaryDirectory() as folder:
        try:
            app(["demo", "--out", folder, "--quiet"])
        except SystemExit as error:
            if error.code:
                raise
        with sync_playwright() as engine:
            browser = engine.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 1300, "height": 1000})
            page.goto((Path(folder) / "run" / "report.html").as_uri())
            page.wait_for_timeout(1000)
            picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            browser.close()
    picture.save(OUT, quality=82)
    print(f"wrote {OUT}")


if __name__ == "__main__":
    sys.exit(main())
