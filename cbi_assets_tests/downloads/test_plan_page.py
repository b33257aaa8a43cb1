"""The page of a plan made by hand."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from cbi_assets.config.downloads import Estimates, Series, load_policy, parse_policy
from cbi_assets.config.universe import load_universe
from cbi_assets.downloads.estimate import Estimate, estimate
from cbi_assets.downloads.plan_model import Alternative, Gap, Plan, PublishedSeries, Unavailable
from cbi_assets.downloads.plan_page import render, rows_by_root, rows_by_series, rows_by_timeframe
from cbi_assets.errors import UsageError
from cbi_assets_tests.downloads.test_plan_model import OTHER, REQUEST, plan

UNIVERSE = load_universe()
PUBLISHED = PublishedSeries(
    "ES", "1d", "outright", True, 3_846, 16_351, dt.date(2010, 6, 7), dt.date(2025, 9, 24)
)
FULL = plan(
    REQUEST,
    replace(REQUEST, schema="ohlcv-1m", records=1_500_000, bytes=84_000_000, cost_usd=12.344),
    OTHER,
    published=(
        PUBLISHED,
        replace(PUBLISHED, root="6B", timeframe="1h", series="6B.v.0", counts=False),
    ),
    gaps=(
        Gap("ZL", "1h", (dt.date(2014, 6, 11),), "sources.yaml"),
        Gap("ZL", "1m", (dt.date(2014, 6, 11),), "sources.yaml"),
    ),
    unavailable=(Unavailable("VX", "not on CME."),),
    free_bytes=2_000_000_000,
)


def lines(chosen: Plan) -> list[str]:
    return render(chosen, UNIVERSE).splitlines()


def test_page_starts_with_the_summary() -> None:
    page = lines(FULL)
    assert page[0] == "# Databento download spec"
    # 57 + 1,500,000 + 57 bars; 3,192 + 84,000,000 + 3,192 bytes; 0.02 + 12.344 + 0.03 USD
    assert page[2] == (
        "3 requests for 2 roots: 1,500,114 bars, 84.0 MB uncompressed, 12.39 USD (quoted)."
    )
    assert page[4].startswith("The drive has 2.0 GB free, enough for the plan's 84.0 MB")
    assert f"- Full hash `{FULL.plan_hash}`" in page


def test_page_lists_each_roots_requests_with_reason_and_cost() -> None:
    page = lines(FULL)
    assert "### Tier 1: traded" in page
    assert "**ZL**, Soybean Oil (CBOT)" in page
    assert (
        "| 1h | `ZL.v.0` (continuous) | 2025-01-06 | 2025-01-08 | a hole | 57 | 3.2 kB "
        f"| 0.02 USD | `{REQUEST.request_id}` |"
    ) in page
    assert page.index("### Tier 1: traded") < page.index("### Tier 2: needed by the traded ones")


def test_page_lists_what_is_published_and_what_is_not_requested() -> None:
    page = lines(FULL)
    assert "| ES | 1d | contracts | 3,846 | 16,351 | 2010-06-07 | 2025-09-24 |" in page
    assert "| 6B | 1h | `6B.v.0` | 3,846 | 16,351 | 2010-06-07 | 2025-09-24 |" in page
    assert "| ZL | 1h, 1m | sources.yaml | 2014-06-11 |" in page
    assert "**VX**: not on CME." in page
    assert "Roots with nothing missing: ES." in page
    assert any(line.startswith("52 roots whose bars are loaded where they are") for line in page)


def test_page_shows_the_next_commands_with_a_sufficient_ceiling() -> None:
    page = render(FULL, UNIVERSE)
    name = FULL.plan_hash[:12]
    assert f"cbi approve {name} --by YOUR_NAME --max-usd 12.40\n" in page
    assert f"cbi download {name}\n" in page
    assert "~" not in page.split("## How")[0]


def test_page_marks_every_estimate() -> None:
    guess = plan(replace(REQUEST, basis="estimated"), OTHER, estimate_source="Prices: a guess.")
    page = render(guess, UNIVERSE)
    top = page.split("## Next steps")[0]
    assert "**Prices are estimates, not quotes**" in top
    assert "Prices: a guess." in top
    assert "| ~57 | ~3.2 kB | ~0.02 USD |" in page
    assert "| 57 | 3.2 kB | 0.03 USD |" in page
    assert "--max-usd N\n" in page


def test_page_compares_the_ways_to_request_intraday_bars() -> None:
    ways = (
        Alternative("ZL", "1h", "continuous", True, 1, 57, 3_192, 0.02, "quoted"),
        Alternative("ZL", "1h", "chain", False, 4, 190, 10_640, 0.06, "estimated"),
        Alternative("ZL", "1h", "parent", False, 0, None, None, None, "estimated", "a note"),
    )
    page = render(replace(FULL, alternatives=ways), UNIVERSE)
    assert "`.v.0` alone, unadjusted | 1 | 57 | 3.2 kB | 0.02 USD | **in this plan** |" in page
    assert "contracts it may roll through | 4 | ~190 | ~10.6 kB | ~0.06 USD |  |" in page
    assert "every contract and spread | 0 | unknown | unknown | unknown | a note |" in page
    assert "**unadjusted**: its prices jump where it changes contract" in page
    assert replace(FULL, alternatives=ways).plan_hash == FULL.plan_hash


def test_page_says_if_the_drive_is_too_small_or_missing() -> None:
    small = replace(FULL, free_bytes=84_000_000)
    assert "has 84.0 MB free, **less than the plan's 84.0 MB**: free some space" in lines(small)[4]
    assert lines(replace(FULL, free_bytes=None))[4].startswith("No drive is mounted (CBI_DRIVE)")


def test_page_of_an_empty_plan_has_no_next_command() -> None:
    page = render(plan(), UNIVERSE)
    assert "Nothing is missing through 2025-01-08" in page
    assert "cbi approve" not in page


def test_rows_total_the_requests_of_a_root_or_timeframe() -> None:
    by_root = {row["root"]: row for row in rows_by_root(FULL)}
    assert (by_root["ZL"]["timeframes"], by_root["ZL"]["requests"]) == ("1h, 1m", "2")
    assert by_root["ZS"]["cost"] == "0.03 USD"
    by_series = {(row["root"], row["timeframe"]): row["cost"] for row in rows_by_series(FULL)}
    assert by_series["ZL", "1m"] == "12.34 USD"
    assert rows_by_timeframe(FULL) == [
        {"timeframe": "1h", "roots": "2", "requests": "2", "bars": "114", "size": "6.4 kB",
         "cost": "0.05 USD"},
        {"timeframe": "1m", "roots": "1", "requests": "1", "bars": "1,500,000", "size": "84.0 MB",
         "cost": "12.34 USD"},
    ]  # fmt: skip
    partly = plan(REQUEST, replace(OTHER, root="ZL", records=None, cost_usd=None))
    (row,) = rows_by_root(partly)
    assert (row["bars"], row["size"], row["cost"]) == ("unknown", "6.4 kB", "unknown")


def test_estimate_is_bars_times_bytes_times_price() -> None:
    figures = Estimates(
        bytes_per_record=56, usd_per_gb={"1h": 600}, price_source="", record_source="",
        records_per_trade_date={"continuous": {"1h": {"grains": 18.5}, "1d": {"grains": 1}}},
    )  # fmt: skip
    one = Series(stype_in="continuous", symbol="ZL.v.0")
    # 18.5 x 1,000 = 18,500 bars; x 56 = 1,036,000 bytes; x 600 / 1e9 = 0.6216 USD, up to the cent
    assert estimate(figures, one, "1h", "grains", 1_000) == Estimate(18_500, 1_036_000, 0.63)
    # no price, or no count for the sector
    assert estimate(figures, one, "1d", "grains", 10) == Estimate(10, 560, None)
    assert estimate(figures, one, "1h", "fx", 10) == Estimate(None, None, None)
    parent = Series(stype_in="parent", symbol="ZL.FUT")
    assert estimate(figures, parent, "1h", "grains", 10) == Estimate(None, None, None)


def test_the_projects_policy_has_an_estimate_for_every_wanted_series() -> None:
    policy = load_policy()
    for root, spec in UNIVERSE.roots.items():
        for timeframe in spec.timeframes:
            series = policy.series_of(root, timeframe)
            found = estimate(policy.estimates, series, timeframe, spec.calendar, 100)
            assert found.cost_usd
    assert policy.series_of("ZL", "1d") == Series(stype_in="parent", symbol="ZL.FUT")
    assert policy.series_of("ZL", "1m") == Series(stype_in="continuous", symbol="ZL.v.0")


SHORT = """
series: {1h: {stype_in: continuous, symbol: "{root}.v.0"}}
roots: {ZL: {1h: {stype_in: parent, symbol: "{root}.FUT"}}}
estimates: {bytes_per_record: 56, usd_per_gb: {}, price_source: x, records_per_trade_date: {},
            record_source: x}
"""


def test_series_of_prefers_the_roots_own_series() -> None:
    policy = parse_policy(SHORT)
    assert policy.series_of("ZL", "1h").stored_as == "outright"
    assert policy.series_of("ZS", "1h").stored_as == "ZS.v.0"
    with pytest.raises(UsageError, match=r"series: no symbol for 1m, which universe\.yaml wants"):
        policy.series_of("ZL", "1m")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("continuous,", "all,", "series.1h.stype_in: Input should be"),
        ("bytes_per_record: 56", "bytes_per_record: 0", "estimates.bytes_per_record: "),
        ("series:", "serie:", "series: Field required"),
        ("series: {", "{", "not YAML"),
    ],
    ids=["stype", "bytes", "key", "YAML"],
)
def test_parse_policy_names_the_invalid_key(old: str, new: str, reason: str) -> None:
    with pytest.raises(UsageError, match=f"downloads.yaml: {reason}"):
        parse_policy(SHORT.replace(old, new, 1))
