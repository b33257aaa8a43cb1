"""Run checks that are a SQL file each, on all roots at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from cbi_assets.checks.check import Check, CheckContext, PlannedRunner, to_result
from cbi_assets.checks.inline_sql import render_check_sql, staged_name
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.warehouse.base import Params, Statement
from cbi_assets.warehouse.sql_files import load_sql


@dataclass(frozen=True)
class SqlInputs:
    """What the SQL of checks of one table reads.

    Parameters
    ----------
    roots : sequence of str
        One result per check and root; `[""]` for one result per check.
    params : Params
        Values of the SQL's `@name` parameters.
    frames : mapping of str to DataFrame
        Frames that the SQL joins, by the name of their placeholder.
    tables : mapping of str to str
        Ids of further tables that the SQL reads, by the name of their placeholder.
    pasted : mapping of str to str
        Ids of tables in the results' SQL, if others than were read.
    """

    roots: Sequence[str]
    params: Params = field(default_factory=dict)
    frames: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)
    pasted: Mapping[str, str] = field(default_factory=dict)


def sql_runner(inputs: Callable[[CheckContext, Sequence[Check]], SqlInputs]) -> PlannedRunner:
    """Return what runs checks by the file `sql/checks/<name of the check>.sql`."""

    def read(context: CheckContext, checks: Sequence[Check]) -> tuple[SqlInputs, list[Statement]]:
        found = inputs(context, checks)
        names = {**found.tables, "table": context.table_id(checks[0].table)}
        for name, frame in found.frames.items():
            names[name] = context.session.warehouse.stage_frame(staged_name(name), frame)
        return found, [
            Statement(load_sql(f"checks/{check.name}", **names), found.params)
            for check in checks
            if found.roots
        ]

    def once(context: CheckContext, checks: Sequence[Check]) -> tuple[SqlInputs, list[Statement]]:
        table = context.table_id(checks[0].table)
        key = (inputs, table, None if context.roots is None else tuple(context.roots), *checks)
        return context.once(key, lambda: read(context, checks))

    def queries(context: CheckContext, checks: Sequence[Check]) -> list[Statement]:
        return once(context, checks)[1]

    def run(context: CheckContext, checks: Sequence[Check]) -> list[CheckResult]:
        found, asked = once(context, checks)
        warehouse = context.session.warehouse
        shown = {**found.tables, "table": context.table_id(checks[0].table), **found.pasted}
        results = []
        for check, query in zip(checks, asked, strict=bool(found.roots)):
            rows = warehouse.query(query.sql, query.params)
            by_root = rows.partition_by("root", as_dict=True)
            for root in found.roots:
                sql = render_check_sql(
                    warehouse, check.name, shown, found.params, found.frames, root
                )
                results.append(to_result(context, check, root, by_root.get((root,)), sql))
        return results

    return PlannedRunner(queries, run)
