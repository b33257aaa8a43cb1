"""Why a date has no bar: each of the four answers, by hand."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from cbi_assets.report.gaps import Evidence, find_gaps


def day(number: int) -> dt.date:
    """A day of January 2025: the 1st is New Year, the 20th is King's day."""
    return dt.date(2025, 1, number)


def gaps(*held: int, **known: Any) -> list[tuple[str, int, int, int]]:
    """Kind, first and last day, dates of each gap of ZL's 1h bars held on these days."""
    evidence = Evidence(
        root="ZL",
        timeframe="1h",
        calendar="grains",
        held=[day(number) for number in held],
        elsewhere=known.get("elsewhere", {}),
        vendor=known.get("vendor", {}),
        reach=known.get("reach", ()),
        set_aside=known.get("set_aside", ()),
    )
    return [(gap.kind, gap.first.day, gap.last.day, gap.dates) for gap in find_gaps(evidence)]


def test_nothing_held_has_no_gap_and_a_whole_week_has_none() -> None:
    assert gaps() == []
    assert gaps(6, 7, 8, 9, 10, 13) == []


def test_dates_outside_the_held_range_are_no_gap() -> None:
    assert gaps(7, 8) == []


def test_a_holiday_is_a_closed_session_and_a_weekend_nothing() -> None:
    assert gaps(17, 21) == [("closed session", 20, 20, 1)]


def test_what_no_file_reaches_over_is_lost_and_dates_in_a_row_are_one_gap() -> None:
    # Thursday 9 to Tuesday 14 over a weekend: four trade dates
    assert gaps(8, 15) == [("lost", 9, 14, 4)]


def test_a_holiday_inside_does_not_split_a_gap() -> None:
    assert gaps(16, 22) == [("closed session", 20, 20, 1), ("lost", 17, 21, 2)]


def test_a_held_date_between_splits_a_gap() -> None:
    assert gaps(6, 8, 10) == [("lost", 7, 7, 1), ("lost", 9, 9, 1)]


def test_a_file_that_reaches_over_the_date_says_no_trade() -> None:
    assert gaps(6, 9, reach=[(day(6), day(9))]) == [("no trade", 7, 8, 2)]
    # two files that meet between the dates; the second day is beyond both
    spans = [(day(6), day(6)), (day(7), day(7))]
    assert gaps(6, 9, reach=spans) == [("no trade", 7, 7, 1), ("lost", 8, 8, 1)]
    # a short file inside a long one's reach does not end it
    assert gaps(6, 9, reach=[(day(6), day(9)), (day(6), day(7))]) == [("no trade", 7, 8, 2)]


@pytest.mark.parametrize("told", ["sources.yaml", "the jobs' condition.json"])
def test_the_vendors_gap_is_told_with_who_says_so(told: str) -> None:
    found = gaps(6, 8, vendor={day(7): told}, reach=[(day(6), day(8))])
    assert found == [("vendor's gap", 7, 7, 1)]


def test_records_in_quarantine_and_bars_elsewhere_make_a_date_lost() -> None:
    assert gaps(6, 8, set_aside={day(7)}, reach=[(day(6), day(8))]) == [("lost", 7, 7, 1)]
    assert gaps(6, 8, elsewhere={day(7): "1m"}, reach=[(day(6), day(8))]) == [("lost", 7, 7, 1)]


def test_the_reason_names_the_other_table() -> None:
    evidence = Evidence("ZL", "1d", "grains", [day(6), day(8)], {day(7): "1h"}, {}, (), ())
    (gap,) = find_gaps(evidence)
    assert gap.why == "no loaded file reaches over it; the 1h table has bars of it"
