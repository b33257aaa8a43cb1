"""A headless Chromium, one per test module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Error

from cbi_assets_tests.browser.ui_server import open_browser


# Not one per session: Playwright's event loop would run during every later test.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. Fails the test if there is none."""
    try:
        with open_browser() as opened:
            yield opened
    except Error as error:
        pytest.fail(f"Chromium did not start; `make browser` installs one: {error}")
