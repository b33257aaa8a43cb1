"""A check: one rule on one table, and how a group of a table's checks is run.

A check's SQL returns its offending rows, at most 20 per root, with the columns `root` and
`offenders` (how many there are in all). It may also return `compared` (how many rows it looked at)
or its own texts `expected` and `actual`; a row with `offenders` 0 only carries these.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from typing import Any, Final

import polars as pl
import sqlglot

from cbi_assets.checks.inline_sql import staged_name
from cbi_assets.checks.slices import Slice, SliceKey, store_slices
from cbi_assets.counted_steps import log_steps
from cbi_assets.formatting import plural
from cbi_assets.ledger.check_results import CheckResult, Severity
from cbi_assets.market.bars import Timeframe
from cbi_assets.session import Session
from cbi_assets.tables import TableSpec
from cbi_assets.warehouse.base import Params, Statement, Warehouse
from cbi_assets.warehouse.row_counts import rows_by_root
from cbi_assets.warehouse.sql_files import load_sql

_COMMENT: Final = re.compile(r"--[^\n]*")


@dataclass(frozen=True)
class CheckContext:
    """What to run checks on.

    Parameters
    ----------
    session : Session
        The warehouse, and the time that freshness is measured at.
    roots : sequence of str, optional
        The roots to check (default: every root in the table). Checks of a whole table ignore it.
    missing_days : sequence of date, optional
        Trade dates that the vendor has no data for (default: those of the jobs on the drive).
    scratch : str, optional
        Id of a staged table to check in place of the published one.
    full : bool
        Whether to check again what has not changed since it was checked.
    results : list of CheckResult
        What the checks of this context have found so far.
    memo : dict
        What several checks of this context read, by what it is.
    unstored : dict
        Slices that were checked, and keys of slices that are gone, by table; `run_checks` stores
        them.
    """

    session: Session
    roots: Sequence[str] | None = None
    missing_days: Sequence[dt.date] | None = None
    scratch: str | None = None
    full: bool = True
    results: list[CheckResult] = field(default_factory=list, compare=False, repr=False)
    memo: dict[tuple[object, ...], Any] = field(default_factory=dict, compare=False, repr=False)
    unstored: dict[str, tuple[list[Slice], list[SliceKey]]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def once[Value](self, key: tuple[object, ...], read: Callable[[], Value]) -> Value:
        """Return what `read` returns; it is called once per key."""
        if key not in self.memo:
            self.memo[key] = read()
        found: Value = self.memo[key]
        return found

    def store(self, table_id: str, slices: Iterable[Slice], gone: Iterable[SliceKey] = ()) -> None:
        """Keep what was found in slices, so that they are not checked until they change."""
        if self.scratch is None:
            checked, removed = self.unstored.setdefault(table_id, ([], []))
            checked += slices
            removed += gone

    def table_id(self, table: TableSpec) -> str:
        """Return the id to query for a table."""
        return self.scratch or table.id

    def roots_in(self, table: TableSpec) -> list[str]:
        """Return the roots to check in a table."""
        if self.roots is not None:
            return list(self.roots)
        warehouse = self.session.warehouse
        return list(self.once(("rows", table.id), lambda: rows_by_root(warehouse, table)))


@dataclass(frozen=True)
class Check:
    """One rule on one table.

    Parameters
    ----------
    name : str
        The name under which it is listed and stored, unique within its table.
    table : TableSpec
        The table.
    sentence : str
        The rule, as shown where the check is listed.
    noun : str
        What one offender is, in the singular: "duplicate bar".
    run : Runner
        Runs this check together with others of its table.
    severity : "ERROR" or "WARN"
        An ERROR blocks what is built from the table.
    timeframe : Timeframe, optional
        The timeframe of a raw table, which is checked by root and timeframe.
    in_canary : bool
        Whether the first file of an empty table must pass it before anything is published; only
        for checks that need neither the ledger nor other files' bars.
    of_build : bool
        Whether it checks what the build writes about the table: no build may wait for it.
    """

    name: str
    table: TableSpec
    sentence: str
    noun: str
    run: Runner
    severity: Severity = "ERROR"
    timeframe: Timeframe | None = None
    in_canary: bool = False
    of_build: bool = False

    def result(
        self,
        context: CheckContext,
        root: str,
        offenders: int,
        sample: Iterable[Mapping[str, Any]],
        sql: str,
        *,
        expected: str = "none",
        actual: str = "",
    ) -> CheckResult:
        """Return a result, which passes if there are no offenders.

        Without `actual`, it states the count: "2 duplicate bars".
        """
        return CheckResult(
            name=self.name,
            table_id=context.table_id(self.table),
            severity=self.severity,
            root=root,
            timeframe=self.timeframe,
            passed=offenders == 0,
            expected=expected,
            actual=actual or plural(offenders, self.noun),
            offenders=offenders,
            sample=[dict(row) for row in sample],
            sql=sql,
        )


Runner = Callable[[CheckContext, Sequence[Check]], list[CheckResult]]
"""Runs checks of one table; what they share is staged once."""


@dataclass(frozen=True)
class PlannedRunner:
    """A runner that states what it will ask, so that several runners ask in one statement."""

    queries: Callable[[CheckContext, Sequence[Check]], Sequence[Statement]]
    run: Runner

    def __call__(self, context: CheckContext, checks: Sequence[Check]) -> list[CheckResult]:
        """Run the checks."""
        return self.run(context, checks)


def run_all(*asked: tuple[CheckContext, Sequence[Check]]) -> list[CheckResult]:
    """Run checks of several contexts of one session, and ask what they state in one statement."""
    session = asked[0][0].session
    reads = [query for context, checks in asked for query in _planned(context, _grouped(checks))]
    with session.reading_ahead(reads):
        return [result for context, checks in asked for result in run_checks(context, checks)]


def _grouped(checks: Iterable[Check]) -> list[list[Check]]:
    return [
        list(group) for _, group in groupby(checks, key=lambda check: (check.table.id, check.run))
    ]


def _planned(context: CheckContext, groups: Iterable[Sequence[Check]]) -> list[Statement]:
    return [
        query
        for group in groups
        if isinstance(group[0].run, PlannedRunner)
        for query in group[0].run.queries(context, group)
    ]


def run_checks(context: CheckContext, checks: Iterable[Check]) -> list[CheckResult]:
    """Run checks, those of one table and runner together, and return their results in order."""
    groups = _grouped(checks)
    results: list[CheckResult] = []
    with context.session.reading_ahead(_planned(context, groups)):
        for group in log_steps(groups, lambda group: f"checking {group[0].table.name}"):
            found = group[0].run(context, group)
            results += found
            context.results.extend(found)
    store_checked(context)
    return results


def store_checked(context: CheckContext) -> None:
    """Store what was found in slices, those of all tables in one transaction."""
    if context.unstored:
        checked = {table_id: slices for table_id, (slices, _) in context.unstored.items()}
        removed = {table_id: gone for table_id, (_, gone) in context.unstored.items()}
        context.unstored.clear()
        store_slices(context.session.warehouse, checked, removed, context.session.now)


def run_together(
    warehouse: Warehouse,
    files: Sequence[str],
    names: Mapping[str, str],
    params: Params,
    frames: Mapping[str, pl.DataFrame],
) -> dict[str, pl.DataFrame]:
    """Run SQL files of `sql/checks` as one statement, and return the rows of each by its name.

    `names` are ids of tables and `frames` are staged, if a file reads them, by placeholder.
    """
    if not files:
        return {}
    every = {name: f"${name}" for name in (*names, *frames)}
    used = "".join(load_sql(f"checks/{file}", **every) for file in files)
    ids = dict.fromkeys(frames, "") | dict(names)
    for name, frame in frames.items():
        if re.search(rf"\${name}\b", _COMMENT.sub("", used)):
            ids[name] = warehouse.stage_frame(staged_name(name), frame)
    if ids.get("files"):
        ids["files"] = f"`{ids['files']}`"
    texts = {file: load_sql(f"checks/{file}", **ids) for file in files}
    together = "\nFULL UNION ALL BY NAME\n".join(
        f"SELECT '{file}' AS check_name, found.* FROM (\n{text}\n) AS found"
        for file, text in texts.items()
    )
    rows = warehouse.query(together, params)
    return {
        file: rows.filter(check_name=file).select(_column_names(text))
        for file, text in texts.items()
    }


@cache
def _column_names(sql: str) -> list[str]:
    """Return the names of the columns that a query returns."""
    query = sqlglot.parse_one(sql, read="bigquery")
    assert isinstance(query, sqlglot.exp.Query)
    return query.named_selects


def to_result(
    context: CheckContext, check: Check, root: str, rows: pl.DataFrame | None, sql: str
) -> CheckResult:
    """Return a root's result from the rows that the check's SQL returned of it; None for none."""
    if rows is None:
        return check.result(context, root, 0, [], sql)
    offenders = int(rows["offenders"][0])
    texts = {name: str(rows[name][0]) for name in ("expected", "actual") if name in rows.columns}
    if "compared" in rows.columns:
        texts["actual"] = f"{plural(offenders, check.noun)} of {rows['compared'][0]:,} compared"
    sample = rows.drop("offenders").to_dicts() if offenders else []
    return check.result(context, root, offenders, sample, sql, **texts)
