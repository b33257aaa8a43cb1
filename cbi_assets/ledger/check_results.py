"""Run every check there is, and keep the results where a build and a report find them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import polars as pl

from cbi_assets.checks.check import CheckResult
from cbi_assets.checks.matrix_checks import check_matrix, check_table
from cbi_assets.checks.point_in_time import check_point_in_time
from cbi_assets.checks.raw_checks import check_raw
from cbi_assets.checks.rebuilds import check_rebuilds
from cbi_assets.checks.roll_checks import check_rolls
from cbi_assets.checks.staging_checks import check_bridge, check_staging
from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.session import Session
from cbi_assets.tables import ALL_TABLES, DAILY_ML_MATRIX, RAW, ROLL_CALENDAR
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.warehouse.sql_files import load_sql


def seed_of(as_of: dt.datetime) -> int:
    """The seed of a day's random cuts: 20251121 on 2025-11-21."""
    return int(as_of.strftime("%Y%m%d"))


def roots_held(warehouse: Warehouse, table_id: str, column: str = "root") -> dict[str, int]:
    """Rows held by root."""
    rows = warehouse.query(
        f"SELECT {column} AS root, COUNT(*) AS held FROM `{table_id}` GROUP BY {column}"
    )
    return dict(rows.sort("root").iter_rows())


def check_everything(session: Session, missing_days: Sequence[dt.date] = ()) -> list[CheckResult]:
    """Run every check on every table and on everything that is held, and keep the results."""
    warehouse = session.warehouse
    results = [check_table(session, spec) for spec in ALL_TABLES]
    for timeframe in TIMEFRAMES:
        if roots := list(roots_held(warehouse, RAW[timeframe].id)):
            results += check_raw(session, timeframe, roots, missing_days)
            results += check_rebuilds(session, timeframe, roots)
    results += check_staging(session)
    results += check_bridge(session)
    if roots := list(roots_held(warehouse, ROLL_CALENDAR.id)):
        results += check_rolls(session, roots)
    if roots := list(roots_held(warehouse, DAILY_ML_MATRIX.id, "symbol")):
        results += check_matrix(session, roots)
        failed = {r.root for r in results if r.failed and r.timeframe}
        results += check_point_in_time(session, roots, seed_of(session.now), sorted(failed))
    keep_results(session, results)
    return results


def keep_results(session: Session, results: Sequence[CheckResult]) -> None:
    """Enter the results into ops.check_results in place of earlier ones, and how each of the checks
    stands now into ops.check_history."""
    if not results:
        return
    warehouse, as_of = session.warehouse, session.now
    frame = pl.DataFrame(
        [
            {
                "table_id": r.table_id,
                "check_name": r.check.name,
                "partition_key": r.partition,
                "passed": r.passed,
                "severity": r.check.severity,
                "expected": r.expected,
                "actual": r.actual,
                "checked_at": as_of,
            }
            for r in results
        ]
    )
    staged = warehouse.stage_frame("check_outcomes", frame)
    warehouse.transact(
        [
            Statement(load_sql("checks/forget_results", staged=staged)),
            Statement(load_sql("checks/keep_results", staged=staged)),
            Statement(load_sql("checks/forget_history", staged=staged), {"checked_at": as_of}),
            Statement(load_sql("checks/keep_history", staged=staged), {"checked_at": as_of}),
        ]
    )


def failed_upstream(warehouse: Warehouse, roots: Sequence[str]) -> dict[str, list[str]]:
    """Roots whose raw bars failed an ERROR check when last checked, with the checks' names."""
    rows = warehouse.query(load_sql("checks/failed_upstream"))
    failed: dict[str, list[str]] = {}
    for partition, name in rows.iter_rows():
        root = partition.partition("|")[0]
        if root in roots:
            failed.setdefault(root, []).append(f"{name} on {partition}")
    return failed
