"""Fibonacci levels, computed by hand."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbi_assets.features.fibonacci import FIBONACCI_COLUMNS, fibonacci
from cbi_assets.tables.matrix_table import EXTENSIONS, RETRACEMENTS
from cbi_assets_tests.features.frames import session, session_frame

MONDAY = dt.date(2024, 3, 4)


def day(number: int) -> dt.date:
    return MONDAY + dt.timedelta(days=number)


def sessions_of(bars: list[tuple[float, float]], root: str = "ZL") -> pl.DataFrame:
    """Make one session (high, low) per day, from MONDAY on."""
    return session_frame(
        [session(day(n), (high, low, low), root=root) for n, (high, low) in enumerate(bars)]
    )


UP_LEG = [
    (101.0, 100.0),  # the low
    (108.0, 104.0),  # 108 ≥ 106 confirms it
    (120.0, 115.0),  # the high
    (118.0, 114.0),  # 120 × 0.94 = 112.8
    (116.0, 112.0),  # 112 confirms it
]
DOWN_LEG = [
    (120.0, 119.0),  # the high
    (113.0, 112.0),  # 112 ≤ 112.8 confirms it
    (105.0, 100.0),  # the low
    (105.5, 102.0),  # 100 × 1.06 = 106
    (107.0, 103.0),  # 107 confirms it
]


def last_row(bars: list[tuple[float, float]]) -> dict[str, Any]:
    return fibonacci(sessions_of(bars)).to_dicts()[-1]


def test_levels_of_an_up_leg_equal_those_computed_by_hand() -> None:
    row = last_row(UP_LEG)
    assert (row["swing_high"], row["swing_low"], row["direction"]) == (120.0, 100.0, "up")
    assert (row["swing_high_date"], row["swing_low_date"]) == (day(2), day(0))
    assert row["confirmed_on"] == day(4)
    # the range is 20: 120 − 20x, and 100 + 20y
    assert {name: row[name] for name in (*RETRACEMENTS, *EXTENSIONS)} == pytest.approx(
        {
            "retrace_236": 115.28,
            "retrace_382": 112.36,
            "retrace_50": 110.0,
            "retrace_618": 107.64,
            "retrace_786": 104.28,
            "ext_1236": 124.72,
            "ext_1382": 127.64,
            "ext_1618": 132.36,
            "ext_200": 140.0,
            "ext_2618": 152.36,
        },
        abs=1e-9,
    )


def test_levels_of_a_down_leg_are_mirrored() -> None:
    row = last_row(DOWN_LEG)
    assert (row["swing_high"], row["swing_low"], row["direction"]) == (120.0, 100.0, "down")
    assert (row["swing_high_date"], row["swing_low_date"]) == (day(0), day(2))
    assert row["confirmed_on"] == day(4)
    # 100 + 20x, and 120 − 20y
    assert {name: row[name] for name in (*RETRACEMENTS, *EXTENSIONS)} == pytest.approx(
        {
            "retrace_236": 104.72,
            "retrace_382": 107.64,
            "retrace_50": 110.0,
            "retrace_618": 112.36,
            "retrace_786": 115.72,
            "ext_1236": 95.28,
            "ext_1382": 92.36,
            "ext_1618": 87.64,
            "ext_200": 80.0,
            "ext_2618": 67.64,
        },
        abs=1e-9,
    )


def test_fibonacci_columns_are_those_of_the_contract() -> None:
    names = (
        "swing_high swing_low swing_high_date swing_low_date direction confirmed_on "
        "retrace_236 retrace_382 retrace_50 retrace_618 retrace_786 "
        "ext_1236 ext_1382 ext_1618 ext_200 ext_2618"
    )
    assert " ".join(FIBONACCI_COLUMNS) == names
    assert fibonacci(sessions_of(UP_LEG)).columns == ["root", "trade_date", *FIBONACCI_COLUMNS]


def test_levels_are_null_before_two_swings_are_confirmed() -> None:
    rows = fibonacci(sessions_of(UP_LEG)).to_dicts()
    assert [row["trade_date"] for row in rows] == [day(n) for n in range(5)]
    for row in rows[:4]:
        assert all(row[name] is None for name in FIBONACCI_COLUMNS)


def test_levels_are_those_of_a_leg_until_the_next_swing_is_confirmed() -> None:
    # the low of 112 (day 4) is confirmed at 118.72, on day 6; until then the up-leg is the last
    rows = fibonacci(sessions_of([*UP_LEG, (118.0, 113.0), (119.0, 114.0)])).to_dicts()
    assert (rows[5]["direction"], rows[5]["confirmed_on"]) == ("up", day(4))
    assert rows[5]["retrace_50"] == 110.0
    assert (rows[6]["direction"], rows[6]["confirmed_on"]) == ("down", day(6))
    assert (rows[6]["swing_high"], rows[6]["swing_low"]) == (120.0, 112.0)
    assert rows[6]["retrace_50"] == 116.0
    assert (rows[6]["swing_high_date"], rows[6]["swing_low_date"]) == (day(2), day(4))


def test_date_without_prices_has_the_levels_already_known() -> None:
    frame = pl.concat([sessions_of(UP_LEG), session_frame([session(day(5))])]).with_columns(
        pl.when(pl.col("trade_date") < day(5)).then("high").alias("high")
    )
    assert fibonacci(frame).to_dicts()[-1]["retrace_50"] == 110.0


def test_fibonacci_treats_roots_independently() -> None:
    both = pl.concat([sessions_of(UP_LEG, "ZS"), sessions_of(DOWN_LEG[:3], "ZC")])
    rows = fibonacci(both)
    assert rows["root"].to_list() == ["ZC"] * 3 + ["ZS"] * 5
    assert rows.filter(pl.col("root") == "ZC")["swing_high"].null_count() == 3
    assert rows["direction"].to_list()[-2:] == [None, "up"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-700, 700), st.integers(0, 300), st.integers(0, 300)),
        min_size=1,
        max_size=60,
    )
)
def test_fibonacci_rows_are_identical_without_later_sessions(moves: list[tuple[int, ...]]) -> None:
    bars: list[tuple[float, float]] = []
    price = 6543
    for step, above, below in moves:
        price = max(price + step, 500)
        bars.append(((price + above) * 0.01, (price - below) * 0.01))
    sessions = pl.concat([sessions_of(bars, "ZL"), sessions_of(bars[::-1], "ZM")])
    full = fibonacci(sessions)
    for length in range(1, len(bars) + 1):
        known = pl.col("trade_date") < day(length)
        assert fibonacci(sessions.filter(known)).equals(full.filter(known))
