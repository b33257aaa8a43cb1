"""Results of checks: what a check found, and the stored results that builds and reports read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import polars as pl

from cbi_assets.counted_steps import log_step
from cbi_assets.market.bars import Timeframe
from cbi_assets.session import Session
from cbi_assets.tables import CHECK_RESULTS
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.warehouse.merge import merge_rows
from cbi_assets.warehouse.sql_files import load_sql

Severity = Literal["ERROR", "WARN"]


@dataclass(frozen=True)
class CheckResult:
    """What one check found on one root of a table, or on a whole table (`root` is empty).

    `sample` contains up to 20 offending rows, `offenders` counts all of them, and `sql` selects
    them again when it is pasted into the warehouse's own tool.
    """

    name: str
    table_id: str
    severity: Severity
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
        """`ZL|1h`, or the root alone for a table without timeframes; empty for a whole table."""
        return f"{self.root}|{self.timeframe}" if self.timeframe else self.root

    @property
    def failed(self) -> bool:
        """Whether this is a failure of severity ERROR; a warning does not count."""
        return not self.passed and self.severity == "ERROR"

    @property
    def message(self) -> str:
        """The finding on one line: `ZL|1h: 2 duplicate bars, expected none`."""
        return f"{self.partition or self.table_id}: {self.actual}, expected {self.expected}"


def record_results(session: Session, results: Sequence[CheckResult]) -> None:
    """Replace earlier results in ops.check_results, and append to ops.check_history.

    The history gets one row per check and table: how many partitions it fails on now, including
    those that were checked earlier.
    """
    if not results:
        return
    log_step("recording the results of checks")
    frame = pl.DataFrame(
        [
            {
                "table_id": result.table_id,
                "check_name": result.name,
                "partition_key": result.partition,
                "passed": result.passed,
                "severity": result.severity,
                "expected": result.expected,
                "actual": result.actual,
                "checked_at": session.now,
                "sample": None if result.passed else json.dumps(result.sample, default=str),
                "sql": None if result.passed else result.sql,
            }
            for result in results
        ],
        schema=CHECK_RESULTS.polars_schema,
    )
    # without the texts, they are few enough bytes for a parameter
    keys = frame.select("table_id", "check_name", "partition_key")
    staged = session.warehouse.stage_frame("check_outcomes", frame)
    checked = session.warehouse.stage_frame("checks_done", keys)
    history = load_sql("checks/merge_history", staged=checked)
    session.warehouse.transact(
        [
            merge_rows(CHECK_RESULTS, staged),
            Statement(history, {"checked_at": session.now}),
        ]
    )


FAILED_UPSTREAM: Final = Statement(load_sql("checks/failed_upstream"))
"""What `failed_upstream` asks."""


def failed_upstream(
    warehouse: Warehouse, roots: Sequence[str], found: Iterable[CheckResult] = ()
) -> dict[str, list[str]]:
    """Return the roots whose raw bars failed an ERROR check when last checked.

    Each with its failures, for example `ohlc_is_consistent on ZL|1h`. `found` are later results,
    not recorded yet.
    """
    stored = dict.fromkeys(warehouse.query(FAILED_UPSTREAM.sql).iter_rows(), True)
    raw = [result for result in found if result.timeframe is not None]
    now = {(result.partition, result.name): result.failed for result in raw}
    failed: dict[str, list[str]] = {}
    for partition, name in sorted(key for key, is_failed in (stored | now).items() if is_failed):
        root = partition.partition("|")[0]
        if root in roots:
            failed.setdefault(root, []).append(f"{name} on {partition}")
    return failed
