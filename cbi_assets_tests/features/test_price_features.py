"""Features of one root, compared with TA-Lib's, Polars' and published values, and over a roll."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from typing import get_args

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from cbi_assets.config.features import PriceMeasure, load_features, parse_features
from cbi_assets.features.price_features import EMA_MEMORY, LONGEST, price_features

CLOSES = [100 + (n * n * 7 + n * 13) % 41 / 4 + n % 97 / 8 for n in range(400)]
"""Closes without a roll; highs are n % 5 / 4 above, lows n % 7 / 8 below."""

FEATURES = [f for f in load_features().every if f.measure in get_args(PriceMeasure)]


def rows_of(
    closes: list[float],
    highs: list[float] | None = None,
    lows: list[float] | None = None,
    opens: list[float] | None = None,
    growth: list[float | None] | None = None,
) -> pl.DataFrame:
    """Make one contract's sessions; without `growth`, it is from each close to the next."""
    steps = [None, *(new / old for old, new in pairwise(closes))]
    return pl.DataFrame(
        {
            "open": opens or closes,
            "high": highs or closes,
            "low": lows or closes,
            "close": closes,
            "growth": steps if growth is None else growth,
        },
        schema_overrides={"growth": pl.Float64},
    )


def features_of(rows: pl.DataFrame, *names: str) -> pl.DataFrame:
    return price_features(rows, [f for f in FEATURES if not names or f.name in names])


@cache
def of_closes() -> dict[str, float]:
    """The features of the last of CLOSES."""
    highs = [close + n % 5 / 4 for n, close in enumerate(CLOSES)]
    lows = [close - n % 7 / 8 for n, close in enumerate(CLOSES)]
    return features_of(rows_of(CLOSES, highs, lows)).row(-1, named=True)


@pytest.mark.parametrize(
    ("name", "value", "tolerance"),
    [
        # TA-Lib 0.8.1 on these closes, highs and lows; it forgets nothing, and starts at the first
        ("sma_5", 105.975, 1e-9),
        ("sma_200", 111.096875, 1e-9),
        ("rsi_14", 42.75688816869985, 0.01),
        ("macd_12_26", -2.3234966876548953, 0.011),
        ("macd_signal_9", -1.7504249313019282, 0.011),
        ("macd_histogram", -0.573071756352967, 0.011),
        ("bollinger_upper_20", 122.30159680397432, 1e-9),
        ("bollinger_lower_20", 99.59840319602569, 1e-9),
        ("atr_14", 4.264604745787087, 0.001),
        ("ema_5", 106.11626809752094, 0.011),
    ],
)
def test_feature_equals_the_one_of_ta_lib(name: str, value: float, tolerance: float) -> None:
    assert of_closes()[name] == pytest.approx(value, abs=tolerance)


@pytest.mark.parametrize("days", [5, 10, 20, 50, 100, 200])
def test_ema_equals_the_one_of_polars_over_its_window(days: int) -> None:
    window = pl.Series(CLOSES[-EMA_MEMORY * days :])
    assert of_closes()[f"ema_{days}"] == pytest.approx(window.ewm_mean(span=days)[-1], rel=1e-12)


def test_rsi_equals_the_published_one() -> None:
    """StockCharts' example of QQQQ; it was made of closes with four decimals."""
    closes = [
        *(44.34, 44.09, 44.15, 43.61, 44.33, 44.83, 45.10, 45.42, 45.84, 46.08, 45.89, 46.03),
        *(45.61, 46.28, 46.28, 46.00, 46.03, 46.41, 46.22, 45.64, 46.21, 46.25, 45.71, 46.45),
        *(45.78, 45.35, 44.03, 44.18, 44.22, 44.57, 43.42, 42.66, 43.13),
    ]
    published = [
        *(70.53, 66.32, 66.55, 69.41, 66.36, 57.97, 62.93, 63.26, 56.06, 62.38, 54.71, 50.42),
        *(39.99, 41.46, 41.87, 45.46, 37.30, 33.08, 37.77),
    ]
    found = features_of(rows_of(closes), "rsi_14")["rsi_14"].to_list()
    assert found[:14] == [None] * 14
    assert found[14:] == pytest.approx(published, abs=0.1)
    # TA-Lib on the closes of two decimals
    assert (found[14], found[-1]) == pytest.approx((70.4641, 37.7888), abs=1e-4)


def test_rsi_is_null_if_nothing_moved() -> None:
    assert features_of(rows_of([5.0] * 20), "rsi_14")["rsi_14"].to_list() == [None] * 20


def test_window_over_a_roll_is_of_one_contract_per_step() -> None:
    """The front contract closes at 103 and 104; the next one at 114, 115, 116, 116, 116.

    Held through the roll it earns 104/103, 115/114, 116/115. In units of the last contract the
    closes before the roll are 114 and 114 * 103/104.
    """
    closes = [103.0, 104.0, 115.0, 116.0, 116.0, 116.0]
    growth = [None, 104 / 103, 115 / 114, 116 / 115, 1.0, 1.0]
    found = features_of(rows_of(closes, growth=growth), "days_5", "sma_5", "lag_3")
    assert found["days_5"].to_list()[-1] == pytest.approx(104 / 103 * 115 / 114 * 116 / 115 - 1)
    assert found["sma_5"].to_list()[-1] == pytest.approx((114 + 115 + 116 + 116 + 116) / 5)
    assert found["lag_3"].to_list()[-1] == pytest.approx(115 / 114 - 1)
    before = 114 * 103 / 104
    assert found["sma_5"].to_list()[-2] == pytest.approx((before + 114 + 115 + 116 + 116) / 5)


def test_window_does_not_reach_over_an_unknown_step() -> None:
    closes = [10.0] * 5 + [50.0] * 5
    growth = [None] + [1.0] * 4 + [None] + [1.0] * 4
    found = features_of(rows_of(closes, growth=growth), "sma_5", "days_1", "ema_5")
    assert found["sma_5"].to_list() == [None] * 4 + [10.0] + [None] * 4 + [50.0]
    assert found["ema_5"].to_list() == [None] * 4 + [10.0] + [None] * 4 + [50.0]
    assert found["days_1"].null_count() == 2


def test_window_does_not_reach_before_the_first_row() -> None:
    """The first row's contract has a close of the date before, which has no row."""
    found = features_of(rows_of([10.0] * 6, growth=[1.0] * 6), "sma_5", "ema_5", "days_1")
    assert found["sma_5"].to_list() == found["ema_5"].to_list() == [None] * 4 + [10.0] * 2
    assert found["days_1"].to_list() == [0.0] * 6


def test_ranges_equal_their_formulas() -> None:
    """20 sessions from 100 to 102, high 104, low 98."""
    rows = rows_of([102.0] * 21, [104.0] * 21, [98.0] * 21, [100.0] * 21)
    found = features_of(rows, "garman_klass_20", "parkinson_20", "atr_14")
    assert found["parkinson_20"].to_list()[18:20] == [
        None,
        pytest.approx(math.log(104 / 98) / math.sqrt(4 * math.log(2))),
    ]
    variance = math.log(104 / 98) ** 2 / 2 - (2 * math.log(2) - 1) * math.log(1.02) ** 2
    assert found["garman_klass_20"].to_list()[-1] == pytest.approx(math.sqrt(variance))
    assert found["atr_14"].to_list()[13:15] == [None, pytest.approx(6.0)]


def test_price_of_zero_or_less_gives_no_range() -> None:
    rows = rows_of([10.0] * 21 + [-1.0], growth=[None] + [1.0] * 20 + [None])
    found = features_of(rows).row(-1, named=True)
    # the lag is of an earlier step
    assert {name for name, value in found.items() if value is not None} == {
        *(f"lag_{back}" for back in (1, 2, 3, 5, 10))
    }


def test_every_window_is_within_the_context_that_is_stated() -> None:
    assert max((f.window or 0) for f in FEATURES) * EMA_MEMORY <= LONGEST


SHORT = parse_features(
    """
structs: {s: any}
families:
"""
    + "".join(
        f"  - {{struct: s, measure: {measure}, name: '{measure}_{{window}}', windows: [2, 3],"
        " counts: sessions, formula: f, unit: u, source: x}\n"
        for measure in get_args(PriceMeasure)
        if not measure.startswith("macd")
    )
).every
"""The same measures over windows of 2 and 3, whose longest memory is 31 closes."""


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_rows_are_identical_whatever_is_before_their_windows_and_after_them(
    data: st.DataObject,
) -> None:
    length = data.draw(st.integers(35, 70))
    seed = np.random.default_rng(data.draw(st.integers(0, 9999)))
    closes = 100 * np.exp(np.cumsum(seed.normal(0, 0.02, length)))
    steps = np.exp(seed.normal(0, 0.02, length))
    known = seed.random(length) > 0.05
    rows = pl.DataFrame(
        {
            "open": closes * np.exp(seed.normal(0, 0.01, length)),
            "high": closes * 1.03,
            "low": closes * 0.97,
            "close": closes,
            "growth": [float(g) if k else None for g, k in zip(steps, known, strict=True)],
        }
    )
    start = data.draw(st.integers(0, length - 33))
    end = data.draw(st.integers(start + 33, length))
    whole = price_features(rows, SHORT)[start + 32 : end]
    assert_frame_equal(whole, price_features(rows[start:end], SHORT)[32:], check_exact=True)
