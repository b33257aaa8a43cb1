"""Replace in a built table what is not as it should be, and nothing else."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.tables import TableSpec


@dataclass(frozen=True)
class Replacement:
    """What has to happen to a table: the statements that do it in one transaction, none where it is
    as it should be. `written` rows are new or differ; `removed` have no successor; `held` stand
    in the table afterwards, of the roots and dates that were looked at."""

    spec: TableSpec
    statements: list[Statement]
    written: int
    removed: int
    held: int


def replace_rows(
    warehouse: Warehouse,
    spec: TableSpec,
    fresh: pl.DataFrame,
    roots: Sequence[str],
    *,
    root_column: str = "root",
    start: dt.date | None = None,
    end: dt.date | None = None,
    leave_out: Collection[str] = (),
) -> Replacement:
    """Hold a table's rows of these roots, between two dates of its partition column, against
    `fresh`, which should be those rows.

    A row is left as it is where all of its columns but `leave_out` are equal.
    """
    date = spec.partition_by
    assert date is not None
    span: dict[str, Any] = {
        "roots": list(roots),
        "start": start or dt.date(1900, 1, 1),
        "end": end or dt.date(2200, 1, 1),
    }
    within = f"{root_column} IN UNNEST(@roots) AND {date} BETWEEN @start AND @end"
    columns = ", ".join(spec.column_names)
    held = warehouse.query(f"SELECT {columns} FROM `{spec.id}` WHERE {within}", span)
    fresh = fresh.select(spec.column_names) if fresh.width else held.clear()
    key = list(spec.key)
    same = held.select(pl.col(name).cast(fresh.schema[name]) for name in spec.column_names).join(
        fresh, on=key, suffix="_fresh"
    )
    compared = [name for name in spec.column_names if name not in {*key, *leave_out}]
    same = same.filter(
        pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name}_fresh")) for name in compared)
    ).select(key)
    changed = fresh.join(same, on=key, how="anti")
    # out go the rows that differ and those that should not be there
    out = held.select(key).join(same, on=key, how="anti")
    removed = out.join(fresh, on=key, how="anti").height
    if changed.is_empty() and out.is_empty():
        return Replacement(spec, [], 0, 0, fresh.height)
    statements = []
    if not out.is_empty():
        staged = warehouse.stage_frame(f"{spec.name}_out", out)
        dates = {"first": out[date].min(), "last": out[date].max()}
        match = " AND ".join(f"o.{name} = t.{name}" for name in key)
        statements.append(
            Statement(
                f"DELETE FROM `{spec.id}` AS t WHERE t.{date} BETWEEN @first AND @last "
                f"AND EXISTS (SELECT 1 FROM `{staged}` AS o WHERE {match})",
                dates,
            )
        )
    if not changed.is_empty():
        staged = warehouse.stage_frame(f"{spec.name}_rows", changed)
        statements.append(
            Statement(f"INSERT INTO `{spec.id}` ({columns}) SELECT {columns} FROM `{staged}`")
        )
    statements.append(
        Statement(
            f"SELECT COUNT(*) AS held FROM `{spec.id}` WHERE {within} HAVING COUNT(*) <> @rows",
            {**span, "rows": fresh.height},
            f"{spec.id}: {{0}} rows held where {fresh.height} were built. Nothing was published.",
        )
    )
    return Replacement(spec, statements, changed.height, removed, fresh.height)
