"""`cbi build` fills the table, the same however often; a window replaces itself alone."""

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
    """A bar of ZL and ZS at 15:00 UTC of four trade dates."""
    hours = (0, 24, 48, 72)
    put_lines(drive, [record(n, symbol) for n in hours for symbol in ("ZL.v.0", "ZS.v.0")])
    load_once(project)


def test_a_build_writes_a_row_a_trade_date(project: Project) -> None:
    outcome = run(project)
    assert outcome.rows == {"ZL": 4, "ZS": 4}
    assert (outcome.first, outcome.last) == (MON, THU)
    assert matrix(project).columns == list(DAILY_ML_MATRIX.column_names)
    # every session is high 13, low 9, close 12: P = 34/3
    row = matrix(project).row(1, named=True)
    assert (row["symbol"], row["data_date"]) == ("ZL", TUE)
    assert row["pivots"]["P"] == 34 / 3
    assert row["market_data"]["volume"] == 5


def test_a_second_build_writes_the_same(project: Project) -> None:
    run(project)
    before = matrix(project)
    run(project, LATER)
    assert matrix(project).equals(before)


def spoil(project: Project) -> None:
    """Rows that a build would not have written."""
    with open_warehouse(project) as warehouse:
        sql = f"UPDATE `{DAILY_ML_MATRIX.id}` SET regime_name = 'none' WHERE TRUE"
        warehouse.transact([Statement(sql)])


def written(project: Project, root: str) -> dict[dt.date, bool]:
    """Each date of a root, and whether the later build wrote it."""
    rows = matrix(project).filter(pl.col("symbol") == root)
    return {row["data_date"]: row["ingestion_ts"] == LATER for row in rows.to_dicts()}


@pytest.mark.parametrize(
    ("start", "end", "replaced"),
    [
        (TUE, WED, [TUE, WED]),
        (WED, None, [WED, THU]),
        (None, MON, [MON]),
        (dt.date(2025, 2, 1), None, []),
    ],
)
def test_a_window_replaces_itself_alone(
    project: Project, start: dt.date | None, end: dt.date | None, replaced: list[dt.date]
) -> None:
    run(project)
    whole = matrix(project).drop("ingestion_ts")
    spoil(project)
    run(project, LATER, start=start, end=end)
    expected = {day: day in replaced for day in (MON, TUE, WED, THU)}
    assert written(project, "ZL") == written(project, "ZS") == expected
    # the rows at its start know what came before the window
    mended = pl.col("data_date").is_in(replaced)
    assert matrix(project).drop("ingestion_ts").filter(mended).equals(whole.filter(mended))


def test_a_root_is_built_alone(project: Project) -> None:
    run(project)
    spoil(project)
    outcome = run(project, LATER, roots=("ZS",))
    assert outcome.rows == {"ZS": 4}
    assert set(written(project, "ZL").values()) == {False}
    assert set(written(project, "ZS").values()) == {True}


@pytest.fixture
def meal(project: Project, drive: Path) -> None:
    """A bar of ZM on each of the four trade dates, too."""
    put_lines(drive, [record(n, "ZM.v.0") for n in (0, 24, 48, 72)], "meal.json")
    load_once(project)


def crushes(project: Project) -> list[float | None]:
    rows = matrix(project).filter(pl.col("symbol") == "ZL")
    return rows["crush"].struct["board_crush"].to_list()


@pytest.mark.usefixtures("meal")
def test_soybean_oil_built_alone_has_its_crush_and_no_other_row(project: Project) -> None:
    outcome = run(project, roots=("ZL",))
    assert outcome.rows == {"ZL": 4}
    assert set(matrix(project)["symbol"]) == {"ZL"}
    # every close is 12: 2.2·12 + 11·12 − 12 = 26.4 + 132 − 12
    assert crushes(project) == [pytest.approx(146.4)] * 4


@pytest.mark.usefixtures("meal")
def test_soybean_oil_has_the_same_row_alone_and_beside_the_others(project: Project) -> None:
    run(project)
    whole = matrix(project).filter(pl.col("symbol") == "ZL")
    run(project, roots=("ZL",))
    assert matrix(project).filter(pl.col("symbol") == "ZL").equals(whole)


@pytest.mark.usefixtures("meal")
@pytest.mark.parametrize("roots", [(), ("ZL",)])
def test_no_crush_rests_on_bars_that_failed_a_check(
    project: Project, roots: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    spoilt = "UPDATE `market_data.databento_futures_ohlcv_1h` SET volume = -1 WHERE root = 'ZM'"
    with open_session(project, now=NOW) as session:
        warehouse = session.warehouse
        warehouse.transact([Statement(spoilt)])
        verbs.check(session)
    outcome = run(project, roots=roots)
    assert outcome.rows["ZL"] == 4
    assert ("ZM" in outcome.skipped) == (not roots)
    assert crushes(project) == [None] * 4
    assert "ZL's crush stays empty: the bars of ZM failed a check" in caplog.messages


def test_only_bars_of_a_leg_write_nothing(project: Project) -> None:
    with open_warehouse(project) as warehouse:
        gone = "DELETE FROM `market_data.databento_futures_ohlcv_1h` WHERE root = 'ZL'"
        warehouse.transact([Statement(gone)])
    assert run(project, roots=("ZL",)).rows == {}
    assert matrix(project).is_empty()


def test_the_projects_regimes_name_the_rows(project: Project) -> None:
    run(project)
    # the test's dates lie in January 2025, before the 20th
    assert set(matrix(project)["regime_name"]) == {"trump_anticipation_2024"}
    text = "regimes: [{name: mine, start_date: 2025-01-07, end_date: 2025-01-31, weight: 2}]"
    outcome = run(replace(project, regimes=parse_regimes(text)))
    assert outcome.has_failures
    failed = {(result.name, result.root) for result in outcome.checks if not result.passed}
    assert failed == {("regime_covers_every_row", root) for root in ("ZL", "ZS")}
    assert matrix(project)["regime_name"].to_list() == [None, "mine", "mine", "mine"] * 2


def test_rows_of_dates_that_are_gone_leave(project: Project) -> None:
    run(project)
    with open_warehouse(project) as warehouse:
        gone = (
            "DELETE FROM `market_data.databento_futures_ohlcv_1h` WHERE trade_date > '2025-01-07'"
        )
        warehouse.transact([Statement(gone)])
    run(project, LATER)
    assert set(matrix(project)["data_date"]) == {MON, TUE}


def test_rows_leave_when_no_bar_is_left(project: Project) -> None:
    run(project)
    with open_warehouse(project) as warehouse:
        gone = "DELETE FROM `market_data.databento_futures_ohlcv_1h` WHERE TRUE"
        warehouse.transact([Statement(gone)])
    run(project, LATER)
    assert matrix(project).is_empty()


def test_an_empty_home_builds_nothing(make_project: object) -> None:
    empty = make_project("empty")  # type: ignore[operator]
    outcome = run(empty)
    assert outcome.rows == {}
    assert not outcome.has_failures
