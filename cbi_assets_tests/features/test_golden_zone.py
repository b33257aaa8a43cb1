"""The golden zone: states, slopes and triggers computed by hand."""

from __future__ import annotations

import datetime as dt
from math import log, nan
from typing import Any

import polars as pl
import pytest

from cbi_assets.features.golden_zone import GOLDEN_ZONE_COLUMNS, golden_zone
from cbi_assets_tests.features.frames import bar, bar_frame

MONDAY = dt.date(2024, 3, 4)
THRESHOLD = 0.1
"""Threshold of the examples: wide, so that only the swings they describe are confirmed."""

Point = tuple[float, int]


def date_of(number: int, hours: int = 1) -> dt.date:
    return MONDAY + dt.timedelta(days=number // hours)


def hourly_of(points: list[Point], hours: int = 1, root: str = "MES") -> pl.DataFrame:
    """Make bars of one price each, (price, volume), `hours` of them per trade date."""
    return bar_frame(
        [
            bar(date_of(n, hours), n % hours, (price, price, price, price), volume, root=root)
            for n, (price, volume) in enumerate(points)
        ]
    )


def last_row(bars: pl.DataFrame, **changed: float | None) -> dict[str, Any]:
    """Return the last row, after changing prices of the last bar."""
    is_last = pl.col("trade_date") == bars["trade_date"].max()
    prices = [pl.when(is_last).then(v).otherwise(n).alias(n) for n, v in changed.items()]
    return golden_zone(bars.with_columns(prices), THRESHOLD).to_dicts()[-1]


def rows_of(points: list[Point], hours: int = 1) -> list[dict[str, Any]]:
    return golden_zone(hourly_of(points, hours), THRESHOLD).to_dicts()


# An up-leg from 100 to 120, so fib_50 = 110 and fib_618 = 120 − 12.36 = 107.64. 112 confirms the
# low (≥ 110), 107.9 the high (≤ 108); a rebound would confirm a low only from 107.7 × 1.1 = 118.47.
# 107.9 is the entry. The volumes of the 24 bars up to it sum to 240, and those of the 5 before it
# halve from bar to bar: ln volume falls by ln 2 per bar.
BEFORE: list[Point] = [
    *[(100.0, 1000)] * 2,
    *[(100.0, 11)] * 17,
    (112.0, 13),  # 17 × 11 + 13 = 200
    (120.0, 16),
    (119.0, 8),
    (118.0, 4),
    (117.0, 2),
    (115.0, 1),  # 16 + 8 + 4 + 2 + 1 = 31
]
UP_LEG: list[Point] = [*BEFORE, (107.9, 9)]

# The same upside down: from 100 to 80, fib_50 = 90, fib_618 = 80 + 12.36 = 92.36; 88 confirms the
# high (≤ 90), 91 the low (≥ 88); a fall would confirm a high only from 92 × 0.9 = 82.8.
DOWN_LEG: list[Point] = [
    *[(200.0 - price, volume) for price, volume in BEFORE],
    (91.0, 9),
]


@pytest.mark.parametrize(
    ("close", "state"),
    [
        (130.0, 0),
        (110.5, 0),
        (110.0, 1),  # at fib_50 itself
        (107.65, 1),
        (107.63, 2),
        (100.0, 2),  # at the leg's origin itself
        (99.5, None),  # broken
    ],
)
def test_state_on_an_up_leg_depends_on_the_close(close: float, state: int | None) -> None:
    # the close of a bar whose high and low confirm nothing
    row = last_row(hourly_of([*UP_LEG, (109.0, 10)]), close=close)
    assert (row["swing_high"], row["swing_low"], row["fib_50"]) == (120.0, 100.0, 110.0)
    assert row["fib_618"] == pytest.approx(107.64, abs=1e-9)
    assert row["state"] == state


@pytest.mark.parametrize(
    ("close", "state"),
    [
        (70.0, 0),
        (89.5, 0),
        (90.0, 1),
        (92.35, 1),
        (92.37, 2),
        (100.0, 2),
        (100.5, None),
    ],
)
def test_state_on_a_down_leg_is_mirrored(close: float, state: int | None) -> None:
    row = last_row(hourly_of([*DOWN_LEG, (91.0, 10)]), close=close)
    assert (row["swing_high"], row["swing_low"], row["fib_50"]) == (100.0, 80.0, 90.0)
    assert row["fib_618"] == pytest.approx(92.36, abs=1e-9)
    assert row["state"] == state


def test_zone_includes_its_end() -> None:
    # a close at the row's own fib_618 is in the zone
    frame = hourly_of([*UP_LEG, (109.0, 10)])
    level = golden_zone(frame, THRESHOLD)["fib_618"][-1]
    assert last_row(frame, close=level)["state"] == 1


def test_golden_zone_is_null_before_a_leg_is_confirmed() -> None:
    rows = rows_of(UP_LEG)
    for row in rows[:-1]:
        assert all(row[name] is None for name in GOLDEN_ZONE_COLUMNS)
    assert rows[-1]["state"] == 1
    assert rows[-1]["qualified_trigger"] is False


@pytest.mark.parametrize("close", [None, nan])
def test_state_is_null_without_a_close(close: float | None) -> None:
    row = last_row(hourly_of([*UP_LEG, (109.0, 10)]), close=close)
    assert (row["state"], row["qualified_trigger"]) == (None, False)


def test_slope_is_minus_ln_2_if_volumes_halve() -> None:
    assert rows_of(UP_LEG)[-1]["vol_decay_slope"] == pytest.approx(-log(2), rel=1e-12)


def test_slope_is_that_of_least_squares() -> None:
    # ln 8, 0, ln 2, 0, 0 at x = −2 … 2: Σxy / Σx² = −2 ln 8 / 10 = −0.6 ln 2
    points = [*UP_LEG]
    for index, volume in zip(range(20, 25), (8, 1, 2, 1, 1), strict=True):
        points[index] = (points[index][0], volume)
    assert rows_of(points)[-1]["vol_decay_slope"] == pytest.approx(-0.6 * log(2), rel=1e-12)
    # ln 1, 0, 0, ln 8, 0: +1 × ln 8 / 10 = 0.3 ln 2
    for index, volume in zip(range(20, 25), (1, 1, 1, 8, 1), strict=True):
        points[index] = (points[index][0], volume)
    assert rows_of(points)[-1]["vol_decay_slope"] == pytest.approx(0.3 * log(2), rel=1e-12)


@pytest.mark.parametrize("index", range(20, 25))
def test_slope_is_null_if_one_of_the_five_bars_has_no_volume(index: int) -> None:
    points = [*UP_LEG]
    points[index] = (points[index][0], 0)
    rows = rows_of([*points, (111.0, 1000)])
    assert rows[-2]["state"] == 1
    assert rows[-2]["vol_decay_slope"] is None
    assert rows[-1]["qualified_trigger"] is False


def test_slope_is_null_with_fewer_than_five_bars_before_the_entry() -> None:
    short: list[Point] = [(100.0, 16), (112.0, 8), (120.0, 4), (119.0, 2), (107.9, 1)]
    assert rows_of(short)[-1]["state"] == 1
    assert rows_of(short)[-1]["vol_decay_slope"] is None
    assert rows_of([(100.0, 32), *short])[-1]["vol_decay_slope"] == pytest.approx(-log(2))


def test_slope_is_constant_during_the_stay_and_null_after_it() -> None:
    rows = rows_of([*UP_LEG, (109.0, 9), (108.0, 900), (111.0, 1), (112.0, 1)])[25:]
    assert [row["state"] for row in rows] == [1, 1, 1, 0, 0]
    slopes = [row["vol_decay_slope"] for row in rows]
    assert slopes[:3] == pytest.approx([-log(2)] * 3)
    assert slopes[3:] == [None, None]


def test_new_stay_has_a_new_slope() -> None:
    # out at 111 and in again at 109: the five bars before are of volume 4, 2, 1, 9, 9
    rows = rows_of([*UP_LEG, (111.0, 9), (109.0, 9)])
    expected = (-2 * log(4) - log(2) + log(9) + 2 * log(9)) / 10
    assert rows[-1]["vol_decay_slope"] == pytest.approx(expected)


def test_new_stay_without_a_slope_does_not_keep_the_last_one() -> None:
    rows = rows_of([*UP_LEG, (111.0, 0), (109.0, 9)])
    assert rows[-1]["state"] == 1
    assert rows[-1]["vol_decay_slope"] is None


@pytest.mark.parametrize(
    ("close", "volume", "qualified"),
    [
        (111.0, 15, True),  # the 24 bars before sum to 240: 1.5 × 10 = 15
        (111.0, 14, False),
        (110.0, 15, False),  # fib_50 itself is not across it
        (107.0, 15, False),  # out of the zone at the other end
    ],
)
def test_trigger_on_an_up_leg_needs_the_zone_the_cross_and_the_volume(
    close: float, volume: int, qualified: bool
) -> None:
    row = rows_of([*UP_LEG, (close, volume)])[-1]
    assert row["qualified_trigger"] is qualified
    if qualified:
        assert row["state"] == 0
        assert row["vol_decay_slope"] == pytest.approx(-log(2))


@pytest.mark.parametrize(
    ("close", "volume", "qualified"),
    [(89.0, 15, True), (89.0, 14, False), (90.0, 15, False), (93.0, 15, False)],
)
def test_trigger_on_a_down_leg_is_mirrored(close: float, volume: int, qualified: bool) -> None:
    assert rows_of([*DOWN_LEG, (close, volume)])[-1]["qualified_trigger"] is qualified


def test_no_trigger_if_volume_did_not_decay() -> None:
    points = [*UP_LEG]
    for index, volume in zip(range(20, 25), (1, 2, 4, 8, 16), strict=True):
        points[index] = (points[index][0], volume)
    row = rows_of([*points, (111.0, 1000)])[-1]
    assert row["qualified_trigger"] is False
    assert row["vol_decay_slope"] is None


def test_no_trigger_if_volume_was_constant() -> None:
    points = [*UP_LEG]
    for index in range(20, 25):
        points[index] = (points[index][0], 7)
    rows = rows_of([*points, (111.0, 1000)])
    assert rows[-2]["vol_decay_slope"] == 0.0
    assert rows[-1]["qualified_trigger"] is False


def test_no_trigger_two_bars_after_the_zone() -> None:
    rows = rows_of([*UP_LEG, (111.0, 1), (112.0, 1000)])
    assert [row["qualified_trigger"] for row in rows[-2:]] == [False, False]


def test_no_trigger_before_twenty_four_bars_are_known() -> None:
    # UP_LEG has 26 bars: without its first two, 24 come before the rebound; without three, 23
    assert rows_of([*UP_LEG[2:], (111.0, 1000)])[-1]["qualified_trigger"] is True
    assert rows_of([*UP_LEG[3:], (111.0, 1000)])[-1]["qualified_trigger"] is False


@pytest.mark.parametrize(("close", "state"), [(119.0, 2), (112.0, 0)])
def test_rebound_that_confirms_the_next_swing_triggers_on_the_leg_it_ends(
    close: float, state: int
) -> None:
    # a high of 119 ≥ 118.69 confirms the low of 107.9: the row's leg is 120 → 107.9, down, with
    # its zone from 113.95 to 115.38; the trigger is out of the zone that the prior bar was in
    row = last_row(hourly_of([*UP_LEG, (119.0, 15)]), close=close)
    assert (row["swing_high"], row["swing_low"]) == (120.0, 107.9)
    assert row["state"] == state
    assert row["qualified_trigger"] is True
    assert row["vol_decay_slope"] == pytest.approx(-log(2))


def test_confirmed_swing_starts_a_new_stay() -> None:
    # the last bar's high of 119 confirms the low of 107.9, and its close of 114 is in the zone of
    # the new leg, 113.95 to 115.38: it triggers out of the one zone into the other
    row = last_row(hourly_of([*UP_LEG, (109.0, 1), (114.0, 15)]), high=119.0)
    assert (row["state"], row["qualified_trigger"]) == (1, True)
    # the five before: 4, 2, 1, 9, 1
    expected = (-2 * log(4) - log(2) + log(9) + 2 * log(1)) / 10
    assert row["vol_decay_slope"] == pytest.approx(expected)


def test_stay_does_not_continue_into_the_zone_of_the_next_leg() -> None:
    # up-leg 100 → 120 again; a long lower wick makes the next leg 120 → 99.9, whose zone,
    # 109.95 to 112.32, takes over where the last one's, up to 110, ends
    frame = hourly_of([*UP_LEG, (109.0, 1), (109.97, 1)])
    wick = pl.when(pl.col("trade_date") == date_of(26)).then(99.9).otherwise("low").alias("low")
    spike = pl.when(pl.col("trade_date") == date_of(27)).then(110.5).otherwise("high").alias("high")
    rows = golden_zone(frame.with_columns(wick, spike), THRESHOLD).to_dicts()[-3:]
    assert [row["state"] for row in rows] == [1, 1, 1]
    assert [row["swing_low"] for row in rows] == [100.0, 100.0, 99.9]
    assert [row["vol_decay_slope"] for row in rows] == pytest.approx(
        [-log(2), -log(2), (-2 * log(4) - log(2) + log(9) + 2 * log(1)) / 10]
    )


def test_session_has_the_state_of_its_last_bar_and_the_trigger_of_any() -> None:
    # four bars a date: the seventh has the entry, the trigger, 112 and 113; the eighth has one bar
    points: list[Point] = [*UP_LEG[1:], (111.0, 1000), (112.0, 5), (113.0, 5), (106.5, 5)]
    rows = rows_of(points, 4)
    assert [row["trade_date"] for row in rows] == [date_of(n) for n in range(8)]
    assert [row["state"] for row in rows[-2:]] == [0, 2]
    assert [row["qualified_trigger"] for row in rows[-2:]] == [True, False]
    assert [row["qualified_trigger"] for row in rows[:5]] == [None] * 5


def test_golden_zone_treats_roots_independently_and_sorts_rows() -> None:
    alone = golden_zone(hourly_of([*UP_LEG, (111.0, 15)]), THRESHOLD)
    other = hourly_of([*DOWN_LEG, (89.0, 15)], root="MNQ")
    both = golden_zone(pl.concat([other, hourly_of([*UP_LEG, (111.0, 15)])]).reverse(), THRESHOLD)
    assert both.columns == ["root", "trade_date", *GOLDEN_ZONE_COLUMNS]
    assert both.filter(pl.col("root") == "MES").equals(alone)
    assert both["root"].to_list() == ["MES"] * 27 + ["MNQ"] * 27


def test_golden_zone_ignores_bars_of_other_roots() -> None:
    histories: dict[str, list[Point]] = {
        "A": UP_LEG,  # ends in the zone
        "B": [(150.0, 100_000)],
        "C": [(100.0, 16), (112.0, 8), (120.0, 4), (119.0, 2), (107.9, 1)],  # four before the entry
        "D": [*UP_LEG[3:], (111.0, 1000)],  # 23 before the rebound
    }
    frames = {root: hourly_of(points, root=root) for root, points in histories.items()}
    together = golden_zone(pl.concat(frames.values()), THRESHOLD)
    for root, frame in frames.items():
        assert together.filter(pl.col("root") == root).equals(golden_zone(frame, THRESHOLD))
