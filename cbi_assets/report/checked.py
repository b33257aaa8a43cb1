"""Every check with its last result, and how the checks stood over time."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping
from itertools import groupby
from typing import Any, Final

import polars as pl

from cbi_assets.checks import (
    BRIDGE_CHECKS,
    MATRIX_CHECKS,
    POINT_IN_TIME,
    RAW_CHECKS,
    REBUILD_CHECKS,
    ROLL_CHECKS,
    STAGING_CHECKS,
    TABLE_CHECK,
)
from cbi_assets.checks import Check as Written
from cbi_assets.report.facts import Check, CheckState, Moment, Offender
from cbi_assets.tables import (
    ALL_TABLES,
    DAILY_ML_MATRIX,
    MACRO_OBSERVATIONS,
    RAW,
    ROLL_CALENDAR,
    YAHOO_BRIDGE,
)

WRITTEN: Final[tuple[tuple[str, Written], ...]] = (
    *((spec.id, check) for spec in RAW.values() for check in RAW_CHECKS),
    *((RAW[timeframe].id, check) for timeframe, check in REBUILD_CHECKS.items()),
    *((MACRO_OBSERVATIONS.id, check) for check in STAGING_CHECKS),
    *((YAHOO_BRIDGE.id, check) for check in BRIDGE_CHECKS),
    *((ROLL_CALENDAR.id, check) for check in ROLL_CHECKS),
    *((DAILY_ML_MATRIX.id, check) for check in (*MATRIX_CHECKS, POINT_IN_TIME)),
    *((spec.id, TABLE_CHECK) for spec in ALL_TABLES),
)
"""Every check, with the table that it is of."""

_STATES: Final[dict[str, CheckState]] = {"ERROR": "fails", "WARN": "warns"}
MOMENTS: Final = 60
"""How many runs of checks the audit goes back."""


def checks_of(results: pl.DataFrame, loaded: Mapping[str, dt.datetime]) -> tuple[Check, ...]:
    """Every check there is, and every other that has a result. `results` is ops.check_results;
    `loaded` is when something was last loaded behind a table."""
    by_check: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in results.sort("table_id", "check_name", "partition_key").iter_rows(named=True):
        by_check[row["table_id"], row["check_name"]].append(row)
    known = {(table, check.name): check for table, check in WRITTEN}
    return tuple(
        _check(table, name, known.get((table, name)), by_check.get((table, name), []), loaded)
        for table, name in dict.fromkeys([*known, *by_check])
    )


def _check(
    table: str,
    name: str,
    written: Written | None,
    rows: list[dict[str, Any]],
    loaded: Mapping[str, dt.datetime],
) -> Check:
    bad = [row for row in rows if not row["passed"]]
    severity = written.severity if written else str(rows[0]["severity"])
    state: CheckState = "not run" if not rows else _STATES[severity] if bad else "holds"
    checked_at = min((row["checked_at"] for row in rows), default=None)
    return Check(
        table=table,
        name=name,
        sentence=written.sentence if written else "",
        severity=severity,
        state=state,
        partitions=len(rows),
        failed=len(bad),
        checked_at=checked_at,
        stale=checked_at is not None and checked_at < loaded.get(table, checked_at),
        offenders=tuple(
            Offender(row["partition_key"], row["expected"], row["actual"]) for row in bad
        ),
    )


def history_of(history: pl.DataFrame) -> tuple[Moment, ...]:
    """How all checks stood after each of the last MOMENTS runs; `history` is ops.check_history in
    the order of time."""
    standing: dict[tuple[str, str], tuple[str, int, int]] = {}
    moments = []
    for at, rows in groupby(history.iter_rows(named=True), key=lambda row: row["checked_at"]):
        for row in rows:
            key = (row["table_id"], row["check_name"])
            standing[key] = (row["severity"], row["partitions"], row["failed"])
        moments.append(
            Moment(
                at,
                failed=sum(bad for severity, _, bad in standing.values() if severity == "ERROR"),
                warned=sum(bad for severity, _, bad in standing.values() if severity == "WARN"),
                partitions=sum(count for _, count, _ in standing.values()),
            )
        )
    return tuple(moments[-MOMENTS:])
