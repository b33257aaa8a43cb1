"""daily_ml_matrix as a frame: its columns, its sources, and no look-ahead."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from cbi_assets.config.regimes import parse_regimes
from cbi_assets.market.sessions import trade_dates
from cbi_assets.tables import DAILY_ML_MATRIX
from cbi_assets_tests.features.frames import (
    OBSERVATION_SCHEMA,
    WRITTEN,
    bar,
    bar_frame,
    matrix_of,
)

DAYS = trade_dates("grains", dt.date(2024, 3, 4), dt.date(2024, 3, 26))
MON, TUE, WED = DAYS[:3]
FLAT = (10.0, 10.0, 10.0, 10.0)


def build(hourly: list[Any], daily: list[Any] | None = None) -> pl.DataFrame:
    return matrix_of(bar_frame(hourly), bar_frame(daily or [], "1d"))


def test_matrix_has_the_schema_of_its_table() -> None:
    for hourly in ([bar(MON, 14, FLAT)], []):
        assert build(hourly).schema == DAILY_ML_MATRIX.polars_schema


def test_row_states_its_source() -> None:
    (row,) = build(
        [bar(MON, 14, FLAT, 3, load_id="L2"), bar(MON, 15, FLAT, 4, load_id="L1")]
    ).to_dicts()
    assert row["symbol"] == "ZL"
    assert row["data_date"] == MON
    # 13:20 Chicago time, in winter
    assert row["timestamp"] == dt.datetime(2024, 3, 4, 19, 20, tzinfo=dt.UTC)
    assert row["ingestion_ts"] == WRITTEN
    assert row["market_data"]["volume"] == 7
    assert row["source"] == {
        "price_source": "market_data.databento_futures_ohlcv_1h",
        "active_contract": "ZL.v.0",
        "roll_rule": "vendor_v0",
        "load_ids": ["L1", "L2"],
    }


def test_hourly_bars_win_over_daily_ones_date_by_date() -> None:
    rows = build(
        [bar(TUE, 14, FLAT)],
        [bar(MON, 0, (20.0, 20.0, 20.0, 20.0)), bar(TUE, 0, (20.0, 20.0, 20.0, 20.0))],
    )
    found = [
        (row["data_date"], row["market_data"]["close"], row["source"]["price_source"][-3:])
        for row in rows.to_dicts()
    ]
    assert found == [(MON, 20.0, "_1d"), (TUE, 10.0, "_1h")]


def test_active_contract_of_outrights_has_a_four_digit_year() -> None:
    rows = [bar(day, 14, FLAT, symbol="ZLK4", contract="ZLK2024") for day in (MON, TUE)]
    (row,) = build(rows).to_dicts()
    assert row["data_date"] == TUE
    assert row["source"]["active_contract"] == "ZLK2024"
    assert row["source"]["roll_rule"] == "own_chain"


def test_pivots_come_from_the_prior_trade_date() -> None:
    rows = build([bar(MON, 14, (108.0, 110.0, 100.0, 108.0)), bar(TUE, 14, (107.0,) * 4)])
    assert [row["pivots"]["P"] for row in rows.to_dicts()] == [None, 106.0]


def test_fibonacci_levels_are_known_from_the_date_that_confirmed_the_swing() -> None:
    rows = build(
        [
            bar(MON, 14, (100.0, 101.0, 100.0, 100.5)),
            bar(TUE, 14, (111.0, 120.0, 110.0, 119.0)),  # 120 ≥ 106: 100 was a low
            bar(WED, 14, (114.0, 115.0, 111.0, 112.0)),  # 111 ≤ 112.8: 120 was a high
        ]
    ).to_dicts()
    assert [set(row["fibonacci"].values()) for row in rows[:2]] == [{None}, {None}]
    found = rows[2]["fibonacci"]
    assert (found["swing_low_date"], found["swing_high_date"]) == (MON, TUE)
    assert (found["direction"], found["confirmed_on"]) == ("up", WED)
    # of a leg from 100 to 120
    assert found["retrace_382"] == pytest.approx(112.36)
    assert found["retrace_50"] == 110.0
    assert found["ext_1618"] == pytest.approx(132.36)


def test_golden_zone_is_null_except_for_mes() -> None:
    def leg(root: str) -> list[Any]:
        named: dict[str, Any] = {"root": root, "symbol": f"{root}.v.0"}
        return [
            bar(MON, 13, (100.0, 100.5, 100.0, 100.2), **named),
            bar(MON, 14, (108.0, 110.0, 107.0, 109.5), **named),
            bar(MON, 15, (106.0, 106.5, 104.0, 104.5), **named),
        ]

    rows = {row["symbol"]: row["golden_zone"] for row in build(leg("MES") + leg("ZL")).to_dicts()}
    assert rows["ZL"] is None or set(rows["ZL"].values()) == {None}
    # 110 is a high once the third bar falls to 104; its close is between 103.82 and 105
    found = rows["MES"]
    assert (found["swing_high"], found["swing_low"], found["fib_50"]) == (110.0, 100.0, 105.0)
    assert found["fib_618"] == pytest.approx(103.82)
    assert (found["state"], found["qualified_trigger"]) == (1, False)


def test_crush_is_null_except_for_soybean_oil() -> None:
    rows = build(
        [
            bar(day, 14, (close,) * 4, symbol=f"{root}.v.0", root=root)
            for root, close in (("ZL", 33.40), ("ZM", 297.20), ("ZS", 956.5))
            for day in (MON, TUE)
            if (root, day) != ("ZM", TUE)
        ]
    )
    found = {(row["symbol"], row["data_date"]): row["crush"] for row in rows.to_dicts()}
    # the published 64.74 on Monday; on Tuesday ZM has no close
    assert found.pop(("ZL", MON)) == {
        "board_crush": pytest.approx(64.74),
        "oil_share": pytest.approx(367.40 / 1021.24),
    }
    assert len(found) == 4
    for crush in found.values():
        assert crush == {"board_crush": None, "oil_share": None}


def test_crush_uses_closes_of_either_timeframe() -> None:
    rows = build(
        [bar(MON, 14, (33.40,) * 4)],
        [
            bar(MON, 0, (close,) * 4, symbol=f"{root}.v.0", root=root)
            for root, close in (("ZL", 99.0), ("ZM", 297.20), ("ZS", 956.5))
        ],
    )
    (row,) = rows.filter(pl.col("symbol") == "ZL").to_dicts()
    assert row["crush"]["board_crush"] == pytest.approx(64.74)


def test_row_names_its_regime() -> None:
    days = trade_dates("grains", dt.date(2025, 1, 17), dt.date(2025, 1, 22))
    rows = build([bar(day, 14, FLAT) for day in days]).to_dicts()
    assert [(row["data_date"].day, row["regime"]["weight"]) for row in rows] == [
        (17, 400.0),
        (21, 600.0),
        (22, 600.0),
    ]
    names = [row["regime_name"] for row in rows]
    assert names == ["trump_anticipation_2024", "trump_second_term", "trump_second_term"]
    assert names == [row["regime"]["name"] for row in rows]


def test_row_has_the_macro_values_published_by_its_close() -> None:
    """Monday's session closes at 13:20 Chicago time, 19:20 UTC."""
    close = dt.datetime(2024, 3, 4, 19, 20, tzinfo=dt.UTC)
    published = {
        "ten_year_treasury": (close, 4.2),
        "vix_index": (close + dt.timedelta(microseconds=1), 13.5),
        "trump_policy_events": (close - dt.timedelta(hours=1), 2.0),
    }
    observations = pl.DataFrame(
        [(name, dt.date(2024, 3, 1), at, value) for name, (at, value) in published.items()],
        schema=OBSERVATION_SCHEMA,
        orient="row",
    )
    bars = bar_frame([bar(day, 14, FLAT) for day in (MON, TUE)])
    monday, tuesday = matrix_of(bars, observations=observations).to_dicts()
    assert monday["macro"]["ten_year_treasury"] == 4.2
    assert monday["macro"]["vix_index"] is None
    assert tuesday["macro"]["vix_index"] == 13.5
    assert monday["policy"]["trump_policy_events"] == 2.0
    assert monday["policy"]["china_policy_events"] is None


def test_golden_zone_is_null_for_daily_bars() -> None:
    rows = matrix_of(bar_frame([bar(MON, 0, FLAT, symbol="MES.v.0", root="MES")], "1d"))
    assert rows["golden_zone"].to_list() == [None]


def test_regime_is_null_if_none_covers_the_date() -> None:
    text = "regimes: [{name: later, start_date: 2024-03-05, end_date: 2024-03-05, weight: 1}]"
    bars = bar_frame([bar(day, 14, FLAT) for day in (MON, TUE, WED)])
    rows = matrix_of(bars, regimes=parse_regimes(text))
    assert rows["regime_name"].to_list() == [None, "later", None]
    assert rows["regime"].struct["weight"].to_list() == [None, 1.0, None]


YEARS = trade_dates("grains", dt.date(2022, 1, 3), dt.date(2024, 3, 1))


def swing(days: list[dt.date], hour: int) -> list[Any]:
    """Make closes of 10 and 11 in turn, so that any 20 returns have the same deviation."""
    return [bar(day, hour, (10.0 + n % 2,) * 4) for n, day in enumerate(days)]


def first_with_volatility(rows: pl.DataFrame) -> int:
    regimes = rows["regime"].struct
    known = regimes["k_vol"].is_not_null()
    assert known.equals(regimes["vol_percentile"].is_not_null().alias("k_vol"))
    assert regimes["k_vol"].drop_nulls().to_list() == [pytest.approx(1.0)] * known.sum()
    index = known.arg_max()
    assert index is not None
    return index


def test_volatility_needs_twenty_returns_and_252_values() -> None:
    # row 0 has no return, so row 20 has the first volatility, and row 20 + 251 the 252nd
    assert first_with_volatility(build(swing(YEARS[:300], 14))) == 271


def test_volatility_windows_include_both_timeframes() -> None:
    # 1h starts at row 100, whose return has no prior 1h close: row 100 has no volatility
    rows = build(swing(YEARS[:300], 14)[100:], swing(YEARS[:300], 0))
    assert first_with_volatility(rows) == 271 + 1


def test_matrix_is_empty_without_bars() -> None:
    assert build([]).is_empty()


def test_clock_changes_only_ingestion_ts() -> None:
    bars = bar_frame([bar(day, 14, FLAT) for day in DAYS])
    later, now = matrix_of(bars, now=WRITTEN + dt.timedelta(days=9)), matrix_of(bars)
    assert later.drop("ingestion_ts").equals(now.drop("ingestion_ts"))


SYMBOLS = [
    ("ZL", "ZL.v.0", None),
    ("ZL", "ZL.c.0", None),
    ("ZL", "ZLH4", "ZLH2024"),
    ("ZL", "ZLK4", "ZLK2024"),
    ("ZM", "ZM.v.0", None),
    ("ZS", "ZS.v.0", None),
    ("ES", "ESH4", "ESH2024"),
    ("ES", "ESM4", "ESM2024"),
    ("MES", "MES.v.0", None),
]


@st.composite
def histories(draw: st.DrawFn, hours: list[int], built_from: str = "1h") -> pl.DataFrame:
    """Random bars of vendor symbols and outrights, with gaps, rolls and ties of volume."""
    rows = []
    for root, symbol, contract in draw(st.lists(st.sampled_from(SYMBOLS), unique=True)):
        days = draw(st.lists(st.sampled_from(DAYS), unique=True, min_size=1))
        numbers = st.integers(-2, 40)
        for day in days:
            for hour in draw(st.lists(st.sampled_from(hours), unique=True, min_size=1)):
                prices = sorted(draw(st.tuples(*[numbers] * 4)))
                ohlc = (prices[1], prices[3], prices[0], prices[2])
                rows.append(
                    bar(
                        day,
                        hour,
                        tuple(float(p) for p in ohlc),  # type: ignore[arg-type]
                        draw(st.integers(0, 3)),
                        symbol,
                        contract,
                        draw(st.integers(1, 2)),
                        root,
                    )
                )
    return bar_frame(rows, built_from)


ANY_BARS = (histories([13, 14, 15]), histories([0], "1d"), st.sampled_from(DAYS))


@settings(max_examples=10)
@given(*ANY_BARS)
def test_matrix_rows_are_identical_without_later_bars(
    hourly: pl.DataFrame, daily: pl.DataFrame, cut: dt.date
) -> None:
    assert_no_row_knows_later_bars(hourly, daily, cut)


@pytest.mark.full
@settings(max_examples=60)
@given(*ANY_BARS)
def test_matrix_rows_are_identical_without_later_bars_in_60_histories(
    hourly: pl.DataFrame, daily: pl.DataFrame, cut: dt.date
) -> None:
    assert_no_row_knows_later_bars(hourly, daily, cut)


def assert_no_row_knows_later_bars(hourly: pl.DataFrame, daily: pl.DataFrame, cut: dt.date) -> None:
    def rows(until: dt.date) -> pl.DataFrame:
        known = pl.col("trade_date") <= until
        matrix = matrix_of(hourly.filter(known), daily.filter(known))
        return matrix.filter(pl.col("data_date") <= cut)

    assert_frame_equal(rows(cut), rows(DAYS[-1]), check_exact=True)
