"""A Chromium for tests of `report.html`, and the page as it was loaded with all that it asked for and complained of."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@dataclass
class Loaded:
    page: object
    requests: list = field(default_factory=list)
    complaints: list = field(default_factory=list)


@contextmanager
def chromium():
    """Skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=_ARGUMENTS)
        yield browser
        browser.close()


def load(browser, path, *, width=1400, height=900, **options) -> Loaded:
    page = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce", **options)
    loaded = Loaded(page)
    page.on("request", lambda request: loaded.requests.append(request.url))
    page.on("console", lambda message: loaded.complaints.append(message.text))
    page.on("pageerror", lambda error: loaded.complaints.append(str(error)))
    page.on("dialog", lambda dialog: loaded.complaints.append(f"dialog: {dialog.message}"))
    page.goto(path.as_uri())
    page.wait_for_timeout(60)
    return loaded
