"""When values came out, held against dates that the publishers state."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbi_assets.config.macro import load_macro
from cbi_assets.load.staging.availability import available_at

PUBLICATIONS = load_macro().publications


def known_from(name: str, *days: dt.date) -> list[dt.datetime]:
    return available_at(pl.Series(list(days), dtype=pl.Date), PUBLICATIONS[name]).to_list()


@pytest.mark.parametrize(
    ("name", "reference", "instant"),
    [
        # COT of Tuesday on Friday 15:30 Eastern, in summer and in winter
        ("cot", "2025-09-23", "2025-09-26T19:30"),
        ("cot", "2024-01-09", "2024-01-12T20:30"),
        # Thanksgiving week of 2024: on Monday; Christmas 2024 (of Tuesday the 24th): on Monday
        ("cot", "2024-11-26", "2024-12-02T20:30"),
        ("cot", "2024-12-24", "2024-12-30T20:30"),
        # the shutdown of 2025
        ("cot", "2025-09-30", "2025-11-19T20:30"),
        ("cot", "2025-10-07", "2026-01-23T20:30"),
        # and of 2018/19: its first report was of December 24
        ("cot", "2018-12-18", "2018-12-21T20:30"),
        ("cot", "2018-12-24", "2019-03-08T20:30"),
        # H.15 at 16:15 Eastern on the next business day; over a weekend; over New Year
        ("h15", "2025-01-07", "2025-01-08T21:15"),
        ("h15", "2025-01-03", "2025-01-06T21:15"),
        ("h15", "2024-12-31", "2025-01-02T21:15"),
        # H.10 on Monday for the week before; on Tuesday after MLK day
        ("h10", "2025-01-06", "2025-01-13T21:15"),
        ("h10", "2025-01-10", "2025-01-13T21:15"),
        ("h10", "2025-01-17", "2025-01-21T21:15"),
        # EIA on Wednesday with values through Monday, to the end of the day
        ("eia_spot", "2025-10-20", "2025-10-23T03:59"),
        ("eia_spot", "2025-10-21", "2025-10-30T03:59"),
        ("vix", "2025-01-03", "2025-01-06T14:30"),
        # CPI of January 2015 came out on 2015-02-26, the latest regular date
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
def test_known_from(name: str, reference: str, instant: str) -> None:
    want = dt.datetime.fromisoformat(instant).replace(tzinfo=dt.UTC)
    assert known_from(name, dt.date.fromisoformat(reference)) == [want]


# BLS's own dates of publication, 08:30 Eastern
@pytest.mark.parametrize(
    ("name", "reference", "published"),
    [
        ("cpi", "2025-08-01", "2025-09-11"),
        ("cpi", "2025-09-01", "2025-10-24"),
        ("employment", "2024-12-01", "2025-01-10"),
        ("employment", "2025-07-01", "2025-08-01"),
    ],
)
def test_never_before_what_the_publisher_states(name: str, reference: str, published: str) -> None:
    (instant,) = known_from(name, dt.date.fromisoformat(reference))
    assert instant.date() >= dt.date.fromisoformat(published)


@given(
    st.sampled_from(sorted(PUBLICATIONS)),
    st.lists(st.dates(dt.date(1947, 1, 1), dt.date(2030, 1, 1)), min_size=1, max_size=20),
)
def test_after_its_day_and_never_out_of_order(name: str, days: list[dt.date]) -> None:
    days = sorted(days)
    instants = known_from(name, *days)
    assert all(i.date() > day for i, day in zip(instants, days, strict=True))
    assert instants == sorted(instants)
    assert [known_from(name, day)[0] for day in days] == instants
