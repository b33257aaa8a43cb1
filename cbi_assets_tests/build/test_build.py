"""`cbi build` writes the matrix; again, it writes the same, and a window only its own rows."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from cbi_assets import verbs
from cbi_assets.build.build import BuildOutcome
from cbi_assets.config.regimes import parse_regimes
from cbi_assets.session import Project, open_session
from cbi_assets.tables import DAILY_ML_MATRIX
from cbi_assets.verbs import build
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.helpers import NOW, load_once, open_warehouse, query
from cbi_assets_tests.load.lines import put_lines, record

MON, TUE, WED, THU = (dt.date(2025, 1, day) for day in (6, 7, 8, 9))
LATER = NOW + dt.timedelta(days=1)


def run(project: Project, now: dt.datetime = NOW, **options: object) -> BuildOutcome:
    with open_session(project, now=now) as session:
        return build(session, **options)  # type: ignore[arg-type]


def matrix(project: Project) -> pl.DataFrame:
    return query(project, f"SELECT * FROM `{DAILY_ML_MATRIX.id}`").sort("symbol", "data_date")


@pytest.fixture(autouse=True)
def _loaded(project: Project, drive: Path) -> None:
    """Load a bar of ZL and of ZS at 15:00 UTC on each of four trade dates."""
    hours = (0, 24, 48, 72)
    put_lines(drive, [record(n, symbol) for n in hours for symbol in ("ZL.v.0", "ZS.v.0")])
    load_once(project)


@pytest.mark.full
def test_build_writes_one_row_per_trade_date(project: Project) -> None:
    outcome = run(project)
    assert outcome.rows == {"ZL": 4, "ZS": 4}
    assert (outcome.first, outcome.last) == (MON, THU)
    assert matrix(project).columns == list(DAILY_ML_MATRIX.column_names)
    row = matrix(project).row(1, named=True)
    assert (row["symbol"], row["data_date"]) == ("ZL", TUE)
    assert row["pivots"]["P"] == (13 + 9 + 12) / 3  # the prior session's high, low, close
    assert row["market_data"]["volume"] == 5


def test_second_build_writes_the_same_rows(project: Project) -> None:
    run(project)
    before = matrix(project)
    run(project, LATER)
    assert matrix(project).equals(before)


def corrupt(project: Project) -> None:
    """Change every row of the matrix, so that a build replaces those it covers."""
    with open_warehouse(project) as warehouse:
        sql = f"UPDATE `{DAILY_ML_MATRIX.id}` SET regime_name = 'none' WHERE TRUE"
        warehouse.transact([Statement(sql)])


def was_rewritten(project: Project, root: str) -> dict[dt.date, bool]:
    """Return for each date of a root whether the later build wrote its row."""
    rows = matrix(project).filter(pl.col("symbol") == root)
    return {row["data_date"]: row["ingestion_ts"] == LATER for row in rows.to_dicts()}


@pytest.mark.full
@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("start", "end", "replaced"),
    [
        (TUE, WED, [TUE, WED]),
        (WED, None, [WED, THU]),
        (None, MON, [MON]),
        (dt.date(2025, 2, 1), None, []),
    ],
)
def test_build_replaces_only_the_rows_of_its_window(
    project: Project, start: dt.date | None, end: dt.date | None, replaced: list[dt.date]
) -> None:
    run(project)
    before = matrix(project).drop("ingestion_ts")
    corrupt(project)
    run(project, LATER, start=start, end=end)
    expected = {day: day in replaced for day in (MON, TUE, WED, THU)}
    assert was_rewritten(project, "ZL") == was_rewritten(project, "ZS") == expected
    # the window's first rows depend on sessions before it
    in_window = pl.col("data_date").is_in(replaced)
    assert matrix(project).drop("ingestion_ts").filter(in_window).equals(before.filter(in_window))


@pytest.mark.full
def test_build_replaces_only_the_rows_of_its_roots(project: Project) -> None:
    run(project)
    corrupt(project)
    outcome = run(project, LATER, roots=("ZS",), whole=True)
    assert outcome.rows == {"ZS": 4}
    assert set(was_rewritten(project, "ZL").values()) == {False}
    assert set(was_rewritten(project, "ZS").values()) == {True}


@pytest.fixture
def _meal_loaded(project: Project, drive: Path) -> None:
    """Load a bar of ZM on each of the four trade dates, too."""
    put_lines(drive, [record(n, "ZM.v.0") for n in (0, 24, 48, 72)], "meal.json")
    load_once(project)


def board_crush(project: Project) -> list[float | None]:
    rows = matrix(project).filter(pl.col("symbol") == "ZL")
    return rows["crush"].struct["board_crush"].to_list()


@pytest.mark.full
@pytest.mark.usefixtures("_meal_loaded")
def test_build_of_zl_computes_its_crush_and_writes_no_other_root(project: Project) -> None:
    outcome = run(project, roots=("ZL",))
    assert outcome.rows == {"ZL": 4}
    assert set(matrix(project)["symbol"]) == {"ZL"}
    # every close is 12
    assert board_crush(project) == [pytest.approx(2.2 * 12 + 11 * 12 - 12)] * 4


@pytest.mark.full
@pytest.mark.usefixtures("_meal_loaded")
def test_build_of_zl_writes_the_same_rows_as_a_build_of_all_roots(project: Project) -> None:
    run(project)
    all_roots = matrix(project).filter(pl.col("symbol") == "ZL")
    run(project, roots=("ZL",))
    assert matrix(project).filter(pl.col("symbol") == "ZL").equals(all_roots)


@pytest.mark.full
@pytest.mark.usefixtures("_meal_loaded")
@pytest.mark.parametrize("roots", [(), ("ZL",)])
def test_crush_is_null_if_the_bars_of_a_leg_failed_a_check(
    project: Project, roots: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    invalid = "UPDATE `market_data.databento_futures_ohlcv_1h` SET volume = -1 WHERE root = 'ZM'"
    with open_session(project, now=NOW) as session:
        warehouse = session.warehouse
        warehouse.transact([Statement(invalid)])
        verbs.check(session, full=True)
    outcome = run(project, roots=roots)
    assert outcome.rows["ZL"] == 4
    assert ("ZM" in outcome.skipped) == (not roots)
    assert board_crush(project) == [None] * 4
    assert "features that need ZM stay empty: its bars failed a check" in caplog.messages


@pytest.mark.full
def test_build_of_zl_writes_nothing_if_only_other_roots_have_bars(project: Project) -> None:
    with open_warehouse(project) as warehouse:
        deletion = "DELETE FROM `market_data.databento_futures_ohlcv_1h` WHERE root = 'ZL'"
        warehouse.transact([Statement(deletion)])
    assert run(project, roots=("ZL",)).rows == {}
    assert matrix(project).is_empty()


@pytest.mark.full
def test_rows_get_the_projects_regimes_and_a_check_fails_on_those_without(project: Project) -> None:
    run(project)
    assert set(matrix(project)["regime_name"]) == {"trump_anticipation_2024"}  # to 2025-01-19
    text = "regimes: [{name: mine, start_date: 2025-01-07, end_date: 2025-01-31, weight: 2}]"
    outcome = run(replace(project, regimes=parse_regimes(text)))
    assert outcome.has_failures
    failed = {(result.name, result.root) for result in outcome.checks if not result.passed}
    assert failed == {("regime_covers_every_row", root) for root in ("ZL", "ZS")}
    assert matrix(project)["regime_name"].to_list() == [None, "mine", "mine", "mine"] * 2


@pytest.mark.full
def test_build_removes_rows_of_dates_without_bars(project: Project) -> None:
    run(project)
    with open_warehouse(project) as warehouse:
        deletion = (
            "DELETE FROM `market_data.databento_futures_ohlcv_1h` WHERE trade_date > '2025-01-07'"
        )
        warehouse.transact([Statement(deletion)])
    run(project, LATER, whole=True)
    assert set(matrix(project)["data_date"]) == {MON, TUE}


@pytest.mark.full
def test_build_removes_all_rows_if_no_bars_are_left(project: Project) -> None:
    run(project)
    with open_warehouse(project) as warehouse:
        deletion = "DELETE FROM `market_data.databento_futures_ohlcv_1h` WHERE TRUE"
        warehouse.transact([Statement(deletion)])
    run(project, LATER, whole=True)
    assert matrix(project).is_empty()


@pytest.mark.full
def test_build_writes_nothing_in_an_empty_home(make_project: object) -> None:
    empty = make_project("empty")  # type: ignore[operator]
    outcome = run(empty)
    assert outcome.rows == {}
    assert not outcome.has_failures
