"""The regime of a date: at the edges of the user's table, and if regimes overlap."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from cbi_assets.config.regimes import Regimes, load_regimes, parse_regimes
from cbi_assets.features.regime_columns import name_regimes


def regime_on(date: dt.date, regimes: Regimes | None = None) -> tuple[str | None, float | None]:
    rows = pl.DataFrame({"trade_date": [date]})
    (row,) = name_regimes(rows, regimes or load_regimes()).rows()
    assert row[0] == date
    return row[1], row[2]


@pytest.mark.parametrize(
    ("date", "name", "weight"),
    [
        ("1900-01-01", "baseline", 100.0),
        ("1997-12-31", "baseline", 100.0),
        ("1998-01-01", "tech_bubble_1998_2000", 50.0),
        ("2003-12-31", "commodity_emergence_2000_2003", 75.0),
        ("2004-01-01", "china_supercycle_2004_2007", 100.0),
        ("2010-06-07", "qe_commodity_boom_2010_2011", 150.0),
        ("2020-12-31", "covid_shock_2020", 350.0),
        ("2021-01-01", "covid_recovery_2021", 200.0),
        ("2021-06-30", "covid_recovery_2021", 200.0),
        ("2021-07-01", "inflation_surge_2021_2022", 400.0),
        ("2023-10-31", "disinflation_2023", 250.0),
        ("2023-11-01", "trump_anticipation_2024", 400.0),
        ("2025-01-19", "trump_anticipation_2024", 400.0),
        ("2025-01-20", "trump_second_term", 600.0),
        ("2029-01-20", "trump_second_term", 600.0),
        ("2029-01-21", "baseline", 100.0),
        ("2099-12-31", "baseline", 100.0),
        ("1899-12-31", None, None),
        ("2100-01-01", None, None),
    ],
)
def test_regime_is_the_users_on_that_date(
    date: str, name: str | None, weight: float | None
) -> None:
    assert regime_on(dt.date.fromisoformat(date)) == (name, weight)


OVERLAPPING = """
regimes:
  - {name: baseline, start_date: 2024-01-10, end_date: 2024-01-31, weight: 1}
  - {name: short, start_date: 2024-01-12, end_date: 2024-01-14, weight: 3}
  - {name: long, start_date: 2024-01-02, end_date: 2024-01-20, weight: 2}
"""


@pytest.mark.parametrize(
    ("day", "name"),
    [
        (1, None),
        (2, "long"),
        (11, "long"),  # the baseline starts later but comes last
        (12, "short"),
        (14, "short"),
        (15, "long"),
        (20, "long"),
        (21, "baseline"),
    ],
)
def test_later_starting_regime_wins_if_two_cover_a_date(day: int, name: str | None) -> None:
    assert regime_on(dt.date(2024, 1, day), parse_regimes(OVERLAPPING))[0] == name


def test_name_regimes_returns_one_row_per_date() -> None:
    days = [dt.date(2021, 1, 1), dt.date(2020, 12, 31), dt.date(2021, 1, 1)]
    named = name_regimes(pl.DataFrame({"trade_date": days}), load_regimes())
    assert named.rows() == [
        (dt.date(2020, 12, 31), "covid_shock_2020", 350.0),
        (dt.date(2021, 1, 1), "covid_recovery_2021", 200.0),
    ]
