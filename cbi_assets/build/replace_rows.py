"""Replace the rows of a built table that differ from what was computed, and no others."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from cbi_assets.errors import CbiError
from cbi_assets.tables import TableSpec
from cbi_assets.warehouse.base import Assertion, Statement, Warehouse


@dataclass(frozen=True)
class Replacement:
    """The statements that bring a table up to date in one transaction, and the rows they affect.

    `written` counts rows that are new or differ, `removed` rows without a replacement, `change` by
    how many rows the table grows. An up-to-date table gets no statements. `keys` are of the rows
    written and removed.
    """

    spec: TableSpec
    statements: list[Statement]
    written: int
    removed: int
    change: int
    keys: pl.DataFrame


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
    """Compare a table's rows with `fresh`, and return what replaces those that differ.

    Parameters
    ----------
    fresh : pl.DataFrame
        All rows the table should contain of `roots`, from `start` to `end`; empty for none.
    start, end : datetime.date, optional
        First and last value of the table's partition column, inclusive; all if omitted.
    leave_out : Collection[str]
        Columns not compared: a row that differs in these alone stays.

    Raises
    ------
    CbiError
        If a STRUCT of the table has other fields than the spec's.
    """
    date = spec.partition_by
    assert date is not None
    query = existing_query(spec, roots, root_column=root_column, start=start, end=end)
    existing = warehouse.query(query.sql, query.params)
    fresh = fresh.select(spec.column_names) if fresh.width else existing.clear()
    _check_fields(spec, existing.schema, fresh.schema)
    key = list(spec.key)
    unchanged = existing.select(
        pl.col(name).cast(fresh.schema[name]) for name in spec.column_names
    ).join(fresh, on=key, suffix="_fresh")
    compared = [name for name in spec.column_names if name not in {*key, *leave_out}]
    unchanged = unchanged.filter(
        pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name}_fresh")) for name in compared)
    ).select(key)
    changed = fresh.join(unchanged, on=key, how="anti")
    to_delete = existing.select(key).join(unchanged, on=key, how="anti")
    removed = to_delete.join(fresh, on=key, how="anti").height
    if changed.is_empty() and to_delete.is_empty():
        return Replacement(spec, [], 0, 0, 0, to_delete)
    statements: list[Statement] = []
    columns = ", ".join(spec.column_names)
    if not to_delete.is_empty():
        staged = warehouse.stage_frame(f"{spec.name}_delete", to_delete)
        dates = {"first": to_delete[date].min(), "last": to_delete[date].max()}
        match = " AND ".join(f"d.{name} = t.{name}" for name in key)
        statements.append(
            Statement(
                f"DELETE FROM `{spec.id}` AS t WHERE t.{date} BETWEEN @first AND @last "
                f"AND EXISTS (SELECT 1 FROM `{staged}` AS d WHERE {match})",
                dates,
            )
        )
    if not changed.is_empty():
        staged = warehouse.stage_frame(f"{spec.name}_rows", changed)
        statements.append(
            Statement(f"INSERT INTO `{spec.id}` ({columns}) SELECT {columns} FROM `{staged}`")
        )
    keys = pl.concat([changed.select(key), to_delete.cast(changed.select(key).schema)]).unique()
    change = fresh.height - existing.height
    return Replacement(spec, statements, changed.height, removed, change, keys)


def existing_query(
    spec: TableSpec,
    roots: Sequence[str],
    *,
    root_column: str = "root",
    start: dt.date | None = None,
    end: dt.date | None = None,
) -> Statement:
    """Return what `replace_rows` asks."""
    return Statement(
        f"SELECT {', '.join(spec.column_names)} FROM `{spec.id}` "
        f"WHERE {root_column} IN UNNEST(@roots) AND {spec.partition_by} BETWEEN @start AND @end",
        {
            "roots": list(roots),
            "start": start or dt.date(1900, 1, 1),
            "end": end or dt.date(2200, 1, 1),
        },
    )


def assert_totals(
    replaced: Sequence[Replacement], row_counts: Mapping[str, int]
) -> list[Statement]:
    """Return the assertion that each table that is written to has the rows it should have.

    `row_counts` are those of the tables before, by id.
    """
    parts: list[str] = []
    params: dict[str, Any] = {}
    for number, item in enumerate(item for item in replaced if item.statements):
        params[f"rows_{number}"] = row_counts[item.spec.id] + item.change
        parts.append(
            f"SELECT '{item.spec.id}' AS table_id, COUNT(*) AS row_count, "
            f"@rows_{number} AS built FROM `{item.spec.id}` "
            f"HAVING COUNT(*) <> @rows_{number}"
        )
    if not parts:
        return []
    return [
        Assertion(
            " UNION ALL ".join(parts),
            params,
            subject="{0}",
            message="would contain {1} rows, {2} were built",
            remedy="Nothing was published.",
        )
    ]


def _check_fields(spec: TableSpec, existing: pl.Schema, fresh: pl.Schema) -> None:
    """Raise if a STRUCT has other fields than the spec's: DuckDB would drop them silently."""
    for name, kind in fresh.items():
        live = existing[name]
        if not (isinstance(kind, pl.Struct) and isinstance(live, pl.Struct)):
            continue
        own, expected = ({field.name for field in each.fields} for each in (live, kind))
        if own != expected:
            wrong = [f"lacks {field}" for field in sorted(expected - own)]
            wrong += [f"has {field}" for field in sorted(own - expected)]
            raise CbiError(
                f"an earlier version created it: its column {name} {', '.join(wrong)}",
                subject=spec.id,
                remedy="Drop the table and run `cbi build` again, which fills it.",
            )
