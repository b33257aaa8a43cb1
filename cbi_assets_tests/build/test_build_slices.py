"""Which trade dates are built again if bars of a month changed."""

from __future__ import annotations

import datetime as dt

import polars as pl

from cbi_assets.build.build_slices import windows_of

JUNE, AUGUST, SEPTEMBER = (dt.date(2025, month, 1) for month in (6, 8, 9))


def windows(*months: tuple[str, dt.date]) -> list[tuple[str, dt.date, dt.date]]:
    frame = pl.DataFrame(list(months), schema={"root": pl.String, "month": pl.Date}, orient="row")
    return windows_of(frame).rows()


def test_window_of_a_month_reaches_the_trade_date_of_its_last_evening() -> None:
    # the session that opened on Sunday, 31 August 2025 is that of Tuesday: Monday was Labor Day
    [(root, first, last)] = windows(("MES", AUGUST))
    assert (root, first) == ("MES", AUGUST)
    assert last >= dt.date(2025, 9, 2)


def test_windows_of_adjacent_months_are_one_and_of_others_two() -> None:
    found = windows(("MES", JUNE), ("MES", AUGUST), ("MES", SEPTEMBER), ("ZL", SEPTEMBER))
    assert [(root, first) for root, first, _ in found] == [
        ("MES", JUNE), ("MES", AUGUST), ("ZL", SEPTEMBER)
    ]  # fmt: skip
    assert found[1][2] == found[2][2]
