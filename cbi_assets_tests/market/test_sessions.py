from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbi_assets.market.sessions import Calendar, session_close, trade_date_of, trade_dates


def trade_date(instant: str, calendar: Calendar | None = "equity") -> dt.date | None:
    when = dt.datetime.fromisoformat(instant)
    series = pl.Series("ts_event", [when], dtype=pl.Datetime("us", "UTC"))
    return trade_date_of(series, calendar).to_list()[0]


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        # an ordinary winter day: 17:00 at Chicago is 23:00 UTC
        ("2025-01-07T22:59Z", "2025-01-07"),
        ("2025-01-07T23:00Z", "2025-01-08"),
        ("2025-01-08T06:00Z", "2025-01-08"),
        # the weekend
        ("2025-01-10T21:59Z", "2025-01-10"),
        ("2025-01-12T23:00Z", "2025-01-13"),
        # Martin Luther King's Monday trades for Tuesday, from Sunday evening on
        ("2025-01-19T23:00Z", "2025-01-21"),
        ("2025-01-20T16:00Z", "2025-01-21"),
        ("2025-01-21T16:00Z", "2025-01-21"),
        # Thanksgiving's stub trades for Friday
        ("2024-11-27T15:00Z", "2024-11-27"),
        ("2024-11-27T23:00Z", "2024-11-29"),
        ("2024-11-28T15:00Z", "2024-11-29"),
        ("2024-11-29T15:00Z", "2024-11-29"),
        # the clocks go forward on Sunday 2025-03-09: 17:00 at Chicago is 22:00 UTC from then on
        ("2025-03-06T22:30Z", "2025-03-06"),
        ("2025-03-09T22:00Z", "2025-03-10"),
        ("2025-03-10T21:59Z", "2025-03-10"),
        ("2025-03-10T22:00Z", "2025-03-11"),
        # and back on Sunday 2025-11-02
        ("2025-10-30T22:00Z", "2025-10-31"),
        ("2025-11-02T06:30Z", "2025-11-03"),  # 01:30 at Chicago, the first
        ("2025-11-02T07:30Z", "2025-11-03"),  # 01:30 at Chicago, the second
        ("2025-11-03T22:59Z", "2025-11-03"),
        ("2025-11-03T23:00Z", "2025-11-04"),
    ],
)
def test_trade_date(instant: str, expected: str) -> None:
    assert trade_date(instant) == day(expected)
    assert trade_date(instant, "grains") == day(expected)


@pytest.mark.parametrize(("mourning", "next_date"), [
    ("2018-12-05", "2018-12-06"),
    ("2025-01-09", "2025-01-10"),
])  # fmt: skip
def test_days_on_which_only_the_equities_were_closed(mourning: str, next_date: str) -> None:
    instant = f"{mourning}T15:00Z"
    for calendar in ("grains", "livestock", "energy", "metals", "fx"):
        assert trade_date(instant, calendar) == day(mourning)
        assert day(mourning) in trade_dates(calendar)
    for unlike in ("equity", None):
        assert trade_date(instant, unlike) == day(next_date)
        assert day(mourning) not in trade_dates(unlike)


@pytest.mark.parametrize("instant", ["1999-12-31T12:00Z", "1970-01-01T00:00Z", "2041-01-02T12:00Z"])
def test_out_of_range_is_null(instant: str) -> None:
    assert trade_date(instant) is None


def test_null_stays_null_among_others() -> None:
    good = dt.datetime(2025, 1, 7, 15, tzinfo=dt.UTC)
    series = pl.Series("ts_event", [None, good, None], dtype=pl.Datetime("us", "UTC"))
    assert trade_date_of(series, "grains").to_list() == [None, dt.date(2025, 1, 7), None]


@settings(deadline=None, max_examples=50)
@given(
    instants=st.lists(
        st.datetimes(dt.datetime(2010, 6, 6), dt.datetime(2035, 1, 1)), min_size=1, max_size=50
    )
)
def test_trade_dates_are_exchange_dates_and_never_go_back(instants: list[dt.datetime]) -> None:
    series = pl.Series("ts_event", sorted(instants), dtype=pl.Datetime("us"))
    found = trade_date_of(series.dt.replace_time_zone("UTC"), "grains").to_list()
    assert found == sorted(found)
    assert set(found) <= set(trade_dates("grains"))
    for instant, date in zip(sorted(instants), found, strict=True):
        # Chicago is five or six hours behind UTC; the longest closure is a long weekend
        assert instant.date() - dt.timedelta(days=1) <= date
        assert date <= instant.date() + dt.timedelta(days=5)


def test_range_of_trade_dates_includes_both_ends() -> None:
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
def test_session_close_in_both_halves_of_the_year(
    calendar: Calendar, date: str, close: str
) -> None:
    found = session_close(day(date), calendar)
    assert found == dt.datetime.fromisoformat(close)
    assert found.tzinfo is dt.UTC
