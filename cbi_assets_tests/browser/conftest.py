"""A headless Chromium for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Error

from cbi_assets_tests.browser.serving import open_browser


# Not of the whole session: Playwright's event loop would be running in every later test.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; fails where there is none."""
    try:
        with open_browser() as opened:
            yield opened
    except Error as error:
        pytest.fail(f"Chromium did not start; `make browser` installs one: {error}")
