"""Macro values at each close, by hand; and none that was published later."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbi_assets.features.macro_columns import macro_as_of

AGES = {"cpi": 60, "vix": 10}
JAN = dt.date(2024, 1, 1)
Observation = tuple[str, dt.date, dt.datetime, float]


def at(day: int, hour: int = 12) -> dt.datetime:
    return dt.datetime(2024, 1, 1, hour, tzinfo=dt.UTC) + dt.timedelta(days=day)


def observations(*found: Observation) -> pl.DataFrame:
    schema = {
        "series_id": pl.String,
        "reference_date": pl.Date,
        "available_at": pl.Datetime("us", "UTC"),
        "value": pl.Float64,
    }
    return pl.DataFrame(list(found), schema=schema, orient="row")


def rows(*closes: dt.datetime, root: str = "ZL") -> pl.DataFrame:
    schema = {
        "root": pl.String,
        "trade_date": pl.Date,
        "timestamp": pl.Datetime("us", "UTC"),
    }
    return pl.DataFrame([(root, c.date(), c) for c in closes], schema=schema, orient="row")


def cpi(closes: list[dt.datetime], *found: tuple[int, dt.datetime, float]) -> list[Any]:
    """CPI at the closes; observations as (day of January described, available_at, value)."""
    held = observations(*(("cpi", JAN + dt.timedelta(days=d), a, v) for d, a, v in found))
    return macro_as_of(rows(*closes), held, AGES)["cpi"].to_list()


def test_a_value_counts_from_the_instant_of_its_publication() -> None:
    closes = [at(4, 12), at(4, 13), at(5)]
    assert cpi(closes, (0, at(4, 13), 7.0)) == [None, 7.0, 7.0]


def test_the_latest_date_stands_not_the_latest_publication() -> None:
    # day 3's value is out on day 4; a late revision of day 1, out on day 6, changes nothing
    assert cpi([at(5), at(7)], (1, at(2), 1.0), (3, at(4), 3.0), (1, at(6), 1.5)) == [3.0, 3.0]


def test_the_last_vintage_of_a_date_stands() -> None:
    assert cpi([at(3), at(5)], (1, at(2), 1.0), (1, at(4), 1.1)) == [1.0, 1.1]


def test_of_values_published_at_once_the_latest_date_stands() -> None:
    # a week's rates come out together
    assert cpi([at(9)], (3, at(8), 3.0), (5, at(8), 5.0), (4, at(8), 4.0)) == [5.0]


@pytest.mark.parametrize(("day", "value"), [(10, 7.0), (11, None)])
def test_an_old_value_is_none(day: int, value: float | None) -> None:
    held = observations(("vix", JAN, at(1), 7.0))
    found = macro_as_of(rows(at(day)), held, AGES)
    assert found["vix"].to_list() == [value]


def test_without_observations_every_field_is_null() -> None:
    found = macro_as_of(rows(at(1)), observations(), AGES)
    assert found.to_dicts() == [
        {"root": "ZL", "trade_date": dt.date(2024, 1, 2), "cpi": None, "vix": None}
    ]
    assert found.schema["cpi"] == pl.Float64


def test_rows_keep_their_order_and_their_roots() -> None:
    both = pl.concat([rows(at(5), root="ZS"), rows(at(3), root="ZL")])
    found = macro_as_of(both, observations(("cpi", JAN, at(4), 2.0)), AGES)
    assert found.select("root", "cpi").rows() == [("ZS", 2.0), ("ZL", None)]


def test_a_series_that_nobody_asked_for_is_left_out() -> None:
    found = macro_as_of(rows(at(5)), observations(("other", JAN, at(1), 9.0)), AGES)
    assert found.columns == ["root", "trade_date", "cpi", "vix"]


ANY = st.lists(
    st.tuples(
        st.sampled_from(["cpi", "vix"]),
        st.integers(0, 30),
        st.integers(0, 40),
        st.floats(-5, 5),
    ),
    max_size=30,
    unique_by=lambda o: (o[0], o[1], o[2]),
)


@given(ANY, st.integers(0, 40))
def test_nothing_depends_on_what_came_out_later(
    found: list[tuple[str, int, int, float]], cut: int
) -> None:
    held = [(s, JAN + dt.timedelta(days=r), at(r + lag), v) for s, r, lag, v in found]
    closes = [at(day) for day in range(0, 40, 3) if day <= cut]
    known = [o for o in held if o[2] <= at(cut)]
    whole = macro_as_of(rows(*closes), observations(*held), AGES)
    assert whole.equals(macro_as_of(rows(*closes), observations(*known), AGES))


@given(ANY)
def test_the_same_as_looking_at_each_close_by_itself(
    found: list[tuple[str, int, int, float]],
) -> None:
    held = [(s, JAN + dt.timedelta(days=r), at(r + lag), v) for s, r, lag, v in found]
    closes = [at(day) for day in range(0, 75, 4)]
    told = macro_as_of(rows(*closes), observations(*held), AGES)
    for close, row in zip(closes, told.to_dicts(), strict=True):
        for series, age in AGES.items():
            known = [(r, a, v) for s, r, a, v in held if s == series and a <= close]
            want = None
            if known:
                reference, _, value = max(known, key=lambda o: (o[0], o[1]))
                want = value if (close.date() - reference).days <= age else None
            assert row[series] == want
