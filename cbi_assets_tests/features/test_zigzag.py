"""The causal zigzag, computed by hand and checked against its own definition."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from math import nan

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cbi_assets.features.zigzag import LEG_COLUMNS, Kind, join_last_leg, zigzag

DAY = dt.date(2024, 3, 4)
Bar = tuple[float | None, float | None]
Swing = tuple[Kind, int, float, int]


def day(number: int) -> dt.date:
    return DAY + dt.timedelta(days=number)


def bars_of(bars: list[Bar], root: str = "ZL") -> pl.DataFrame:
    """Make one bar (high, low) per day, from DAY on."""
    return pl.DataFrame(
        {
            "root": pl.Series([root] * len(bars), dtype=pl.String),
            "trade_date": pl.Series([day(n) for n in range(len(bars))], dtype=pl.Date),
            "high": pl.Series([bar[0] for bar in bars], dtype=pl.Float64),
            "low": pl.Series([bar[1] for bar in bars], dtype=pl.Float64),
        }
    )


def swings_of(bars: list[Bar], threshold: float = 0.06) -> list[Swing]:
    """Return (kind, day of the extreme, price, day of its confirmation) of each swing."""
    found = zigzag(bars_of(bars), "trade_date", threshold)
    return [
        (
            row["kind"],
            (row["extreme_on"] - DAY).days,
            row["price"],
            (row["confirmed_on"] - DAY).days,
        )
        for row in found.to_dicts()
    ]


RISE_AND_FALL: list[Bar] = [
    (97.0, 96.0),
    (100.0, 98.0),  # the high; 100 < 96 × 1.06, so the low is not confirmed
    (99.0, 96.0),
    (98.0, 94.5),  # 94 would confirm it
    (95.0, 93.0),  # 93 ≤ 94 does
    (96.0, 90.0),  # the low
    (95.0, 91.0),  # 90 × 1.06 = 95.4
    (97.0, 92.0),  # 97 ≥ 95.4 confirms it
]


def test_swings_equal_those_found_by_hand() -> None:
    assert swings_of(RISE_AND_FALL) == [("high", 1, 100.0, 4), ("low", 5, 90.0, 7)]


@pytest.mark.parametrize("length", range(9))
def test_swing_is_absent_until_it_is_confirmed(length: int) -> None:
    seen = [kind for kind, *_ in swings_of(RISE_AND_FALL[:length])]
    assert seen == (["high"] if length >= 5 else []) + (["low"] if length == 8 else [])


def test_low_exactly_at_the_threshold_confirms_a_high() -> None:
    # 100 × (1 − 0.25) = 75, exact in binary
    assert swings_of([(100.0, 90.0), (90.0, 75.0)], 0.25) == [("high", 0, 100.0, 1)]
    assert swings_of([(100.0, 90.0), (90.0, 75.5)], 0.25) == []


def test_high_exactly_at_the_threshold_confirms_a_low() -> None:
    # 80 × (1 + 0.25) = 100
    assert swings_of([(90.0, 80.0), (100.0, 85.0)], 0.25) == [("low", 0, 80.0, 1)]
    assert swings_of([(90.0, 80.0), (99.5, 85.0)], 0.25) == []


def test_unconfirmed_extreme_moves_to_a_higher_one_but_not_to_an_equal_one() -> None:
    bars: list[Bar] = [(100.0, 98.0), (102.0, 99.0), (102.0, 98.0), (98.0, 95.0)]
    # 102 × 0.94 = 95.88
    assert swings_of(bars) == [("high", 1, 102.0, 3)]


def test_bar_that_extends_and_reverses_confirms_nothing() -> None:
    bars: list[Bar] = [
        (91.0, 90.0),
        (100.0, 95.0),  # confirms the low of 90; the high is 100
        (104.0, 92.0),  # extends to 104; 92 ≤ 94 and ≤ 97.76, in unknown order
        (103.0, 98.0),  # 98 > 97.76
        (99.0, 97.0),  # confirms 104, the first later bar at or below 97.76
    ]
    assert swings_of(bars) == [("low", 0, 90.0, 1), ("high", 2, 104.0, 4)]


def test_next_extreme_is_found_after_the_bar_of_the_last_one() -> None:
    bars: list[Bar] = [
        (91.0, 90.0),
        (100.0, 95.0),  # low of 90 confirmed
        (104.0, 80.0),  # the high, of a bar whose low of 80 may have come before it
        (100.0, 97.0),  # confirms 104; the low is 97
        (103.0, 98.0),  # 97 × 1.06 = 102.82: confirms 97, not 80
    ]
    assert swings_of(bars)[1:] == [("high", 2, 104.0, 3), ("low", 3, 97.0, 4)]


def test_next_leg_ignores_bars_before_the_extreme() -> None:
    up: list[Bar] = [(91.0, 90.0), (100.0, 95.0), (99.0, 94.5), (104.0, 99.0), (100.0, 97.0)]
    # the low is the 97 after the high of 104, not the 94.5 before it; 97 × 1.06 = 102.82
    assert swings_of([*up, (103.0, 98.0)])[1:] == [("high", 3, 104.0, 4), ("low", 4, 97.0, 5)]
    down: list[Bar] = [(100.0, 99.0), (93.0, 90.0), (95.0, 91.0), (91.0, 85.0), (92.0, 87.0)]
    # the high is the 92 after the low of 85, not the 95 before it; 92 × 0.94 = 86.48
    assert swings_of([*down, (90.0, 86.4)])[1:] == [("low", 3, 85.0, 4), ("high", 4, 92.0, 5)]


def test_bar_that_confirms_a_high_does_not_confirm_its_own_low() -> None:
    bars: list[Bar] = [(100.0, 99.0), (100.0, 80.0), (84.0, 81.0), (85.0, 82.0)]
    # the second bar's high of 100 is beyond 80 × 1.06 = 84.8, but may have come first
    assert swings_of(bars) == [("high", 0, 100.0, 1), ("low", 1, 80.0, 3)]


def test_first_swing_is_a_low_in_a_rise() -> None:
    assert swings_of([(101.0, 100.0), (105.0, 102.0), (107.0, 104.0)]) == [("low", 0, 100.0, 2)]


def test_first_swing_waits_until_a_bar_confirms_one_end_of_a_wide_bar_only() -> None:
    wide: list[Bar] = [(100.0, 80.0), (92.0, 81.0)]  # 81 ≤ 94 and 92 ≥ 84.8
    assert swings_of(wide) == []
    # 84 < 84.8: only the high; the low that follows it is the 81 of the day between
    assert swings_of([*wide, (84.0, 82.0), (86.0, 83.0)]) == [
        ("high", 0, 100.0, 2),
        ("low", 1, 81.0, 3),  # 81 × 1.06 = 85.86
    ]
    # 95 > 94: only the low; the high that follows it is the 96 of this day
    assert swings_of([*wide, (96.0, 95.0), (95.0, 90.0)]) == [
        ("low", 0, 80.0, 2),
        ("high", 2, 96.0, 3),  # 96 × 0.94 = 90.24
    ]
    # the high after the low of a wide bar may come on the ambiguous day too
    assert swings_of([(100.0, 80.0), (99.0, 81.0), (98.0, 95.0), (96.0, 93.0)]) == [
        ("low", 0, 80.0, 2),
        ("high", 1, 99.0, 3),  # 99 × 0.94 = 93.06
    ]


@pytest.mark.parametrize("gap", [(None, None), (None, 90.0), (110.0, None), (nan, nan)])
def test_bar_without_prices_is_skipped(gap: Bar) -> None:
    bars = [*RISE_AND_FALL[:2], gap, *RISE_AND_FALL[2:]]
    assert swings_of(bars) == [("high", 1, 100.0, 5), ("low", 6, 90.0, 8)]


def test_bar_whose_price_is_not_positive_is_skipped() -> None:
    bars: list[Bar] = [(20.0, 19.5), (19.5, -37.0), (0.0, -1.0), (19.2, 19.0), (19.0, 18.0)]
    assert swings_of(bars) == [("high", 0, 20.0, 4)]  # 20 × 0.94 = 18.8


def test_series_below_zero_has_no_swings() -> None:
    assert swings_of([(-10.0, -20.0), (-1.0, -5.0), (-30.0, -40.0), (-1.0, -2.0)]) == []


def test_zigzag_treats_series_independently_in_their_own_order() -> None:
    first, second = bars_of(RISE_AND_FALL, "A"), bars_of(RISE_AND_FALL[4:], "B")
    found = zigzag(pl.concat([second, first]).reverse(), "trade_date", 0.06)
    # B starts at (95, 93): its only swing is the low of 90, confirmed two days later
    assert found.select("root", "kind", "price", "confirmed_on").rows() == [
        ("A", "high", 100.0, day(4)),
        ("A", "low", 90.0, day(7)),
        ("B", "low", 90.0, day(3)),
    ]


def test_zigzag_groups_by_the_named_columns() -> None:
    bars = bars_of(RISE_AND_FALL).with_columns(
        contract=pl.Series(["H"] * 4 + ["K"] * 4, dtype=pl.String)
    )
    found = zigzag(bars, "trade_date", 0.06, by=("root", "contract"))
    assert found.select("contract", "kind", "price").rows() == [("K", "low", 90.0)]


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.06, 6.0])
def test_zigzag_raises_unless_the_threshold_is_a_fraction(threshold: float) -> None:
    with pytest.raises(ValueError, match="fraction between 0 and 1"):
        zigzag(bars_of(RISE_AND_FALL), "trade_date", threshold)


def test_zigzag_is_empty_with_its_schema_without_bars() -> None:
    none, some = (zigzag(bars_of(bars), "trade_date", 0.06) for bars in ([], RISE_AND_FALL))
    assert none.is_empty()
    assert none.schema == some.schema


def test_leg_is_known_from_the_bar_that_confirms_its_second_swing() -> None:
    rows = join_last_leg(bars_of(RISE_AND_FALL), "trade_date", 0.06).select(LEG_COLUMNS).rows()
    assert rows[:7] == [(None,) * 6] * 7
    assert rows[7] == (100.0, 90.0, day(1), day(5), "down", day(7))


HISTORIES = st.lists(
    st.tuples(st.integers(-9, 9), st.integers(0, 8), st.integers(0, 8), st.integers(0, 30)),
    max_size=60,
)


def walk(moves: list[tuple[int, int, int, int]]) -> list[Bar]:
    """Make bars of integer prices; one in about thirty has no price, one has a negative low."""
    bars: list[Bar] = []
    price = 100
    for step, above, below, odd in moves:
        price = max(price + step, 20)
        if odd == 0:
            bars.append((None, None))
        elif odd == 1:
            bars.append((float(price), -1.0))
        else:
            bars.append((float(price + above), float(price - below)))
    return bars


@settings(max_examples=150, deadline=None)
@given(HISTORIES)
def test_swings_are_the_same_without_later_bars(
    moves: list[tuple[int, int, int, int]],
) -> None:
    bars = walk(moves)
    full = swings_of(bars)
    for length in range(len(bars) + 1):
        assert swings_of(bars[:length]) == [swing for swing in full if swing[3] < length]


@pytest.mark.full
@settings(max_examples=300, deadline=None)
@given(HISTORIES)
# The first bar has both extremes, and the fourth would confirm both.
@example([(0, 7, 6, 2), (0, 7, 0, 2), (1, 0, 0, 0), (-1, 0, 0, 2), (1, 0, 0, 2), (0, 0, 1, 2)])
def test_every_swing_satisfies_its_definition(moves: list[tuple[int, int, int, int]]) -> None:
    bars = walk(moves)
    priced = [
        (number, high, low)
        for number, (high, low) in enumerate(bars)
        if high is not None and low is not None and low > 0
    ]
    swings = swings_of(bars)
    for kind, at, price, confirmed in swings:
        tops, bottoms = {n: h for n, h, _ in priced}, {n: lo for n, _, lo in priced}
        assert at < confirmed
        if kind == "high":
            assert price == tops[at]
            assert bottoms[confirmed] <= price * 0.94
        else:
            assert price == bottoms[at]
            assert tops[confirmed] >= price * 1.06
    for (before, left, _, known), (kind, at, price, confirmed) in pairwise(swings):
        assert before != kind
        assert known < confirmed
        since = [(n, h, lo) for n, h, lo in priced if left < n <= confirmed]
        first = max(at, known) + 1
        if kind == "high":
            assert price == max(h for _, h, _ in since)
            assert at == min(n for n, h, _ in since if h == price)
            # no bar between them confirms it, once the swing before it is known
            assert not [n for n, _, lo in since if first <= n < confirmed and lo <= price * 0.94]
        else:
            assert price == min(lo for _, _, lo in since)
            assert at == min(n for n, _, lo in since if lo == price)
            assert not [n for n, h, _ in since if first <= n < confirmed and h >= price * 1.06]
