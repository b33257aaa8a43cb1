from __future__ import annotations

import datetime as dt
from typing import get_args
from zoneinfo import ZoneInfo

import numpy as np
import pandas_market_calendars
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbi_assets.market.exchange_holidays import HOLIDAYS
from cbi_assets.market.library_closes import library_closes
from cbi_assets.market.session_hours import _LIBRARY
from cbi_assets.market.sessions import (
    CHICAGO,
    FIRST,
    LAST,
    Calendar,
    session_close,
    session_closes,
    trade_date_of,
    trade_dates,
)

CALENDARS: tuple[Calendar, ...] = get_args(Calendar)


def trade_date(start: str, calendar: Calendar | None = "equity") -> dt.date | None:
    when = dt.datetime.fromisoformat(start)
    series = pl.Series("ts_event", [when], dtype=pl.Datetime("us", "UTC"))
    found: dt.date | None = trade_date_of(series, calendar).to_list()[0]
    return found


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        # an ordinary winter day: 17:00 Chicago time is 23:00 UTC
        ("2025-01-07T22:59Z", "2025-01-07"),
        ("2025-01-07T23:00Z", "2025-01-08"),
        ("2025-01-08T06:00Z", "2025-01-08"),
        # the weekend
        ("2025-01-10T21:59Z", "2025-01-10"),
        ("2025-01-12T23:00Z", "2025-01-13"),
        # Martin Luther King Day, a Monday, trades for Tuesday from Sunday evening on
        ("2025-01-19T23:00Z", "2025-01-21"),
        ("2025-01-20T16:00Z", "2025-01-21"),
        ("2025-01-21T16:00Z", "2025-01-21"),
        # Thanksgiving's session trades for Friday
        ("2024-11-27T15:00Z", "2024-11-27"),
        ("2024-11-27T23:00Z", "2024-11-29"),
        ("2024-11-28T15:00Z", "2024-11-29"),
        ("2024-11-29T15:00Z", "2024-11-29"),
        # clocks go forward on Sunday 2025-03-09: 17:00 Chicago time is 22:00 UTC from then on
        ("2025-03-06T22:30Z", "2025-03-06"),
        ("2025-03-09T22:00Z", "2025-03-10"),
        ("2025-03-10T21:59Z", "2025-03-10"),
        ("2025-03-10T22:00Z", "2025-03-11"),
        # and back on Sunday 2025-11-02
        ("2025-10-30T22:00Z", "2025-10-31"),
        ("2025-11-02T06:30Z", "2025-11-03"),  # 01:30 Chicago time, the first
        ("2025-11-02T07:30Z", "2025-11-03"),  # 01:30 Chicago time, the second
        ("2025-11-03T22:59Z", "2025-11-03"),
        ("2025-11-03T23:00Z", "2025-11-04"),
    ],
)
def test_trade_date_follows_chicago_time_and_holidays(start: str, expected: str) -> None:
    assert trade_date(start) == day(expected)
    assert trade_date(start, "grains") == day(expected)


@pytest.mark.parametrize(("mourning", "next_date"), [
    ("2018-12-05", "2018-12-06"),
    ("2025-01-09", "2025-01-10"),
])  # fmt: skip
def test_day_of_mourning_is_a_trade_date_except_of_equities(mourning: str, next_date: str) -> None:
    start = f"{mourning}T15:00Z"
    for calendar in ("grains", "livestock", "energy", "metals", "fx", "nikkei", "crypto"):
        assert trade_date(start, calendar) == day(mourning)
        assert day(mourning) in trade_dates(calendar)
    for closed in ("equity", None):
        assert trade_date(start, closed) == day(next_date)
        assert day(mourning) not in trade_dates(closed)


def test_rates_did_not_trade_on_the_first_day_of_mourning_and_closed_early_on_the_second() -> None:
    assert day("2018-12-05") not in trade_dates("rates")
    assert trade_date("2018-12-05T15:00Z", "rates") == day("2018-12-06")
    assert trade_date("2025-01-09T15:00Z", "rates") == day("2025-01-09")


@pytest.mark.parametrize("start", [
    "1999-12-31T12:00Z",
    "1970-01-01T00:00Z",
    "2040-12-31T23:00Z",  # 17:00 in Chicago, the end of the last trade date
    "2041-01-02T12:00Z",
])  # fmt: skip
def test_trade_date_is_null_outside_2000_to_2040(start: str) -> None:
    assert trade_date(start) is None
    assert trade_date("2040-12-31T22:59Z") == dt.date(2040, 12, 31)


@pytest.mark.parametrize("friday", ["2012-04-06", "2015-04-03", "2021-04-02", "2023-04-07"])
@pytest.mark.parametrize("calendar", ["fx", "rates"])
def test_a_good_friday_with_the_jobs_report_is_a_trade_date_of_fx_and_rates(
    friday: str, calendar: Calendar
) -> None:
    """They traded from Thursday, 17:00, to 10:15 Chicago time, which is 15:15 UTC."""
    thursday = day(friday) - dt.timedelta(days=1)
    for start in (f"{thursday}T22:00Z", f"{friday}T15:00Z"):
        assert trade_date(start, calendar) == day(friday)
        assert trade_date(start, "equity") == day(friday) + dt.timedelta(days=3)
    assert session_close(day(friday), calendar) == dt.datetime.fromisoformat(f"{friday}T15:15Z")
    assert day(friday) not in trade_dates("metals")


def test_other_good_fridays_are_no_trade_dates() -> None:
    for friday in ("2014-04-18", "2024-03-29", "2025-04-18"):
        assert trade_date(f"{friday}T14:00Z", "fx") > day(friday)  # type: ignore[operator]


def test_trade_date_is_null_for_null() -> None:
    good = dt.datetime(2025, 1, 7, 15, tzinfo=dt.UTC)
    series = pl.Series("ts_event", [None, good, None], dtype=pl.Datetime("us", "UTC"))
    assert trade_date_of(series, "grains").to_list() == [None, dt.date(2025, 1, 7), None]


@settings(deadline=None, max_examples=50)
@given(
    starts=st.lists(
        st.datetimes(dt.datetime(2010, 6, 6), dt.datetime(2035, 1, 1)), min_size=1, max_size=50
    )
)
def test_trade_dates_are_exchange_dates_and_never_decrease(starts: list[dt.datetime]) -> None:
    series = pl.Series("ts_event", sorted(starts), dtype=pl.Datetime("us"))
    found = trade_date_of(series.dt.replace_time_zone("UTC"), "grains").to_list()
    assert found == sorted(found)
    assert set(found) <= set(trade_dates("grains"))
    for start, date in zip(sorted(starts), found, strict=True):
        # Chicago is five or six hours behind UTC; the longest closure is a long weekend
        assert start.date() - dt.timedelta(days=1) <= date
        assert date <= start.date() + dt.timedelta(days=5)


def test_trade_dates_include_both_ends_of_the_range() -> None:
    found = trade_dates("equity", day("2025-01-17"), day("2025-01-22"))
    assert found == [day("2025-01-17"), day("2025-01-21"), day("2025-01-22")]
    assert trade_dates("equity", day("2025-01-18"), day("2025-01-20")) == []


@pytest.mark.parametrize(
    ("calendar", "date", "close"),
    [
        ("grains", "2025-01-07", "2025-01-07T19:20Z"),
        ("grains", "2025-07-08", "2025-07-08T18:20Z"),
        ("livestock", "2025-01-07", "2025-01-07T19:05Z"),
        ("livestock", "2025-07-08", "2025-07-08T18:05Z"),
        ("equity", "2025-01-07", "2025-01-07T22:00Z"),
        ("equity", "2025-07-08", "2025-07-08T21:00Z"),
        ("energy", "2025-03-07", "2025-03-07T22:00Z"),
        ("metals", "2025-03-10", "2025-03-10T21:00Z"),
        ("fx", "2025-11-03", "2025-11-03T22:00Z"),
    ],
)
def test_session_close_follows_daylight_saving_time(
    calendar: Calendar, date: str, close: str
) -> None:
    found = session_close(day(date), calendar)
    assert found == dt.datetime.fromisoformat(close)
    assert found.tzinfo is dt.UTC


@pytest.mark.parametrize(
    ("calendar", "date", "close"),
    [
        # CBOT's electronic close by era
        ("grains", "2010-06-07", "13:15"),
        ("grains", "2012-05-18", "13:15"),
        ("grains", "2012-05-21", "14:00"),
        ("grains", "2013-04-05", "14:00"),
        ("grains", "2013-04-08", "13:15"),
        ("grains", "2015-07-01", "13:15"),
        ("grains", "2015-07-02", "12:15"),
        ("grains", "2015-07-06", "13:20"),
        # livestock to 16:00, on Fridays to 13:55, until the end of February 2016
        ("livestock", "2014-10-23", "16:00"),
        ("livestock", "2014-10-24", "13:55"),
        ("livestock", "2016-02-25", "16:00"),
        ("livestock", "2016-02-26", "13:55"),
        ("livestock", "2016-02-29", "13:05"),
        # equities traded from 15:30 to 16:30 except on Fridays; then to 16:15; then to 16:00
        ("equity", "2012-11-15", "16:30"),
        ("equity", "2012-11-16", "15:15"),
        ("equity", "2012-11-19", "16:15"),
        ("equity", "2015-09-18", "16:15"),
        ("equity", "2015-09-21", "16:00"),
        ("energy", "2015-09-18", "16:15"),
        ("energy", "2015-09-21", "16:00"),
        ("metals", "2015-09-18", "16:15"),
        ("metals", "2015-09-21", "16:00"),
        ("fx", "2012-06-08", "16:00"),
        # the day after Thanksgiving
        ("grains", "2024-11-29", "12:15"),
        ("livestock", "2024-11-29", "12:15"),
        ("equity", "2024-11-29", "12:15"),
        ("energy", "2023-11-24", "12:45"),
        ("fx", "2022-11-25", "12:15"),
        ("fx", "2023-11-24", "12:15"),
        # since 2024 these trade in the hour from 13:00 on it (CL 17,335 contracts in 2024)
        ("energy", "2024-11-29", "13:45"),
        ("metals", "2024-11-29", "13:45"),
        ("energy", "2025-11-28", "13:45"),
        ("fx", "2024-11-29", "13:45"),
        ("fx", "2026-11-27", "13:45"),
        ("crypto", "2025-11-28", "13:45"),
        ("rates", "2024-11-29", "12:15"),
        ("nikkei", "2024-11-29", "12:15"),
        ("mini_grains", "2024-11-29", "13:00"),
        # Christmas Eve, and the day before Independence Day
        ("grains", "2024-12-24", "12:15"),
        ("livestock", "2015-12-24", "12:15"),
        ("equity", "2013-12-24", "12:15"),
        ("energy", "2013-12-24", "12:45"),
        ("metals", "2024-12-24", "12:45"),
        ("equity", "2024-07-03", "12:15"),
        ("energy", "2024-07-03", "16:00"),
        ("grains", "2024-07-03", "13:20"),
        ("fx", "2024-12-24", "12:15"),
        ("fx", "2010-12-31", "12:15"),
        # by their bars, equities reopened on this Tuesday, and energy traded from 16:00 here
        ("equity", "2012-07-03", "16:30"),
        ("energy", "2010-12-31", "16:15"),
        # regular by their bars, on July 3
        ("nikkei", "2025-07-03", "16:00"),
        ("crypto", "2025-07-03", "16:00"),
        # early by their bars, and not in the library
        ("grains", "2012-07-03", "12:15"),
        ("livestock", "2012-07-03", "16:00"),
        ("livestock", "2019-07-03", "12:15"),
        ("livestock", "2015-04-02", "13:55"),
        ("equity", "2012-10-30", "09:00"),
        # the sectors found on the drive, on regular days
        ("mini_grains", "2013-04-08", "13:45"),
        ("dairy", "2025-01-07", "16:00"),
        ("dairy", "2025-01-10", "13:55"),
        ("lumber", "2025-01-07", "15:05"),
        ("rates", "2015-02-13", "16:00"),
        ("nikkei", "2013-11-06", "16:15"),
        # National days of mourning: grains and livestock closed early on the second
        ("grains", "2018-12-05", "13:20"),
        ("livestock", "2018-12-05", "13:05"),
        ("grains", "2025-01-09", "12:15"),
        ("livestock", "2025-01-09", "12:15"),
        ("rates", "2025-01-09", "12:15"),
        ("nikkei", "2025-01-09", "16:00"),
        ("energy", "2018-12-05", "16:00"),
        ("energy", "2025-01-09", "16:00"),
        # a holiday session closes with the date that it trades for
        ("equity", "2025-01-21", "16:00"),
        ("energy", "2025-01-21", "16:00"),
        # either side of the Sunday when clocks go forward
        ("equity", "2025-03-07", "16:00"),
        ("equity", "2025-03-10", "16:00"),
    ],
)
def test_session_close_follows_the_hours_of_its_time_and_early_closes(
    calendar: Calendar, date: str, close: str
) -> None:
    local = dt.datetime.fromisoformat(f"{date}T{close}").replace(tzinfo=ZoneInfo(CHICAGO))
    assert session_close(day(date), calendar) == local


def test_session_closes_are_utc_in_input_order_with_null_for_null() -> None:
    dates = pl.Series([day("2025-03-07"), None, day("2025-03-10")], dtype=pl.Date)
    found = session_closes(dates, "equity")
    assert found.dtype == pl.Datetime("us", "UTC")
    # 16:00 Chicago time
    winter, summer = dt.datetime(2025, 3, 7, 22, tzinfo=dt.UTC), dt.datetime(2025, 3, 10, 21)
    assert found.to_list() == [winter, None, summer.replace(tzinfo=dt.UTC)]


def test_session_closes_are_empty_without_dates() -> None:
    assert session_closes(pl.Series([], dtype=pl.Date), "grains").to_list() == []


def test_session_close_raises_before_2000() -> None:
    with pytest.raises(ValueError, match="1999-12-31: no session close is known before 2000-01-01"):
        session_close(day("1999-12-31"), "grains")


@pytest.mark.parametrize("calendar", CALENDARS)
def test_every_session_close_is_within_its_own_trade_date(calendar: Calendar) -> None:
    dates = pl.Series(trade_dates(calendar, day("2010-06-06"), day("2035-12-31")))
    closes = session_closes(dates, calendar)
    just_before = closes.dt.offset_by("-1us")
    assert trade_date_of(just_before, calendar).to_list() == dates.to_list()
    assert closes.is_sorted()


@pytest.mark.parametrize(
    ("calendar", "date", "last_bar"),
    [
        # starts of the last one-hour bars of Databento files of these sectors
        ("grains", "2025-01-09", "12:00"),
        ("livestock", "2025-01-09", "12:00"),
        ("grains", "2025-01-10", "13:00"),
        ("energy", "2025-01-09", "15:00"),
        ("fx", "2025-01-09", "15:00"),
        ("equity", "2025-01-21", "15:00"),
    ],
)
def test_last_bar_starts_in_the_hour_before_the_session_close(
    calendar: Calendar, date: str, last_bar: str
) -> None:
    start = dt.datetime.fromisoformat(f"{date}T{last_bar}").replace(tzinfo=ZoneInfo(CHICAGO))
    close = session_close(day(date), calendar)
    assert start < close <= start + dt.timedelta(hours=1)


def test_exchange_holidays_are_those_of_the_calendar_library() -> None:
    business = pandas_market_calendars.get_calendar("CME_TradeDate").holidays().calendar
    days = np.arange(np.datetime64(FIRST), np.datetime64(LAST) + np.timedelta64(1, "D"))
    closed = days[np.is_busday(days) & ~np.is_busday(days, busdaycal=business)]
    assert list(HOLIDAYS) == closed.tolist()


@pytest.mark.parametrize("name", sorted(set(_LIBRARY.values())))
def test_library_closes_are_those_of_the_calendar_library(name: str) -> None:
    closes = pandas_market_calendars.get_calendar(name).special_dates(
        "market_close", FIRST, LAST, filter_holidays=False
    )
    expected = {close.date(): close.time() for close in closes.dt.tz_convert(CHICAGO)}
    assert list(library_closes(name).items()) == list(expected.items())
