"""Checks and builds give the same results and rows on both warehouses."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from cbi_assets.checks import CheckContext, checks_run_by, run_checks
from cbi_assets.checks.built_checks import run_matrix
from cbi_assets.checks.point_in_time import run_point_in_time
from cbi_assets.checks.raw_checks import run_raw, run_rebuilds
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.report.read_lights import read_lights, reading_lights_ahead
from cbi_assets.session import Project, open_session
from cbi_assets.tables import CONTINUOUS, DAILY_ML_MATRIX, RAW, ROLL_CALENDAR, SESSIONS
from cbi_assets.verbs import build, check, load
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.helpers import NOW, load_once, open_warehouse, paste_all, query
from cbi_assets_tests.load.lines import LATER_JOB, put_condition, put_lines, record

pytestmark = pytest.mark.both_warehouses

HOURLY = RAW["1h"].id
MON, TUE = dt.date(2025, 1, 6), dt.date(2025, 1, 7)


@pytest.fixture
def bars(project: Project, drive: Path) -> Project:
    """A bar of ZL and ZS at 15:00 UTC of four trade dates."""
    hours = (0, 24, 48, 72)
    put_lines(drive, [record(n, symbol) for n in hours for symbol in ("ZL.v.0", "ZS.v.0")])
    put_condition(drive, LATER_JOB, ("2025-01-07", "degraded", None))
    load_once(project)
    return project


@pytest.fixture
def loaded(bars: Project) -> Project:
    """The same, and the matrix of them."""
    with open_session(bars, now=NOW) as session:
        build(session)
    return bars


ONE = "root = 'ZL' AND trade_date = DATE '2025-01-07'"
COPY = ", ".join(name for name in RAW["1h"].column_names if name != "trade_date")
SPOILS = {
    "row_count_matches_files": f"DELETE FROM `{HOURLY}` WHERE {ONE}",
    "no_duplicate_bars": f"INSERT INTO `{HOURLY}` (trade_date, {COPY}) "
    f"SELECT trade_date, {COPY} FROM `{HOURLY}` WHERE {ONE}",
    "source_is_databento": f"UPDATE `{HOURLY}` SET dataset = 'YAHOO' WHERE {ONE}",
    "ohlc_is_consistent": f"UPDATE `{HOURLY}` SET open = high + 1 WHERE {ONE}",
    "prices_are_on_tick": f"UPDATE `{HOURLY}` SET high = high + 0.005 WHERE {ONE}",
    "prices_are_plausible": f"UPDATE `{HOURLY}` SET close = 7.99 WHERE {ONE}",  # 12 before
    "schema_matches_timeframe": f"UPDATE `{HOURLY}` "
    f"SET ts_event = TIMESTAMP_ADD(ts_event, INTERVAL 1 MINUTE) WHERE {ONE}",
    "no_overlapping_loads_disagree": "INSERT INTO `ops.bar_conflicts` (load_id, timeframe, root, "
    "symbol, ts_event, source_file_id, record_no, published_file_id, version, published, loaded_at)"
    " SELECT 'L', '1h', 'ZL', 'ZL.v.0', ts_event, 'f', 1, 'g', "
    "STRUCT(1.0 AS open, 1.0 AS high, 1.0 AS low, 1.0 AS close, 1 AS volume, 1 AS instrument_id), "
    "STRUCT(1.0 AS open, 1.0 AS high, 1.0 AS low, 2.0 AS close, 1 AS volume, 1 AS instrument_id), "
    f"loaded_at FROM `{HOURLY}` WHERE {ONE}",
    "no_unexplained_gaps": f"UPDATE `{HOURLY}` SET trade_date = DATE '2025-01-10' "
    "WHERE root = 'ZL' AND trade_date = DATE '2025-01-09'",
    "coverage_is_uniform": f"DELETE FROM `{HOURLY}` "
    "WHERE root = 'ZS' AND trade_date > DATE '2025-01-07'",
    "bars_are_fresh": f"UPDATE `{HOURLY}` SET trade_date = DATE '2024-06-03' WHERE root = 'ZL'",
    "days_are_final": f"UPDATE `ops.loads` SET job_id = '{LATER_JOB}' WHERE root = 'ZL'",
    "one_row_per_trade_date": f"INSERT INTO `{DAILY_ML_MATRIX.id}` SELECT * FROM "
    f"`{DAILY_ML_MATRIX.id}` WHERE symbol = 'ZL' AND data_date = DATE '2025-01-07'",
    "prices_come_from_databento": f"UPDATE `{DAILY_ML_MATRIX.id}` SET source = STRUCT("
    "'yahoo' AS price_source, source.active_contract AS active_contract, "
    "source.roll_rule AS roll_rule, source.load_ids AS load_ids) WHERE symbol = 'ZL'",
    "matrix_is_point_in_time": f"UPDATE `{DAILY_ML_MATRIX.id}` SET regime_name = 'another' "
    "WHERE symbol = 'ZL' AND data_date = DATE '2025-01-06'",
    "minute_rebuilds_hourly": f"INSERT INTO `{RAW['1m'].id}` (trade_date, {COPY}) "
    f"SELECT trade_date, {COPY.replace('volume', 'volume + 1')} FROM `{HOURLY}` WHERE {ONE}",
    "regime_covers_every_row": f"UPDATE `{DAILY_ML_MATRIX.id}` SET regime_name = NULL "
    "WHERE symbol = 'ZL' AND data_date = DATE '2025-01-07'",
}


CHECKED = (
    *checks_run_by(run_raw, "1h"),
    *checks_run_by(run_rebuilds, "1h"),
    *checks_run_by(run_matrix),
    *checks_run_by(run_point_in_time),
)


@pytest.mark.full
def test_checks_pass_and_fail_on_corrupted_rows(loaded: Project) -> None:
    assert set(SPOILS) == {check.name for check in CHECKED}
    spoilable = (HOURLY, RAW["1m"].id, "ops.bar_conflicts", "ops.loads", DAILY_ML_MATRIX.id)
    with open_session(loaded, now=NOW) as session:
        warehouse = session.warehouse
        copies = {
            name: warehouse.stage_query(f"copy_{place}", f"SELECT * FROM `{name}`")
            for place, name in enumerate(spoilable)
        }

        def run(name: str = "") -> list[CheckResult]:
            checks = [check for check in CHECKED if name in ("", check.name)]
            return run_checks(CheckContext(session, ["ZL", "ZS"]), checks)

        # ZL's 1h bars are wanted from 2010 on, ZS's are not
        failed = {(result.name, result.root) for result in run() if not result.passed}
        assert failed == {("coverage_is_uniform", "ZL")}
        failing = []
        for name, spoil in SPOILS.items():
            warehouse.transact([Statement(spoil)])
            found = run(name)
            verdicts = {result.root: result.passed for result in found}
            assert verdicts == {"ZL": False, "ZS": name != "coverage_is_uniform"}, name
            assert all(result.sample for result in found if not result.passed), name
            failing += [result for result in found if not result.passed]
            table = spoil.split("`")[1]
            warehouse.transact(
                [
                    Statement(f"DELETE FROM `{table}` WHERE TRUE"),
                    Statement(f"INSERT INTO `{table}` SELECT * FROM `{copies[table]}`"),
                ]
            )
    # pasted once the tables are restored, the SQL of each finds nothing, except ZL's years, and the
    # day of a condition.json, which is no table
    still = {("coverage_is_uniform", "ZL"), ("days_are_final", "ZL")}
    for result, rows in zip(failing, paste_all(loaded, [r.sql for r in failing]), strict=True):
        if "offenders" in rows.columns:
            case = (result.name, result.root)
            assert any(rows["offenders"]) == (case in still), case


@pytest.mark.both_warehouses(quick=True)
def test_printed_sql_finds_in_the_table_what_checks_find_in_memory(bars: Project) -> None:
    with open_session(bars, now=NOW) as session:
        other = SPOILS["source_is_databento"].replace("2025-01-07", "2025-01-08")
        spoils = (SPOILS["row_count_matches_files"], SPOILS["days_are_final"], other)
        session.warehouse.transact(map(Statement, spoils))
        results = run_checks(CheckContext(session, ["ZL", "ZS"]), checks_run_by(run_raw, "1h"))
    failed = {(result.name, result.root) for result in results if not result.passed}
    # of four dates from the 6th one is gone; ZL's are wanted from 2010 on
    assert failed == {
        ("row_count_matches_files", "ZL"),
        ("source_is_databento", "ZL"),
        ("coverage_is_uniform", "ZL"),
        ("no_unexplained_gaps", "ZL"),
        ("days_are_final", "ZL"),
    }
    for result, rows in zip(results, paste_all(bars, [r.sql for r in results]), strict=True):
        assert any(rows["offenders"]) != result.passed, result.name


def test_lights_at_the_end_of_a_command_are_those_that_the_next_one_reads(
    project: Project, drive: Path
) -> None:
    put_lines(drive, [record(0), record(0, "ZS.v.0")])
    seen = []
    for verb in (load, build, check):
        with open_session(project, now=NOW) as session, reading_lights_ahead(session):
            seen.append(read_lights(session))
            verb(session)
            at_the_end = read_lights(session)
        with open_session(project, now=NOW) as session:
            assert read_lights(session) == at_the_end
    assert seen[0] != seen[1] != seen[2]  # a load and a build change them


@pytest.mark.full
def test_build_replaces_a_window_of_the_matrix(loaded: Project) -> None:
    def rows() -> pl.DataFrame:
        return query(loaded, f"SELECT * FROM `{DAILY_ML_MATRIX.id}`").sort("symbol", "data_date")

    first = rows()
    assert first.height == 8
    tuesday = first.row(1, named=True)
    assert (tuesday["symbol"], tuesday["data_date"]) == ("ZL", TUE)
    # every session is high 13, low 9, close 12: P = 34/3
    assert tuesday["pivots"]["P"] == 34 / 3
    assert tuesday["source"]["load_ids"]
    later = NOW + dt.timedelta(days=1)
    with open_session(loaded, now=later) as session:
        again = build(session)
    assert {item.spec.id: item.written + item.removed for item in again.replaced} == {
        spec.id: 0 for spec in (SESSIONS, ROLL_CALENDAR, CONTINUOUS, DAILY_ML_MATRIX)
    }
    assert again.sessions_built == 0
    with open_warehouse(loaded) as warehouse:
        spoilt = f"UPDATE `{DAILY_ML_MATRIX.id}` SET regime_name = 'none' WHERE TRUE"
        warehouse.transact([Statement(spoilt)])
    with open_session(loaded, now=later) as session:
        outcome = build(session, roots=("ZL",), start=TUE, end=TUE)
    assert outcome.rows == {"ZL": 1}
    written = rows().filter(pl.col("ingestion_ts") == later)
    assert written.drop("ingestion_ts").equals(first[1:2].drop("ingestion_ts"))
