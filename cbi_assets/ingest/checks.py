"""The checks: each a name, a sentence, a SQL text and a severity; run for many roots at once.

A check's SQL gives the offending rows, at most 20 a root, with `root` and `offenders` (how many
there are). A row with `offenders` 0 only tells what was found. `expected` and `actual` columns,
where a check has them, are what people read; else they are counts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from cbi_assets.market.bars import SECONDS, TIMEFRAMES, Timeframe
from cbi_assets.market.sessions import trade_dates
from cbi_assets.project import Project
from cbi_assets.warehouse.base import Params, Statement, Warehouse
from cbi_assets.warehouse.drift import differences
from cbi_assets.warehouse.sql_files import load_sql
from cbi_assets.warehouse.tables import ALL_TABLES, DAILY_ML_MATRIX, RAW, TableSpec

Severity = Literal["ERROR", "WARN"]

FRESH_TRADE_DATES = 5
"""Bars are fresh when the newest is of one of the last five trade dates that have closed."""


@dataclass(frozen=True)
class Check:
    """One check; its SQL is `sql/checks/<name>.sql`."""

    name: str
    sentence: str
    severity: Severity = "ERROR"


RAW_CHECKS = (
    Check("row_count_matches_files", "The table holds as many bars of each file as the books say."),
    Check("no_duplicate_bars", "No two bars share symbol and start."),
    Check("source_is_databento", "Every bar comes from a Databento file that the books know."),
    Check(
        "no_overlapping_loads_disagree",
        "Where files overlap, they agree on every bar; both versions are kept where they do not.",
    ),
    Check("ohlc_is_consistent", "Open and close lie between low and high; nothing is missing."),
    Check("schema_matches_timeframe", "Every bar starts on a whole bar of its table's timeframe."),
    Check(
        "coverage_is_uniform",
        "Each root covers the dates wanted of it, up to the newest date of the table.",
        "WARN",
    ),
    Check("no_unexplained_gaps", "No trade date is missing inside a series' range.", "WARN"),
    Check("bars_are_fresh", "The newest bar is of one of the last five trade dates.", "WARN"),
)
MATRIX_CHECKS = (
    Check("one_row_per_trade_date", "One row a root and trade date."),
    Check("prices_come_from_databento", "Every price comes from loaded Databento bars."),
    Check("regime_covers_every_row", "Every row lies in a regime."),
)
TABLE_CHECK = Check(
    "table_matches_its_spec",
    "The table has the columns, partitions and clusters it should have, and nothing in it expires.",
)


@dataclass(frozen=True)
class CheckResult:
    """A check's outcome on one root of one table. `sample` holds up to 20 of the offending rows,
    `offenders` counts them all."""

    check: Check
    table_id: str
    root: str
    timeframe: Timeframe | None
    passed: bool
    expected: str
    actual: str
    offenders: int
    sample: list[dict[str, Any]]
    sql: str

    @property
    def partition(self) -> str:
        """`ZL|1h`, or the bare root for a table without timeframes; empty for a whole table."""
        return f"{self.root}|{self.timeframe}" if self.timeframe else self.root

    @property
    def failed(self) -> bool:
        """Whether data fell short: an ERROR that did not hold."""
        return not self.passed and self.check.severity == "ERROR"


def check_raw(
    project: Project,
    warehouse: Warehouse,
    timeframe: Timeframe,
    roots: Sequence[str],
    as_of: dt.datetime,
    missing_days: Sequence[dt.date] = (),
    checks: Sequence[Check] = RAW_CHECKS,
    table: str | None = None,
) -> list[CheckResult]:
    """Run the raw-table checks on these roots. `as_of` is the clock, UTC; `table` another id."""
    names = {
        "table": table or RAW[timeframe].id,
        "wanted": warehouse.stage_frame("check_wanted", _wanted(project, timeframe, roots, as_of)),
        "days": warehouse.stage_frame("check_days", _days(project, roots, as_of, missing_days)),
    }
    params: Params = {
        "timeframe": timeframe,
        "seconds": SECONDS[timeframe],
        "roots": list(roots),
        "datasets": list(project.rules.datasets),
    }
    return _run(warehouse, checks, names, params, roots, timeframe)


def check_matrix(warehouse: Warehouse, roots: Sequence[str]) -> list[CheckResult]:
    """Run the matrix checks on these roots."""
    names = {"table": DAILY_ML_MATRIX.id}
    return _run(warehouse, MATRIX_CHECKS, names, {"roots": list(roots)}, roots, None)


def check_table(warehouse: Warehouse, spec: TableSpec) -> CheckResult:
    """Hold a live table against its spec."""
    live = warehouse.live_table(spec)
    faults = ["the table is missing"] if live is None else differences(spec, live)
    return CheckResult(
        check=TABLE_CHECK,
        table_id=spec.id,
        root="",
        timeframe=None,
        passed=not faults,
        expected="no difference",
        actual="; ".join(faults) or "none",
        offenders=len(faults),
        sample=[{"difference": fault} for fault in faults],
        sql=spec.create_statement(),
    )


def roots_held(warehouse: Warehouse, table_id: str, column: str = "root") -> dict[str, int]:
    """Rows held by root."""
    rows = warehouse.query(
        f"SELECT {column} AS root, COUNT(*) AS held FROM `{table_id}` GROUP BY {column}"
    )
    return dict(rows.sort("root").iter_rows())


def check_everything(
    project: Project,
    warehouse: Warehouse,
    as_of: dt.datetime,
    missing_days: Sequence[dt.date] = (),
) -> list[CheckResult]:
    """Run every check on every table and on everything that is held, and keep the results."""
    results = [check_table(warehouse, spec) for spec in ALL_TABLES]
    for timeframe in TIMEFRAMES:
        if roots := list(roots_held(warehouse, RAW[timeframe].id)):
            results += check_raw(project, warehouse, timeframe, roots, as_of, missing_days)
    if roots := list(roots_held(warehouse, DAILY_ML_MATRIX.id, "symbol")):
        results += check_matrix(warehouse, roots)
    keep_results(warehouse, results, as_of)
    return results


def keep_results(warehouse: Warehouse, results: Sequence[CheckResult], as_of: dt.datetime) -> None:
    """Enter the results into ops.check_results in place of earlier ones."""
    if not results:
        return
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


def _run(
    warehouse: Warehouse,
    checks: Sequence[Check],
    names: dict[str, str],
    params: Params,
    roots: Sequence[str],
    timeframe: Timeframe | None,
) -> list[CheckResult]:
    results = []
    for check in checks:
        sql = load_sql(f"checks/{check.name}", **names)
        found = warehouse.query(sql, params)
        by_root = {
            str(key[0]): part for key, part in found.partition_by("root", as_dict=True).items()
        }
        for root in roots:
            results.append(_judge(check, names["table"], root, timeframe, by_root.get(root), sql))
    return results


def _judge(
    check: Check,
    table_id: str,
    root: str,
    timeframe: Timeframe | None,
    rows: pl.DataFrame | None,
    sql: str,
) -> CheckResult:
    offenders = 0 if rows is None else int(rows["offenders"][0])
    expected, actual = "no offending row", f"{offenders} offending rows" if offenders else "none"
    sample: list[dict[str, Any]] = []
    if rows is not None:
        if "expected" in rows.columns:
            expected, actual = str(rows["expected"][0]), str(rows["actual"][0])
        if offenders:
            sample = rows.drop("offenders").to_dicts()
    return CheckResult(
        check=check,
        table_id=table_id,
        root=root,
        timeframe=timeframe,
        passed=offenders == 0,
        expected=expected,
        actual=actual,
        offenders=offenders,
        sample=sample,
        sql=sql,
    )


def _wanted(
    project: Project, timeframe: Timeframe, roots: Sequence[str], as_of: dt.datetime
) -> pl.DataFrame:
    rows = []
    for root in roots:
        spec = project.universe.roots.get(root)
        start = project.universe.wanted_from(root) if spec else project.universe.history_start
        calendar = spec.calendar if spec else None
        first = trade_dates(calendar, start, start + dt.timedelta(days=14))[0]
        closed = trade_dates(
            calendar, as_of.date() - dt.timedelta(days=30), as_of.date() - dt.timedelta(days=1)
        )
        is_wanted = spec is not None and timeframe in spec.timeframes
        rows.append((root, is_wanted, first, closed[-FRESH_TRADE_DATES]))
    schema = {
        "root": pl.String,
        "is_wanted": pl.Boolean,
        "first_date": pl.Date,
        "fresh_from": pl.Date,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _days(
    project: Project,
    roots: Sequence[str],
    as_of: dt.datetime,
    missing_days: Sequence[dt.date],
) -> pl.DataFrame:
    frames = []
    for root in roots:
        spec = project.universe.roots.get(root)
        gaps = set(project.sources.databento.known_gaps.get(root, ())) | set(missing_days)
        days = trade_dates(spec.calendar if spec else None, end=as_of.date())
        kept = [day for day in days if day not in gaps]
        frames.append(pl.DataFrame({"trade_date": kept}).with_columns(root=pl.lit(root)))
    return (
        pl.concat(frames)
        if frames
        else pl.DataFrame(schema={"trade_date": pl.Date, "root": pl.String})
    )
