from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbi_assets.market.bars import UNDEFINED_PRICE, is_suspect, prices_from_raw, timeframe_of

EXACT = 9_007_199 * 10**9


def pretty(raw: int) -> str:
    """Format a raw price as Databento prints it: nine decimals."""
    return f"{Decimal(raw) / 10**9:.9f}"


@pytest.mark.parametrize(
    ("raw", "price"),
    [
        (50_150_000_000, 50.15),
        (45_010_000_000, 45.01),
        (-250_000_000, -0.25),
        (1, 1e-9),
        (0, 0.0),
        (6_012_250_000_000, 6012.25),
        (500_000_000_000 // 10**6 * 13, 0.0065),
    ],
)
def test_price_is_the_nearest_float(raw: int, price: float) -> None:
    assert prices_from_raw(np.array([raw], dtype=np.int64)).to_list() == [price]


@settings(deadline=None)
@given(raws=st.lists(st.integers(-EXACT, EXACT), min_size=1, max_size=40))
def test_price_equals_the_parsed_decimal(raws: list[int]) -> None:
    found = prices_from_raw(np.array(raws, dtype=np.int64))
    assert found.dtype == pl.Float64
    assert found.to_list() == [float(pretty(raw)) for raw in raws]


def test_undefined_price_is_null_and_its_neighbors_are_not() -> None:
    raws = np.array([UNDEFINED_PRICE, 50_150_000_000, UNDEFINED_PRICE], dtype=np.int64)
    assert prices_from_raw(raws).to_list() == [None, 50.15, None]


def test_prices_are_empty_without_raw_prices() -> None:
    assert prices_from_raw(np.array([], dtype=np.int64)).to_list() == []


@pytest.mark.parametrize(
    ("schema", "timeframe"),
    [
        ("ohlcv-1d", "1d"),
        ("ohlcv-1h", "1h"),
        ("ohlcv-1m", "1m"),
        ("ohlcv-1s", None),
        ("ohlcv-eod", None),
        ("trades", None),
    ],
)
def test_timeframe_of_schema_is_none_without_a_table(schema: str, timeframe: str | None) -> None:
    assert timeframe_of(schema) == timeframe


VALID: dict[str, Any] = {
    "open": 45.0,
    "high": 46.0,
    "low": 44.0,
    "close": 45.5,
    "volume": 10,
    "rtype": 34,
    "ts_event": dt.datetime(2025, 1, 7, 15, tzinfo=dt.UTC),
    "symbol": "ZL.v.0",
}
TYPES = {"ts_event": pl.Datetime("us", "UTC"), "volume": pl.Int64, "rtype": pl.Int16}
TYPES |= dict.fromkeys(("open", "high", "low", "close"), pl.Float64)


def suspect(of: int = 34, **changed: Any) -> bool:
    frame = pl.DataFrame([VALID | changed], schema_overrides=TYPES)
    return bool(frame.select(is_suspect(of)).item())


def test_valid_bar_is_not_suspect() -> None:
    assert not suspect()
    assert not suspect(volume=0)
    assert not suspect(open=44.0, close=44.0, low=44.0, high=44.0)
    # a spread's prices may be negative
    assert not suspect(open=-1.0, high=-0.5, low=-1.5, close=-1.0)


@pytest.mark.parametrize(
    "changed",
    [
        {"open": None},
        {"close": None},
        {"high": 44.9},
        {"low": 45.1},
        {"close": 46.5},
        {"close": 43.5},
        {"volume": -1},
        {"volume": None},
        {"rtype": 33},
        {"rtype": None},
        {"symbol": ""},
        {"ts_event": None},
        {"ts_event": dt.datetime(2025, 1, 7, 15, 1, tzinfo=dt.UTC)},
        {"ts_event": dt.datetime(2025, 1, 7, 15, 0, 1, tzinfo=dt.UTC)},
    ],
)
def test_invalid_bar_is_suspect(changed: dict[str, Any]) -> None:
    assert suspect(**changed)


def test_bar_is_suspect_unless_it_starts_at_a_multiple_of_its_length() -> None:
    minute = dt.datetime(2025, 1, 7, 15, 1, tzinfo=dt.UTC)
    assert not suspect(33, rtype=33, ts_event=minute)
    assert suspect(35, rtype=35)  # 15:00 is not the start of a UTC day
    assert not suspect(35, rtype=35, ts_event=dt.datetime(2025, 1, 7, tzinfo=dt.UTC))
