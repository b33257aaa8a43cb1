"""A new day's golden zone is computed from what the last month carried, and equals a rebuild's."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path

import polars as pl
import pytest

from cbi_assets.build import session_rows
from cbi_assets.build.session_rows import HoursReader
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.market.session_bars import session_bars
from cbi_assets.session import Project, open_session
from cbi_assets.tables import BUILD_SLICES, DAILY_ML_MATRIX
from cbi_assets.verbs import build
from cbi_assets_tests.helpers import load_once, query, run_check
from cbi_assets_tests.load.lines import LATER_JOB, put_lines, record

NOW = dt.datetime(2025, 4, 1, tzinfo=dt.UTC)
FEBRUARY, MARCH = dt.date(2025, 2, 1), dt.date(2025, 3, 1)


def hours(first: int, last: int) -> list[str]:
    """Return four hours of each weekday, counted from Monday, 2025-01-06; prices go up and down by
    up to 1.25%."""
    lines = []
    for day in range(first, last):
        draw = random.Random(day)
        for hour in range(4 if day % 7 < 5 else 0):
            price = 4000 + draw.randint(-100, 100) * 0.25
            prices = {"open": price, "close": price, "high": price + 25, "low": price - 25}
            fields = {name: f"{value:.9f}" for name, value in prices.items()}
            fields["volume"] = str(draw.randint(1, 50))
            lines.append(record(day * 24 + hour, "MES.v.0", **fields))
    return lines


def zones(project: Project) -> pl.DataFrame:
    sql = f"SELECT symbol, data_date, golden_zone FROM `{DAILY_ML_MATRIX.id}`"
    return query(project, sql).sort("data_date")


def run(project: Project, whole: bool = False) -> int:
    """Build; return how many rows of the matrix were written and removed."""
    with open_session(project, now=NOW) as session:
        outcome = build(session, whole=whole)
    (matrix,) = (item for item in outcome.replaced if item.spec is DAILY_ML_MATRIX)
    return matrix.written + matrix.removed


def check(project: Project, *, full: bool = False) -> CheckResult:
    """Check the months that changed since they passed: is the matrix point in time?"""
    with open_session(project, now=NOW) as session:
        (result,) = run_check(session, "matrix_is_point_in_time", ["MES"], full=full)
    return result


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[dt.date]:
    """The trade dates whose hours were read for the golden zone."""
    dates: list[dt.date] = []
    read_hours = HoursReader.read

    def recorded(reader: HoursReader, wanted: pl.DataFrame) -> pl.DataFrame:
        dates.extend(wanted["trade_date"])
        return read_hours(reader, wanted)

    monkeypatch.setattr(HoursReader, "read", recorded)
    return dates


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[dt.date]:
    """The trade dates whose sessions were computed from their bars."""
    dates: list[dt.date] = []

    def recorded(bars: pl.DataFrame) -> pl.DataFrame:
        dates.extend(bars["trade_date"].unique())
        return session_bars(bars)

    monkeypatch.setattr(session_rows, "session_bars", recorded)
    return dates


def test_build_of_a_new_day_computes_the_zone_from_the_month_before_on(
    project: Project, drive: Path, read: list[dt.date], computed: list[dt.date]
) -> None:
    put_lines(drive, hours(0, 70))  # to 2025-03-14
    load_once(project, now=NOW)
    run(project)
    assert check(project).expected.startswith("none as of 2025-")
    months = query(project, f"SELECT * FROM `{BUILD_SLICES.id}`").filter(
        pl.col("state").is_not_null(), table_id=DAILY_ML_MATRIX.id
    )
    assert months["month"].sort().to_list() == [dt.date(2025, 1, 1), FEBRUARY, MARCH]
    put_lines(drive, hours(70, 71), job=LATER_JOB)  # Monday, 2025-03-17
    load_once(project, now=NOW)
    read.clear()
    assert run(project) == 1
    assert (min(read), max(read)) == (dt.date(2025, 3, 3), dt.date(2025, 3, 17))
    read.clear()
    assert check(project).passed
    assert min(read) == dt.date(2025, 3, 3)
    computed.clear()
    assert check(project, full=True).passed
    assert min(read) == dt.date(2025, 1, 6)
    assert len(computed) == len(set(computed)) > 0  # once, not once per as-of date
    resumed = zones(project)
    assert resumed["golden_zone"].struct["state"].n_unique() > 2
    read.clear()
    assert run(project, whole=True) == 0
    assert min(read) == dt.date(2025, 1, 6)
    assert zones(project).equals(resumed)


@pytest.mark.full
def test_zone_is_computed_from_the_first_session_if_the_matrix_lacks_a_row(
    project: Project, drive: Path
) -> None:
    put_lines(drive, hours(0, 70))
    load_once(project, now=NOW)
    run(project)
    expected = zones(project)
    with open_session(project, now=NOW) as session:
        connection = session.warehouse._connection  # type: ignore[attr-defined]
        connection.execute(f"DELETE FROM {DAILY_ML_MATRIX.id} WHERE data_date = '2025-02-03'")
    put_lines(drive, hours(70, 71), job=LATER_JOB)
    load_once(project, now=NOW)
    assert run(project) == 2  # the deleted row and the new one
    assert zones(project).filter(pl.col("data_date") < dt.date(2025, 3, 17)).equals(expected)
