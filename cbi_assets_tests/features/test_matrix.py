"""daily_ml_matrix as a frame: its columns, its sources, and that it knows nothing of the future."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from cbi_assets.features.matrix import build_matrix
from cbi_assets.market.bars import Timeframe
from cbi_assets.market.sessions import Calendar, trade_dates
from cbi_assets.warehouse.tables import DAILY_ML_MATRIX, RAW
from cbi_assets_tests.features.frames import bar, bar_frame

NOW = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
CALENDARS: dict[str, Calendar] = {"ZL": "grains", "ES": "equity"}
TABLES: dict[Timeframe, str] = {"1h": RAW["1h"].id, "1d": RAW["1d"].id}
DAYS = trade_dates("grains", dt.date(2024, 3, 4), dt.date(2024, 3, 26))
MON, TUE, WED = DAYS[:3]
FLAT = (10.0, 10.0, 10.0, 10.0)


def build(hourly: list[Any], daily: list[Any] | None = None) -> pl.DataFrame:
    return build_matrix(bar_frame(hourly), bar_frame(daily or []), CALENDARS, TABLES, NOW)


def test_the_columns_are_the_tables_in_its_order() -> None:
    assert tuple(build([bar(MON, 14, FLAT)]).columns) == DAILY_ML_MATRIX.column_names


def test_a_row_says_what_it_is_made_of() -> None:
    (row,) = build(
        [bar(MON, 14, FLAT, 3, load_id="L2"), bar(MON, 15, FLAT, 4, load_id="L1")]
    ).to_dicts()
    assert row["symbol"] == "ZL"
    assert row["data_date"] == MON
    # 13:20 at Chicago, winter time
    assert row["timestamp"] == dt.datetime(2024, 3, 4, 19, 20, tzinfo=dt.UTC)
    assert row["ingestion_ts"] == NOW
    assert row["market_data"]["volume"] == 7
    assert row["source"] == {
        "price_source": "market_data.databento_futures_ohlcv_1h",
        "active_contract": "ZL.v.0",
        "roll_rule": "vendor_v0",
        "load_ids": ["L1", "L2"],
    }


def test_hourly_bars_come_before_daily_ones_date_by_date() -> None:
    rows = build(
        [bar(TUE, 14, FLAT)],
        [bar(MON, 0, (20.0, 20.0, 20.0, 20.0)), bar(TUE, 0, (20.0, 20.0, 20.0, 20.0))],
    )
    found = [
        (row["data_date"], row["market_data"]["close"], row["source"]["price_source"][-3:])
        for row in rows.to_dicts()
    ]
    assert found == [(MON, 20.0, "_1d"), (TUE, 10.0, "_1h")]


def test_the_active_contract_of_outrights_has_a_four_digit_year() -> None:
    rows = [bar(day, 14, FLAT, symbol="ZLH4", contract="ZLH2024") for day in (MON, TUE)]
    (row,) = build(rows).to_dicts()
    assert row["data_date"] == TUE
    assert row["source"]["active_contract"] == "ZLH2024"
    assert row["source"]["roll_rule"] == "most_traded_prior_trade_date"


def test_pivots_come_from_the_prior_trade_date() -> None:
    rows = build([bar(MON, 14, (108.0, 110.0, 100.0, 108.0)), bar(TUE, 14, (107.0,) * 4)])
    assert [row["pivots"]["P"] for row in rows.to_dicts()] == [None, 106.0]


def test_no_bars_no_rows() -> None:
    assert build([]).is_empty()


def test_the_clock_is_in_ingestion_ts_only() -> None:
    bars = bar_frame([bar(day, 14, FLAT) for day in DAYS])
    later = build_matrix(bars, bar_frame([]), CALENDARS, TABLES, NOW + dt.timedelta(days=9))
    now = build_matrix(bars, bar_frame([]), CALENDARS, TABLES, NOW)
    assert later.drop("ingestion_ts").equals(now.drop("ingestion_ts"))


SYMBOLS = [
    ("ZL", "ZL.v.0", None),
    ("ZL", "ZL.c.0", None),
    ("ZL", "ZLH4", "ZLH2024"),
    ("ZL", "ZLK4", "ZLK2024"),
    ("ES", "ESH4", "ESH2024"),
    ("ES", "ESM4", "ESM2024"),
]


@st.composite
def histories(draw: st.DrawFn, hours: list[int]) -> pl.DataFrame:
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
    return bar_frame(rows)


@settings(max_examples=60, deadline=None)
@given(histories([13, 14, 15]), histories([0]), st.sampled_from(DAYS))
def test_rows_up_to_a_date_are_the_same_without_what_came_after(
    hourly: pl.DataFrame, daily: pl.DataFrame, cut: dt.date
) -> None:
    def rows(until: dt.date) -> pl.DataFrame:
        known = pl.col("trade_date") <= until
        matrix = build_matrix(hourly.filter(known), daily.filter(known), CALENDARS, TABLES, NOW)
        return matrix.filter(pl.col("data_date") <= cut) if matrix.height else matrix

    early, full = rows(cut), rows(DAYS[-1])
    assert early.height == full.height
    if early.height:
        assert_frame_equal(early, full, check_exact=True)
