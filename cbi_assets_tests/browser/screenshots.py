"""Take the screenshots in the docs, of a home that is loaded, built and audited:

python -m cbi_assets_tests.browser.screenshots --home .cbi --drive DRIVE [--out docs/images]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page

from cbi_assets_tests.browser.ui_server import open_browser, serve_ui

PARTITION = "/assets/raw/databento_ohlcv?view=partitions&partition=ZL%7C1h"
CHECKS = "/assets/market_data/databento_futures_ohlcv_1h?view=checks"
CHECK = "coverage_is_uniform"
NEUTRAL_HOME = "p => { p.textContent = p.textContent.replace(/from \\S+,/, 'from .cbi,') }"
"""Hide the path of the machine on which the pictures are taken."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--drive", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    args = parser.parse_args()
    with open_browser() as browser:
        audit = (args.home / "audit" / "latest" / "audit.html").resolve().as_uri()
        take_audit(browser, audit, args.out / "audit-light.png", 1200, 900, "light")
        take_audit(browser, audit, args.out / "audit-dark.png", 1200, 900, "dark", "trading")
        take_audit(browser, audit, args.out / "audit-phone.png", 390, 780, "light")
        with serve_ui(args.home.resolve(), args.drive.resolve()) as address:
            take(browser, f"{address}/asset-groups", args.out / "graph.png", show_graph, 1600, 560)
            take(browser, f"{address}{PARTITION}", args.out / "partition.png", show_partition)
            take(browser, f"{address}{CHECKS}", args.out / "check.png", show_check)


def take_audit(
    browser: Browser,
    address: str,
    to: Path,
    width: int,
    height: int,
    scheme: Literal["light", "dark"],
    section: str | None = None,
) -> None:
    """Take the audit's page, from the top or from a section."""
    size = {"width": width, "height": height}
    with browser.new_page(viewport=size, color_scheme=scheme, reduced_motion="reduce") as page:  # type: ignore[arg-type]
        page.goto(address + (f"#{section}" if section else ""))
        page.locator("header p").first.evaluate(NEUTRAL_HOME)
        if section:
            page.locator(f"#{section} .plot.live").first.wait_for()
        page.screenshot(path=to)


def take(
    browser: Browser,
    address: str,
    to: Path,
    show: Callable[[Page], None],
    width: int = 1440,
    height: int = 1000,
) -> None:
    """Take a page of Dagster's UI after `show` has brought it into view."""
    with browser.new_page(viewport={"width": width, "height": height}, timezone_id="UTC") as page:
        page.set_default_timeout(60_000)
        page.goto(address)
        show(page)
        page.wait_for_load_state("networkidle")
        page.screenshot(path=to)


def show_graph(page: Page) -> None:
    """Show every group with the status of its assets."""
    page.get_by_text("raw_intelligence", exact=True).last.wait_for()
    page.wait_for_timeout(5_000)  # statuses load one by one


def show_partition(page: Page) -> None:
    page.get_by_text("newest bars").wait_for()


def show_check(page: Page) -> None:
    page.get_by_text(CHECK).first.click()
    page.get_by_text("Evaluation result").wait_for()


if __name__ == "__main__":
    main()
