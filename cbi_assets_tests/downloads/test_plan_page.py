"""The page of a plan made by hand: what a stranger reads there."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from cbi_assets.config.downloads import Estimates, Series, load_policy, parse_policy
from cbi_assets.config.universe import load_universe
from cbi_assets.downloads.estimate import Figures, estimate
from cbi_assets.downloads.plan_model import Gap, Holding, Plan, Unavailable
from cbi_assets.downloads.plan_page import count, dollars, render, size, summary_rows
from cbi_assets.errors import UsageError
from cbi_assets_tests.downloads.test_plan_model import OTHER, REQUEST, plan

UNIVERSE = load_universe()
HELD = Holding(
    "ES", "1d", "outright", True, 3_846, 16_351, dt.date(2010, 6, 7), dt.date(2025, 9, 24)
)
FULL = plan(
    REQUEST,
    replace(REQUEST, schema="ohlcv-1m", records=1_500_000, bytes=84_000_000, cost_usd=12.344),
    OTHER,
    held=(HELD, replace(HELD, root="6B", timeframe="1h", series="6B.v.0", counts=False)),
    gaps=(
        Gap("ZL", "1h", (dt.date(2014, 6, 11),), "sources.yaml"),
        Gap("ZL", "1m", (dt.date(2014, 6, 11),), "sources.yaml"),
    ),
    unavailable=(Unavailable("VX", "not on CME."),),
    free_bytes=2_000_000_000,
)


def lines(chosen: Plan) -> list[str]:
    return render(chosen, UNIVERSE).splitlines()


def test_the_summary_stands_first() -> None:
    page = lines(FULL)
    assert page[0] == "# Databento download spec"
    # 57 + 1,500,000 + 57 bars; 3,192 + 84,000,000 + 3,192 bytes; 0.02 + 12.344 + 0.03 USD
    assert page[2] == (
        "3 requests for 2 roots: 1,500,114 bars, 84.01 MB uncompressed, 12.39 USD (quoted)."
    )
    assert page[4].startswith("The drive has 2.00 GB free, enough for the plan's 84.01 MB")
    assert f"- Full hash `{FULL.plan_hash}`" in page


def test_each_root_has_its_requests_with_why_and_cost() -> None:
    page = lines(FULL)
    assert "### Tier 1: traded" in page
    assert "**ZL**, Soybean Oil (CBOT)" in page
    assert (
        "| 1h | `ZL.v.0` (continuous) | 2025-01-06 | 2025-01-08 | a hole | 57 | 0.00 MB | 0.02 | "
        f"`{REQUEST.request_id}` |"
    ) in page
    assert page.index("### Tier 1: traded") < page.index("### Tier 2: needed by the traded ones")


def test_what_is_there_and_what_is_not_asked_for() -> None:
    page = lines(FULL)
    assert "| ES | 1d | contracts | 3,846 | 16,351 | 2010-06-07 | 2025-09-24 |" in page
    assert "| 6B | 1h | `6B.v.0` | 3,846 | 16,351 | 2010-06-07 | 2025-09-24 |" in page
    assert "| ZL | 1h, 1m | sources.yaml | 2014-06-11 |" in page
    assert "**VX**: not on CME." in page
    assert "Roots with nothing missing: ES." in page


def test_the_next_command_names_the_plan_and_a_ceiling_that_is_enough() -> None:
    page = render(FULL, UNIVERSE)
    name = FULL.plan_hash[:12]
    assert f"cbi approve {name} --by YOUR_NAME --max-usd 12.40\n" in page
    assert f"cbi download {name}\n" in page
    assert "~" not in page.split("## How")[0]


def test_estimates_are_marked_everywhere() -> None:
    guess = plan(replace(REQUEST, basis="estimated"), OTHER, estimate_source="Prices: a guess.")
    page = render(guess, UNIVERSE)
    assert "**Estimated, not quoted.**" in page
    assert "| ~57 | ~0.00 MB | ~0.02 |" in page
    assert "| 57 | 0.00 MB | 0.03 |" in page
    assert "--max-usd N\n" in page
    assert "- Prices: a guess." in page


def test_too_little_room_and_no_drive_are_told() -> None:
    small = replace(FULL, free_bytes=84_000_000)
    assert "has 84.00 MB free, **less than the plan's 84.01 MB**: make room" in lines(small)[4]
    assert lines(replace(FULL, free_bytes=None))[4].startswith("No drive is mounted (CBI_DRIVE)")


def test_nothing_missing_is_a_page_too() -> None:
    page = render(plan(), UNIVERSE)
    assert "Nothing is missing through 2025-01-08" in page
    assert "cbi approve" not in page


def test_figures_as_people_read_them() -> None:
    assert [dollars(v) for v in (None, 0, 0.004, 0.005, 1234.5)] == [
        "unknown", "0.00", "<0.01", "0.01", "1,234.50"
    ]  # fmt: skip
    assert [size(v) for v in (None, 0, 1_500_000, 999_994_999, 1e9)] == [
        "unknown", "0.00 MB", "1.50 MB", "999.99 MB", "1.00 GB"
    ]  # fmt: skip
    assert [count(v) for v in (None, 0, 1_234_567)] == ["unknown", "0", "1,234,567"]
    rows = {row["root"]: row for row in summary_rows(FULL)}
    assert (rows["ZL"]["timeframes"], rows["ZL"]["requests"]) == ("1h, 1m", "2")
    assert rows["ZS"]["USD"] == "0.03"


def test_an_estimate_is_bars_times_bytes_times_price() -> None:
    figures = Estimates(
        bytes_per_record=56, usd_per_gb={"1h": 600}, price_source="", record_source="",
        records_per_trade_date={"continuous": {"1h": {"grains": 18.5}, "1d": {"grains": 1}}},
    )  # fmt: skip
    one = Series(stype_in="continuous", symbol="ZL.v.0")
    # 18.5 x 1,000 = 18,500 bars; x 56 = 1,036,000 bytes; x 600 / 1e9 = 0.6216 USD, up to the cent
    assert estimate(figures, one, "1h", "grains", 1_000) == Figures(18_500, 1_036_000, 0.63)
    # no price, no figure for the sector: nothing is invented
    assert estimate(figures, one, "1d", "grains", 10) == Figures(10, 560, None)
    assert estimate(figures, one, "1h", "fx", 10) == Figures(None, None, None)
    parent = Series(stype_in="parent", symbol="ZL.FUT")
    assert estimate(figures, parent, "1h", "grains", 10) == Figures(None, None, None)


def test_the_projects_own_policy_has_an_estimate_for_all_that_is_wanted() -> None:
    policy = load_policy()
    for root, spec in UNIVERSE.roots.items():
        for timeframe in spec.timeframes:
            series = policy.series_of(root, timeframe)
            found = estimate(policy.estimates, series, timeframe, spec.calendar, 100)
            assert found.cost_usd
    assert policy.series_of("ZL", "1d") == Series(stype_in="parent", symbol="ZL.FUT")
    assert policy.series_of("ZL", "1m") == Series(stype_in="continuous", symbol="ZL.v.0")


SHORT = """
dataset: GLBX.MDP3
series: {1h: {stype_in: continuous, symbol: "{root}.v.0"}}
roots: {ZL: {1h: {stype_in: parent, symbol: "{root}.FUT"}}}
estimates: {bytes_per_record: 56, usd_per_gb: {}, price_source: x, records_per_trade_date: {},
            record_source: x}
"""


def test_a_roots_own_series_wins() -> None:
    policy = parse_policy(SHORT)
    assert policy.series_of("ZL", "1h").stored_as == "outright"
    assert policy.series_of("ZS", "1h").stored_as == "ZS.v.0"
    with pytest.raises(UsageError, match=r"series: no symbol for 1m, which universe\.yaml wants"):
        policy.series_of("ZL", "1m")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("continuous,", "all,", "series.1h.stype_in: Input should be"),
        ("bytes_per_record: 56", "bytes_per_record: 0", "estimates.bytes_per_record: "),
        ("dataset:", "datasets:", "dataset: Field required"),
        ("dataset: GLBX.MDP3", "{", "not YAML"),
    ],
    ids=["stype", "bytes", "key", "YAML"],
)
def test_a_wrong_policy_is_told_by_its_key(old: str, new: str, told: str) -> None:
    with pytest.raises(UsageError, match=f"downloads.yaml: {told}"):
        parse_policy(SHORT.replace(old, new, 1))
