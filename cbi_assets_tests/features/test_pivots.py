"""Floor pivots, computed by hand."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from cbi_assets.features.pivots import PIVOT_COLUMNS, pivots
from cbi_assets_tests.features.frames import calendar_frame, session, session_frame

MONDAY = dt.date(2024, 3, 4)
WEEK = [MONDAY + dt.timedelta(days=n) for n in range(5)]
NEXT = [MONDAY + dt.timedelta(days=n) for n in range(7, 12)]
TUE, WED = WEEK[1], WEEK[2]


def row_of(
    sessions: list[tuple[Any, ...]],
    date: dt.date,
    days: list[dt.date] | None = None,
    active: list[tuple[Any, ...]] | None = None,
) -> dict[str, Any]:
    frame = session_frame(sessions)
    rows = session_frame(active) if active else frame
    found = pivots(rows, frame, calendar_frame(days or [*WEEK, *NEXT]))
    (row,) = found.filter(pl.col("trade_date") == date).to_dicts()
    return row


def test_levels_and_distances_equal_those_computed_by_hand() -> None:
    # prior H 110, L 100, C 108: P = 318/3
    row = row_of([session(TUE, (110.0, 100.0, 108.0)), session(WED, (120.0, 90.0, 113.0))], WED)
    assert {name: row[name] for name in ("P", "R1", "R2", "S1", "S2")} == {
        "P": 106.0,
        "R1": 112.0,  # 2·106 − 100
        "R2": 116.0,  # 106 + 10
        "S1": 102.0,  # 2·106 − 110
        "S2": 96.0,  # 106 − 10
    }
    assert row["distance_to_P"] == 7.0
    assert row["distance_to_nearest_pivot"] == 1.0  # R1
    assert row["price_above_P"] is True


@pytest.mark.parametrize(
    ("close", "distance", "nearest", "above"),
    [
        (95.5, -10.5, 0.5, False),  # S2 at 96
        (101.0, -5.0, 1.0, False),  # S1 at 102
        (106.0, 0.0, 0.0, False),  # at P itself
        (118.0, 12.0, 2.0, True),  # R2 at 116
    ],
)
def test_distance_to_p_is_signed_and_nearest_is_absolute(
    close: float, distance: float, nearest: float, above: bool
) -> None:
    row = row_of([session(TUE, (110.0, 100.0, 108.0)), session(WED, (130.0, 90.0, close))], WED)
    assert row["distance_to_P"] == distance
    assert row["distance_to_nearest_pivot"] == nearest
    assert row["price_above_P"] is above


def test_pivots_are_null_on_the_first_date() -> None:
    row = row_of([session(TUE), session(WED)], TUE)
    assert all(row[name] is None for name in PIVOT_COLUMNS)


def test_pivots_are_null_if_the_prior_trade_date_is_missing() -> None:
    # Tuesday is missing: Wednesday must not use Monday instead
    row = row_of([session(MONDAY), session(WED)], WED)
    assert all(row[name] is None for name in PIVOT_COLUMNS)


def test_holiday_is_not_a_missing_trade_date() -> None:
    days = [day for day in WEEK if day != TUE]
    row = row_of([session(MONDAY, (110.0, 100.0, 108.0)), session(WED)], WED, days)
    assert row["P"] == 106.0


def test_pivots_are_null_if_the_symbol_was_another_contract() -> None:
    row = row_of(
        [session(TUE, contract_key="ZL.v.0#1"), session(WED, contract_key="ZL.v.0#2")], WED
    )
    assert all(row[name] is None for name in PIVOT_COLUMNS)


def test_pivots_are_null_if_the_prior_session_was_of_two_contracts() -> None:
    row = row_of([session(TUE, is_pure=False), session(WED)], WED)
    assert all(row[name] is None for name in PIVOT_COLUMNS)


def test_pivots_after_a_roll_use_the_new_contracts_prior_session() -> None:
    near = {"symbol": "ZLH4", "contract_key": "ZLH2024"}
    far = {"symbol": "ZLK4", "contract_key": "ZLK2024"}
    sessions = [
        session(TUE, (50.0, 40.0, 45.0), **near),
        session(TUE, (110.0, 100.0, 108.0), **far),
        session(WED, (112.0, 90.0, 107.0), **far),
    ]
    row = row_of(sessions, WED, active=[sessions[0], sessions[2]])
    assert row["P"] == 106.0
    assert row["distance_to_P"] == 1.0


def test_pivots_after_a_roll_of_the_vendors_use_the_contracts_own_symbol() -> None:
    """The same contract has sessions under three symbols: the outright's own comes first."""
    key = {"contract_key": "ZLK2024"}
    sessions = [
        session(TUE, (50.0, 40.0, 45.0), symbol="ZL.v.0", contract_key="ZLH2024"),
        session(TUE, (99.0, 98.0, 97.0), symbol="ZL.n.0", **key),
        session(TUE, (110.0, 100.0, 108.0), symbol="ZLK4", **key),
        session(WED, (112.0, 90.0, 107.0), symbol="ZL.v.0", **key),
    ]
    row = row_of(sessions, WED, active=[sessions[0], sessions[3]])
    assert row["P"] == 106.0
    without = row_of([*sessions[:2], sessions[3]], WED, active=[sessions[0], sessions[3]])
    assert without["P"] == 98.0  # (99 + 98 + 97) / 3


def week_of(**change: Any) -> list[tuple[Any, ...]]:
    """Make five sessions: highest 120 on Tuesday, lowest 80 on Wednesday, last close 103."""
    hlc = [
        (110.0, 100.0, 105.0),
        (120.0, 100.0, 110.0),
        (110.0, 80.0, 90.0),
        (110.0, 95.0, 100.0),
        (110.0, 95.0, 103.0),
    ]
    return [session(day, prices, **change) for day, prices in zip(WEEK, hlc, strict=True)]


@pytest.mark.parametrize("date", NEXT)
def test_weekly_distance_is_to_the_prior_weeks_pivot(date: dt.date) -> None:
    # (120 + 80 + 103) / 3 = 101; 101 − 94.5, unsigned
    row = row_of([*week_of(), session(date, (101.0, 90.0, 94.5))], date)
    assert row["weekly_pivot_distance"] == pytest.approx(6.5)


def test_weekly_distance_ignores_the_current_week() -> None:
    row = row_of(week_of(), WEEK[4])
    assert row["weekly_pivot_distance"] is None


def test_weekly_distance_is_null_if_the_contract_lacks_a_trade_date() -> None:
    row = row_of([*week_of()[1:], session(NEXT[0])], NEXT[0])
    assert row["weekly_pivot_distance"] is None
    assert row["P"] is not None


def test_week_with_a_holiday_is_complete_without_it() -> None:
    days = [*WEEK[1:], *NEXT]
    row = row_of([*week_of()[1:], session(NEXT[0], (101.0, 90.0, 94.5))], NEXT[0], days)
    assert row["weekly_pivot_distance"] == pytest.approx(6.5)


def test_weekly_distance_is_null_after_a_roll() -> None:
    sessions = [*week_of(contract_key="ZL.v.0#1"), session(NEXT[0], contract_key="ZL.v.0#2")]
    assert row_of(sessions, NEXT[0])["weekly_pivot_distance"] is None


def test_weekly_distance_ignores_the_week_before_the_prior_one() -> None:
    later = NEXT[4] + dt.timedelta(days=3)
    days = [*WEEK, *NEXT, later]
    assert row_of([*week_of(), session(later)], later, days)["weekly_pivot_distance"] is None
