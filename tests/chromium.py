"""A real Chromium without a window, and axe-core, which finds what keeps people out of a page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

PATIENCE = 90_000
"""Milliseconds to wait for anything on a page: machines may be busy."""
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
_AXE = (Path(__file__).parent / "vendor" / "axe-core-4.14.1" / "axe.min.js").read_text(encoding="utf-8")
_RUN_AXE = "() => axe.run(document, {resultTypes: ['violations']})"


def program() -> str:
    """The system's Chromium. Without it the test is skipped, or fails if `NEBULA_REQUIRE_BROWSER=1` asks for it."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        missing = "chromium is not installed"
        if os.environ.get("NEBULA_REQUIRE_BROWSER") == "1":
            pytest.fail(f"{missing}, and NEBULA_REQUIRE_BROWSER=1 asks for it")
        pytest.skip(missing)
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, with an empty profile that is gone afterwards."""
    found = program()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[*FLAGS], timeout=PATIENCE)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visiting(browser: Browser, **options: Any) -> Iterator[Page]:
    """A page of a visitor without cookies or memory; `options` are those of a context of Playwright's."""
    with browser.new_context(**options) as context:
        context.set_default_timeout(PATIENCE)
        yield context.new_page()


def findings(page: Page) -> list[str]:
    """What axe-core finds wrong with a page as it is now: rule, and the elements."""
    # Playwright runs it as a debugger does, so that the page's policy against scripts stays as it is.
    page.evaluate(_AXE)
    violations = page.evaluate(_RUN_AXE)["violations"]
    return [f"{each['id']}: {[node['html'][:120] for node in each['nodes']]}" for each in violations]
