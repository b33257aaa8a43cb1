"""Adjusted series of the vendor's continuous symbol where its contracts are known, by hand."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from cbi_assets_tests.market.continuous_rows import (
    DAYS,
    MON,
    THU,
    TUE,
    WED,
    H,
    K,
    N,
    Row,
    adjusted,
    front,
    series,
    session,
)


def named(date: dt.date, contract: str, close: float, **change: Any) -> Row:
    """Make a session of ZL.v.0, whose contract is known."""
    return (
        session(date, "ZL.v.0", close) | {"contract": contract, "contract_key": contract} | change
    )


# the vendor rolls from H to K on Wednesday, and nothing else rolls: there is no chain
NAMED = [named(MON, H, 50.0), named(TUE, H, 49.0), named(WED, K, 45.5), named(THU, K, 46.5)]


@pytest.mark.parametrize(
    ("legs", "back_adj"),
    [
        # K's own hours on Tuesday, against H's: 49 − 46
        ([session(TUE, K, 46.0)], [0.0, 0.0, 3.0, 3.0]),
        # both contracts' UTC days: 48.75 − 46.25
        ([session(TUE, H, 48.75, "1d"), session(TUE, K, 46.25, "1d")], [0.0, 0.0, 2.5, 2.5]),
        # of one kind each, and on another date: the step is unknown
        ([session(TUE, K, 46.25, "1d"), session(MON, K, 46.0)], [0.0, 0.0]),
        ([], [0.0, 0.0]),
    ],
    ids=["own hours", "UTC days", "different kinds", "none"],
)
def test_vendor_rows_of_known_contracts_are_adjusted_by_both_legs_own_closes(
    legs: list[Row], back_adj: list[float]
) -> None:
    found = series([*NAMED, *legs], front())
    difference = adjusted(found, "difference")
    assert difference["back_adj"].to_list() == back_adj
    closes = [50.0, 49.0, 45.5 + back_adj[-1], 46.5 + back_adj[-1]]
    assert difference["close"].to_list() == closes[: len(back_adj)]
    assert difference["roll_flag"].to_list() == [False, False, True, False][: len(back_adj)]
    assert set(difference["roll_rule"]) == {"vendor_v0"}
    assert adjusted(found, "none")["active_contract"].to_list() == [H, H, K, K]


def test_adjusted_series_goes_on_after_an_unknown_step_once_one_is_known() -> None:
    # nothing has K's close on Monday, so Tuesday's row is left out; on Wednesday H is back
    flip = [named(MON, H, 50.0), named(TUE, K, 46.0), named(WED, H, 48.0), named(THU, N, 47.0)]
    found = adjusted(series([*flip, session(WED, N, 49.5)], front()), "difference")
    assert found["date"].to_list() == [MON, WED, THU]
    # 48 − 49.5
    assert found["back_adj"].to_list() == [0.0, 0.0, -1.5]


def test_adjusted_row_of_two_contracts_has_the_new_ones_own_bars() -> None:
    # on Wednesday the session of ZL.v.0 began with bars of H, whose high is in it
    mixed = named(WED, K, 45.5, is_pure=False, high=49.5)
    rows = [row if row["trade_date"] != WED else mixed for row in NAMED]
    rows.append(session(TUE, K, 46.0))
    columns = ["open", "high", "low", "close", "volume"]
    without = adjusted(series(rows, front()), "difference").filter(pl.col("date") == WED)
    assert without.select(columns).row(0) == (None, None, None, 48.5, None)
    own = session(WED, K, 45.5) | {"volume": 7}
    (row,) = (
        adjusted(series([*rows, own], front()), "difference")
        .filter(pl.col("date") == WED)
        .select(columns)
        .rows()
    )
    # K's own 45.25, 46, 44.5 and 45.5, and 3 more
    assert row == (48.25, 49.0, 47.5, 48.5, 7)
    unadjusted = adjusted(series([*rows, own], front()), "none").filter(pl.col("date") == WED)
    assert unadjusted["high"].item() == 49.5


def test_roll_flag_compares_contracts_that_different_rules_name() -> None:
    rows = [session(MON, H), named(TUE, H, 40.0), named(WED, K, 40.0), session(THU, K)]
    found = adjusted(series(rows, front(H, None, None, K)), "none")
    assert found["roll_rule"].to_list() == ["own_chain", "vendor_v0", "vendor_v0", "own_chain"]
    assert found["roll_flag"].to_list() == [False, False, True, False]


@pytest.mark.parametrize("days", range(1, 5))
def test_later_sessions_do_not_change_adjusted_rows_of_the_vendors_symbol(days: int) -> None:
    cut = DAYS[days - 1]
    rows = [*NAMED, session(TUE, K, 46.0), session(WED, H, 48.0), session(THU, N, 49.0)]
    known = series([row for row in rows if row["trade_date"] <= cut], front())
    assert known.equals(series(rows, front()).filter(pl.col("date") <= cut))
