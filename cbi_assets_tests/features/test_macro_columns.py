"""Macro values at each close, computed by hand, and without look-ahead."""

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
    """Return CPI at the closes; observations are (days after January 1, available_at, value)."""
    observed = observations(*(("cpi", JAN + dt.timedelta(days=d), a, v) for d, a, v in found))
    return macro_as_of(rows(*closes), observed, AGES)["cpi"].to_list()


def test_value_is_used_from_its_publication_time() -> None:
    closes = [at(4, 12), at(4, 13), at(5)]
    assert cpi(closes, (0, at(4, 13), 7.0)) == [None, 7.0, 7.0]


def test_value_of_the_latest_date_wins_over_a_late_revision() -> None:
    # day 3's value is available on day 4; a late revision of day 1, on day 6, changes nothing
    assert cpi([at(5), at(7)], (1, at(2), 1.0), (3, at(4), 3.0), (1, at(6), 1.5)) == [3.0, 3.0]


def test_last_vintage_of_a_date_wins() -> None:
    assert cpi([at(3), at(5)], (1, at(2), 1.0), (1, at(4), 1.1)) == [1.0, 1.1]


def test_latest_date_wins_among_values_published_together() -> None:
    # a week's rates are published together
    assert cpi([at(9)], (3, at(8), 3.0), (5, at(8), 5.0), (4, at(8), 4.0)) == [5.0]


@pytest.mark.parametrize(("day", "value"), [(10, 7.0), (11, None)])
def test_value_is_null_beyond_its_greatest_age(day: int, value: float | None) -> None:
    observed = observations(("vix", JAN, at(1), 7.0))
    found = macro_as_of(rows(at(day)), observed, AGES)
    assert found["vix"].to_list() == [value]


def test_every_series_is_null_without_observations() -> None:
    found = macro_as_of(rows(at(1)), observations(), AGES)
    assert found.to_dicts() == [
        {"root": "ZL", "trade_date": dt.date(2024, 1, 2), "cpi": None, "vix": None}
    ]
    assert found.schema["cpi"] == pl.Float64


def test_macro_rows_are_in_input_order() -> None:
    both = pl.concat([rows(at(5), root="ZS"), rows(at(3), root="ZL")])
    found = macro_as_of(both, observations(("cpi", JAN, at(4), 2.0)), AGES)
    assert found.select("root", "cpi").rows() == [("ZS", 2.0), ("ZL", None)]


def test_series_that_is_not_requested_is_left_out() -> None:
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


@pytest.mark.full
@given(ANY, st.integers(0, 40))
def test_macro_values_do_not_depend_on_later_publications(
    found: list[tuple[str, int, int, float]], cut: int
) -> None:
    observed = [(s, JAN + dt.timedelta(days=r), at(r + lag), v) for s, r, lag, v in found]
    closes = [at(day) for day in range(0, 40, 3) if day <= cut]
    known = [o for o in observed if o[2] <= at(cut)]
    full = macro_as_of(rows(*closes), observations(*observed), AGES)
    assert full.equals(macro_as_of(rows(*closes), observations(*known), AGES))


@pytest.mark.full
@given(ANY)
def test_macro_values_equal_a_search_for_each_close(
    found: list[tuple[str, int, int, float]],
) -> None:
    observed = [(s, JAN + dt.timedelta(days=r), at(r + lag), v) for s, r, lag, v in found]
    closes = [at(day) for day in range(0, 75, 4)]
    result = macro_as_of(rows(*closes), observations(*observed), AGES)
    for close, row in zip(closes, result.to_dicts(), strict=True):
        for series, age in AGES.items():
            known = [(r, a, v) for s, r, a, v in observed if s == series and a <= close]
            expected = None
            if known:
                reference, _, value = max(known, key=lambda o: (o[0], o[1]))
                expected = value if (close.date() - reference).days <= age else None
            assert row[series] == expected
