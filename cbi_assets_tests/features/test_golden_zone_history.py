"""The golden zone over long and random histories: by its definitions, and without look-ahead."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbi_assets.features.golden_zone import golden_zone
from cbi_assets.features.zigzag import zigzag
from cbi_assets_tests.features.frames import bar, bar_frame

MONDAY = dt.date(2024, 3, 4)


def date_of(number: int, hours: int) -> dt.date:
    return MONDAY + dt.timedelta(days=number // hours)


def by_bar(history: pl.DataFrame, threshold: float) -> list[tuple[Any, ...]]:
    """Compute (trade_date, state, slope, trigger) of each bar from the bars up to it."""
    expected_bars: list[tuple[Any, ...]] = []
    bars = history.to_dicts()
    entry_slope: float | None = None
    prior: dict[str, Any] = {"state": None, "leg": None}
    swings = zigzag(history, "ts_event", threshold).to_dicts()
    for n, this in enumerate(bars):
        known = [s for s in swings if s["confirmed_on"] <= this["ts_event"]][-2:]
        leg = (known[0]["price"], known[1]["price"]) if len(known) == 2 else None
        state = None if leg is None else state_of(this["close"], *leg)
        carried, trigger = entry_slope, None if leg is None else False
        if prior["state"] == 1 and n >= 24:
            start, end = prior["leg"]
            half = (start + end) / 2
            back = this["close"] > half if end > start else this["close"] < half
            surge = this["volume"] >= 1.5 * sum(b["volume"] for b in bars[n - 24 : n]) / 24
            trigger = back and surge and carried is not None and carried < 0
        if state == 1 and not (prior["state"] == 1 and prior["leg"] == leg):
            volumes = [b["volume"] for b in bars[max(n - 5, 0) : n]]
            entry_slope = (
                float(np.polyfit(range(5), np.log(volumes), 1)[0])
                if len(volumes) == 5 and min(volumes) > 0
                else None
            )
        slope = entry_slope if state == 1 else carried if trigger else None
        expected_bars.append((this["trade_date"], state, slope, trigger))
        prior = {"state": state, "leg": leg}
    return expected_bars


def state_of(close: float, start: float, end: float) -> int | None:
    # the share of the leg that is retraced
    back = (end - close) / (end - start)
    return None if back > 1 else 2 if back > 0.618 else 1 if back >= 0.5 else 0


def random_history(bars: int, seed: int, hours: int = 5) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    close = 4000 * np.exp(np.cumsum(generator.normal(0, 0.004, bars)))
    wick = close * 0.002 * generator.random((2, bars))
    volume = generator.integers(0, 60, bars)
    rows = [
        bar(
            date_of(n, hours),
            n % hours,
            (close[n], close[n] + wick[0, n], close[n] - wick[1, n], close[n]),
            int(volume[n]),
            root="MES",
        )
        for n in range(bars)
    ]
    return bar_frame(rows)


@pytest.mark.parametrize("seed", range(3))
def test_golden_zone_equals_the_definitions_bar_by_bar(seed: int) -> None:
    history = random_history(1500, seed)
    expected_bars = by_bar(history, 0.01)
    rows = golden_zone(history).to_dicts()
    assert sum(bool(row["qualified_trigger"]) for row in rows) >= 3
    for row in rows:
        own = [line for line in expected_bars if line[0] == row["trade_date"]]
        assert row["state"] == own[-1][1]
        assert row["vol_decay_slope"] == (
            None if own[-1][2] is None else pytest.approx(own[-1][2], abs=1e-9)
        )
        triggers = [line[3] for line in own if line[3] is not None]
        assert row["qualified_trigger"] == (any(triggers) if triggers else None)


def test_golden_zone_is_identical_without_later_bars_of_a_long_history() -> None:
    history = random_history(1500, 0)
    full = golden_zone(history)
    assert full["qualified_trigger"].sum() > 0
    for number in range(0, 300, 4):
        known = pl.col("trade_date") <= date_of(number, 1)
        assert golden_zone(history.filter(known)).equals(full.filter(known))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-60, 60), st.integers(0, 30), st.integers(0, 30), st.integers(0, 50)),
        min_size=1,
        max_size=70,
    ),
    st.data(),
)
def test_golden_zone_is_identical_without_later_bars(
    moves: list[tuple[int, int, int, int]], data: st.DataObject
) -> None:
    price, rows = 4000, []
    for n, (step, above, below, volume) in enumerate(moves):
        price += step
        close = price * 0.25
        ohlc = (close, close + above * 0.25, close - below * 0.25, close)
        rows.append(bar(date_of(n, 3), n % 3, ohlc, volume, root="MES"))
    history = bar_frame(rows)
    known = pl.col("trade_date") <= data.draw(st.sampled_from(history["trade_date"].to_list()))
    assert golden_zone(history.filter(known)).equals(golden_zone(history).filter(known))
