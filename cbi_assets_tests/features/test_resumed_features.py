"""Features with endless memory: resumed from what they carry, they equal those of the whole."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from math import nan

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from cbi_assets.features.golden_zone import ZoneMemory, golden_zone, resume_golden_zone
from cbi_assets.features.zigzag import ZigzagMemory, join_last_leg, resume_last_leg
from cbi_assets_tests.features.frames import bar, bar_frame

MONDAY = dt.date(2024, 3, 4)
HOURS = 3
MOVES = st.lists(
    st.tuples(st.integers(-60, 60), st.integers(0, 30), st.integers(0, 30), st.integers(0, 50)),
    min_size=1,
    max_size=90,
)
CUTS = st.lists(st.integers(0, 30), max_size=4).map(sorted)


def history_of(moves: list[tuple[int, int, int, int]]) -> pl.DataFrame:
    """Return hourly bars from (step, wick above, wick below, volume); a wick of 30 has no price."""
    price, rows = 4000, []
    for n, (step, above, below, volume) in enumerate(moves):
        price += step
        close = price * 0.25
        high = nan if above == 30 else close + above * 0.25
        date = MONDAY + dt.timedelta(days=n // HOURS)
        ohlc = (close, high, close - below * 0.25, close)
        rows.append(bar(date, n % HOURS, ohlc, volume, root="MES"))
    return bar_frame(rows)


def pieces(history: pl.DataFrame, cuts: list[int]) -> list[pl.DataFrame]:
    """Cut the history before these days, counted from its first."""
    bounds = [dt.date.min, *(MONDAY + dt.timedelta(days=cut) for cut in cuts), dt.date.max]
    return [
        history.filter((pl.col("trade_date") >= first) & (pl.col("trade_date") < last))
        for first, last in pairwise(bounds)
    ]


@settings(max_examples=60, deadline=None)
@given(MOVES, CUTS)
def test_golden_zone_resumed_at_any_dates_equals_that_of_the_whole_history(
    moves: list[tuple[int, int, int, int]], cuts: list[int]
) -> None:
    history = history_of(moves)
    memory, rows = ZoneMemory(), []
    for piece in pieces(history, cuts):
        found, memory = resume_golden_zone(piece, ZoneMemory.from_json(memory.to_json()))
        rows.append(found)
    assert pl.concat(rows).equals(golden_zone(history))
    assert memory == resume_golden_zone(history, ZoneMemory())[1]


@settings(max_examples=30, deadline=None)
@given(MOVES, CUTS)
def test_last_leg_of_days_resumed_at_any_dates_equals_that_of_the_whole_history(
    moves: list[tuple[int, int, int, int]], cuts: list[int]
) -> None:
    history = history_of(moves).unique("trade_date", keep="first", maintain_order=True)
    days = history.select("root", "trade_date", "high", "low")
    memory, rows = ZigzagMemory(), []
    for piece in pieces(days, cuts):
        found, memory = resume_last_leg(piece, "trade_date", 0.005, memory)
        rows.append(found)
    assert pl.concat(rows).equals(join_last_leg(days, "trade_date", 0.005))


def test_memory_of_a_stay_survives_a_cut_inside_it() -> None:
    """A rise of 10% and a fall to between 50% and 61.8% of it; the cut is after the first bar in
    the zone, whose slope is of the five volumes before it: 50, 40, 30, 20, 10."""
    closes = [4000, 4400, 4300, 4250, 4240, 4230, 4195, 4195, 4195, 4260]
    volumes = [60, 50, 50, 40, 30, 20, 10, 10, 10, 10]
    rows = [
        bar(MONDAY + dt.timedelta(days=n), 0, (c, c, c, c), v, root="MES")
        for n, (c, v) in enumerate(zip(closes, volumes, strict=True))
    ]
    history = bar_frame(rows)
    first, later = history[:7], history[7:]
    found, memory = resume_golden_zone(first, ZoneMemory())
    assert (found["state"][-1], memory.in_zone) == (1, True)
    assert memory.stay_slope == found["vol_decay_slope"][-1] is not None
    assert memory.volumes == tuple(volumes[:7])
    after, _ = resume_golden_zone(later, memory)
    assert after["vol_decay_slope"].to_list() == [memory.stay_slope, memory.stay_slope, None]
    assert after.equals(golden_zone(history)[7:])
