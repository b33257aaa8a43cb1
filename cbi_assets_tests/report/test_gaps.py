"""Each of the four kinds of gap, by hand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import pytest

from cbi_assets.market.sessions import trade_dates
from cbi_assets.report.gaps import find_gaps

SERIES = {"root": pl.String, "timeframe": pl.String}


def day(number: int) -> dt.date:
    """A day of January 2025: the 1st is New Year, the 20th is King's day."""
    return dt.date(2025, 1, number)


def find(
    *with_bars: int,
    elsewhere: Mapping[int, str] | None = None,
    vendor: Mapping[int, str] | None = None,
    covered: Sequence[tuple[int, int]] = (),
    quarantined: Sequence[int] = (),
) -> list[dict[str, Any]]:
    """Return the gaps of ZL's 1h bars, which exist on these days of January 2025.

    `elsewhere` gives days with bars of another timeframe, `vendor` days that the vendor lacks and
    who says so, `covered` the first and last day of each loaded file.
    """
    bars = [("ZL", "1h", day(number)) for number in with_bars]
    bars += [("ZL", timeframe, day(number)) for number, timeframe in (elsewhere or {}).items()]
    calendar = [("ZL", date) for date in trade_dates("grains", day(1), day(31))]
    lacking = [("ZL", day(number), source) for number, source in (vendor or {}).items()]
    files = [("ZL", "1h", day(first), day(last)) for first, last in covered]
    aside = [("ZL", "1h", day(number)) for number in quarantined]
    gaps = find_gaps(
        frame(bars, **SERIES, date=pl.Date),
        frame(calendar, root=pl.String, date=pl.Date),
        frame(lacking, root=pl.String, date=pl.Date, source=pl.String),
        frame(files, **SERIES, first_day=pl.Date, last_day=pl.Date),
        frame(aside, **SERIES, utc_day=pl.Date),
    )
    return gaps.filter(timeframe="1h").to_dicts()


def frame(rows: list[Any], **schema: Any) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=schema, orient="row")


def gaps(*with_bars: int, **known: Any) -> list[tuple[str, int, int, int]]:
    """Return kind, first and last day, and number of dates of each gap; arguments as for `find`."""
    return [
        (gap["kind"], gap["first"].day, gap["last"].day, gap["dates"])
        for gap in find(*with_bars, **known)
    ]


def test_no_bars_or_a_complete_week_have_no_gap() -> None:
    assert gaps() == []
    assert gaps(6, 7, 8, 9, 10, 13) == []


def test_dates_outside_the_range_are_no_gap() -> None:
    assert gaps(7, 8) == []


def test_holiday_is_a_closed_session_and_weekend_is_no_gap() -> None:
    assert gaps(17, 21) == [("closed session", 20, 20, 1)]


def test_consecutive_dates_that_no_file_covers_are_one_lost_gap() -> None:
    # Thursday 9 to Tuesday 14 over a weekend: four trade dates
    assert gaps(8, 15) == [("lost", 9, 14, 4)]


def test_holiday_inside_does_not_split_a_gap() -> None:
    assert gaps(16, 22) == [("closed session", 20, 20, 1), ("lost", 17, 21, 2)]


def test_date_with_a_bar_splits_a_gap() -> None:
    assert gaps(6, 8, 10) == [("lost", 7, 7, 1), ("lost", 9, 9, 1)]


def test_date_that_a_file_covers_is_no_trade() -> None:
    assert gaps(6, 9, covered=[(6, 9)]) == [("no trade", 7, 8, 2)]
    # two adjacent files; the 8th is after both
    assert gaps(6, 9, covered=[(6, 6), (7, 7)]) == [("no trade", 7, 7, 1), ("lost", 8, 8, 1)]
    # a short file inside a long one does not end its coverage
    assert gaps(6, 9, covered=[(6, 9), (6, 7)]) == [("no trade", 7, 8, 2)]


@pytest.mark.parametrize("source", ["sources.yaml", "the jobs' condition.json"])
def test_vendor_gap_names_who_reports_it(source: str) -> None:
    (gap,) = find(6, 8, vendor={7: source}, covered=[(6, 8)])
    assert (gap["kind"], gap["first"], gap["why"]) == (
        "vendor's gap", day(7), f"reported by {source}",
    )  # fmt: skip


def test_date_is_lost_when_quarantined_or_in_another_table() -> None:
    assert gaps(6, 8, quarantined=[7], covered=[(6, 8)]) == [("lost", 7, 7, 1)]
    assert gaps(6, 8, elsewhere={7: "1m"}, covered=[(6, 8)]) == [("lost", 7, 7, 1)]


def test_lost_gap_names_the_other_table() -> None:
    (gap,) = find(6, 8, elsewhere={7: "1m"})
    assert gap["why"] == "no loaded file covers it; the 1m table has bars of it"
