"""`available_at` against the publication dates that the publishers state."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbi_assets.config.macro import load_macro
from cbi_assets.load.staging.availability import available_at

PUBLICATIONS = load_macro().publications


def publication_times(name: str, *days: dt.date) -> list[dt.datetime]:
    return available_at(pl.Series(list(days), dtype=pl.Date), PUBLICATIONS[name]).to_list()


@pytest.mark.parametrize(
    ("name", "reference", "instant"),
    [
        # Tuesday's COT on Friday, 15:30 Eastern: in summer and in winter
        ("cot", "2025-09-23", "2025-09-26T19:30"),
        ("cot", "2024-01-09", "2024-01-12T20:30"),
        # in the weeks of Thanksgiving and Christmas 2024, on Monday
        ("cot", "2024-11-26", "2024-12-02T20:30"),
        ("cot", "2024-12-24", "2024-12-30T20:30"),
        # the 2025 shutdown
        ("cot", "2025-09-30", "2025-11-19T20:30"),
        ("cot", "2025-10-07", "2026-01-23T20:30"),
        # the 2018/19 shutdown: the first report delayed was that of December 24
        ("cot", "2018-12-18", "2018-12-21T20:30"),
        ("cot", "2018-12-24", "2019-03-08T20:30"),
        # H.15 on the next business day, 16:15 Eastern: midweek, over a weekend, over New Year
        ("h15", "2025-01-07", "2025-01-08T21:15"),
        ("h15", "2025-01-03", "2025-01-06T21:15"),
        ("h15", "2024-12-31", "2025-01-02T21:15"),
        # H.10 on Monday for the week before, on Tuesday if Monday is a holiday
        ("h10", "2025-01-06", "2025-01-13T21:15"),
        ("h10", "2025-01-10", "2025-01-13T21:15"),
        ("h10", "2025-01-17", "2025-01-21T21:15"),
        # EIA on Wednesday, for values through Monday: counted from the end of that day
        ("eia_spot", "2025-10-20", "2025-10-23T03:59"),
        ("eia_spot", "2025-10-21", "2025-10-30T03:59"),
        ("vix", "2025-01-03", "2025-01-06T14:30"),
        # the CPI of January 2015 was published on 2015-02-26, the latest regular date
        ("cpi", "2015-01-01", "2015-02-26T13:30"),
        ("cpi", "2013-09-01", "2013-10-30T12:30"),
        ("employment", "2025-06-01", "2025-07-14T12:30"),  # the 12th is a Saturday
        ("employment", "2025-09-01", "2025-11-20T13:30"),
        ("h15_month", "2023-08-01", "2023-09-01T20:15"),
        ("conab", "2016-07-01", "2017-10-02T02:59"),
        ("policy", "2025-04-03", "2025-04-04T04:00"),
        ("policy", "2025-11-08", "2025-11-09T05:00"),
    ],
)
def test_available_at_is_the_publishers_release_time(
    name: str, reference: str, instant: str
) -> None:
    expected = dt.datetime.fromisoformat(instant).replace(tzinfo=dt.UTC)
    assert publication_times(name, dt.date.fromisoformat(reference)) == [expected]


# release dates from BLS's calendar, 08:30 Eastern
@pytest.mark.parametrize(
    ("name", "reference", "published"),
    [
        ("cpi", "2025-08-01", "2025-09-11"),
        ("cpi", "2025-09-01", "2025-10-24"),
        ("employment", "2024-12-01", "2025-01-10"),
        ("employment", "2025-07-01", "2025-08-01"),
    ],
)
def test_available_at_is_never_before_the_stated_release_date(
    name: str, reference: str, published: str
) -> None:
    (instant,) = publication_times(name, dt.date.fromisoformat(reference))
    assert instant.date() >= dt.date.fromisoformat(published)


@given(
    st.sampled_from(sorted(PUBLICATIONS)),
    st.lists(st.dates(dt.date(1947, 1, 1), dt.date(2030, 1, 1)), min_size=1, max_size=20),
)
def test_available_at_is_after_the_reference_date_and_in_its_order(
    name: str, days: list[dt.date]
) -> None:
    days = sorted(days)
    instants = publication_times(name, *days)
    assert all(i.date() > day for i, day in zip(instants, days, strict=True))
    assert instants == sorted(instants)
    assert [publication_times(name, day)[0] for day in days] == instants
