"""One morning of the simulated year in `make test`, and four quarters in `make test-full`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from cbi_assets_tests.soak.outcome import assert_all_is_well
from cbi_assets_tests.soak.year import Year, begin_year, live_through


@pytest.mark.full
def test_morning_with_a_copy_that_stops_halfway_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with begin_year(tmp_path, seed=1) as year:
        year.morning(Year.copy_stops_halfway)
        assert_all_is_well(year)


@pytest.mark.starts_first
@pytest.mark.full
@pytest.mark.parametrize("month", [1, 4, 7, 10])
def test_quarter_of_mornings_with_troubles_loses_and_doubles_nothing(
    tmp_path: Path, month: int
) -> None:
    with begin_year(tmp_path, seed=month, start=dt.date(2025, month, 2)) as year:
        live_through(year, 65)
        assert_all_is_well(year)
