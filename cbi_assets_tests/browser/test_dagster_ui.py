"""Dagster's UI in a browser: the graph, a partition materialized by hand, and its checks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest
from playwright.sync_api import Browser, Page, expect

from cbi_assets_tests.browser.ui_server import serve_ui
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, record

SECOND = 1000.0  # Playwright's unit is the millisecond
RUN = 180 * SECOND
RAW = "/assets/raw/databento_ohlcv?view=partitions&partition=ZL%7C1h"
CHECKS = "/assets/market_data/databento_futures_ohlcv_1h?view=checks"


class Served(NamedTuple):
    """A UI's address, and the home it shows."""

    address: str
    home: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve an empty home whose drive has two files.

    One has bars of 15:00 (twice) and 16:00; the other has the 15:00 bar with another close, and a
    bar of 17:00.
    """
    root = tmp_path_factory.mktemp("ui")
    drive = root / "drive"
    drive.mkdir()
    put_lines(drive, [record(0), record(0), record(1)])
    put_lines(drive, [record(0, close="11.000000000"), record(2)], job=LATER_JOB)
    with serve_ui(root / "home", drive) as address:
        yield Served(address, root / "home")


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """A browser page on the UI."""
    with browser.new_page(
        base_url=served.address, viewport={"width": 1600, "height": 1000}, timezone_id="UTC"
    ) as opened:
        opened.set_default_timeout(60 * SECOND)
        yield opened


@pytest.mark.full
def test_graph_runs_from_drive_to_audit_left_to_right(page: Page) -> None:
    page.goto("/asset-groups")
    places = []
    for group in ("drive", "raw", "market_data", "features", "audit"):
        box = page.get_by_text(group, exact=True).last
        expect(box).to_be_visible(timeout=60 * SECOND)
        found = box.bounding_box()
        assert found is not None
        places.append(found["x"])
    assert places == sorted(set(places))


RUNS_HAVE_ENDED = """async () => {
  const answer = await fetch("/graphql", {
    method: "POST",
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify({query: "{runsOrError {... on Runs {results {status}}}}"}),
  });
  const runs = (await answer.json()).data.runsOrError.results;
  return runs.length > 0 && runs.every(run => ["SUCCESS", "FAILURE"].includes(run.status));
}"""


@pytest.mark.full
def test_materialized_partition_shows_its_books_and_checks(page: Page, served: Served) -> None:
    page.goto(RAW)
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_role("button", name="Confirm").click()
    page.get_by_role("button", name="Launch 1 run").click()
    expect(page.get_by_text("Materialized (1)")).to_be_visible(timeout=RUN)
    page.wait_for_function(RUNS_HAVE_ENDED, timeout=RUN)  # its checks come after that

    # three hours are published; the repeated bar and the other close are not
    page.goto(RAW)
    expect(page.get_by_text("newest bars")).to_be_visible(timeout=RUN)
    metadata = read_entries(page)
    assert metadata["dagster/partition_row_count"] == "3"
    assert metadata["first bar"] == "2025-01-06T15:00:00+00:00"
    assert metadata["last bar"] == "2025-01-06T17:00:00+00:00"
    # files, records, published, duplicates, quarantined, conflicts: the books balance
    assert page.get_by_role("row", name="2 5 3 1 0 1", exact=True).count() == 1

    page.goto(CHECKS)
    expect(page.get_by_text("no_overlapping_loads_disagree").first).to_be_visible()
    states = dict(re.findall(r"^(\w+)\n\1\n(Succeeded|Failed|Not Evaluated)$", text(page), re.M))
    assert {name for name, state in states.items() if state == "Failed"} == {
        "bars_are_fresh",
        "coverage_is_uniform",
        "no_overlapping_loads_disagree",
    }
    assert {name for name, state in states.items() if state == "Succeeded"} == {
        "days_are_final",
        "no_duplicate_bars",
        "no_unexplained_gaps",
        "ohlc_is_consistent",
        "prices_are_on_tick",
        "prices_are_plausible",
        "row_count_matches_files",
        "schema_matches_timeframe",
        "source_is_databento",
    }

    page.get_by_text("no_overlapping_loads_disagree").first.click()
    expect(page.get_by_text("This is a blocking asset check.")).to_be_visible()
    expect(page.get_by_text("ZL|1h: 1 conflicting bar, expected none").first).to_be_visible()
    expect(page.get_by_text("1 conflicting bar", exact=True)).to_be_visible()
    expect(page.get_by_text("none", exact=True)).to_be_visible()
    page.get_by_text("[Show Markdown]").click()
    sql = page.get_by_role("dialog").locator("code").inner_text()
    with duckdb.connect(str(served.home / "warehouse.duckdb")) as opened:
        (row,) = opened.sql(sql).pl().to_dicts()
    assert (row["root"], row["close"], row["published_close"]) == ("ZL", 11.0, 12.0)


def text(page: Page) -> str:
    return page.locator("body").inner_text()


def read_entries(page: Page) -> dict[str, str]:
    """Return metadata entries by name."""
    rows = page.locator("table tr").all()
    cells = [row.locator("td").all_inner_texts() for row in rows]
    return {row[0].strip(): row[1].strip() for row in cells if len(row) > 1}
