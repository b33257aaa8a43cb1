"""Statements that replace rows of training tables."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import polars as pl

from cbi_assets.build.bar_targets import FreshBars
from cbi_assets.build.build_slices import NO_CUTOFF
from cbi_assets.features.targets import TARGET_COLUMNS
from cbi_assets.tables import TRAINING, TableSpec
from cbi_assets.tables.training_tables import FEATURES
from cbi_assets.warehouse.base import Assertion, Statement, Warehouse
from cbi_assets.warehouse.sql_files import load_sql


def replace_daily_rows(
    warehouse: Warehouse, name: str, root: str, fresh: pl.DataFrame, existing: pl.DataFrame
) -> tuple[int, int, list[Statement]]:
    """Replace the daily rows that differ from `fresh` in a target or in their matrix row.

    Returns how many rows are written, how many removed, and the statements.
    """
    spec = TRAINING[name]
    columns = ("data_date", "ingestion_ts", *TARGET_COLUMNS)
    if fresh.width < len(columns):
        fresh = pl.DataFrame(schema=spec.schema_of(*columns))
    kinds = [pl.col(name).cast(kind) for name, kind in spec.schema_of(*columns).items()]
    fresh, existing = fresh.select(kinds), existing.select(kinds)
    same = existing.join(fresh, on=columns, how="semi", nulls_equal=True).select("data_date")
    changed = fresh.join(same, on="data_date", how="anti")
    deleted = existing.select("data_date").join(same, on="data_date", how="anti")
    gone = deleted.join(fresh, on="data_date", how="anti").height
    dates = deleted["data_date"]
    bounds = (dates.min(), dates.max())
    return changed.height, gone, _replace(warehouse, spec, root, changed, dates.to_list(), bounds)


def replace_bars(warehouse: Warehouse, fresh: FreshBars) -> list[Statement]:
    """Return the statements that replace all rows of bars of these trade dates."""
    bounds = (fresh.replaced["first_end"].min(), fresh.replaced["last_end"].max())
    dates = fresh.replaced["trade_date"].to_list()
    return _replace(warehouse, TRAINING[fresh.name], fresh.root, fresh.rows, dates, bounds)


def _replace(
    warehouse: Warehouse,
    spec: TableSpec,
    root: str,
    fresh: pl.DataFrame,
    dates: Sequence[dt.date],
    bounds: tuple[object, object],
) -> list[Statement]:
    """Return the statement that deletes rows of these dates, whose keys are within the bounds.

    It inserts `fresh` with the features of the matrix.
    """
    if fresh.is_empty() and not dates:
        return []
    if fresh.is_empty():
        fresh = pl.DataFrame(schema=_own_schema(spec))
    own = fresh.drop("ingestion_ts", strict=False)
    staged = warehouse.stage_frame(f"{spec.name}_rows", own)
    features = [c.name for c in FEATURES if c.name not in ("symbol", "data_date")]
    columns = ["symbol", *own.columns, *features, "training_weight"]
    rows = fresh["data_date"]
    params = {"root": root, "first": rows.min() or NO_CUTOFF, "last": rows.max() or NO_CUTOFF}
    tables = {"rewritten": spec.id, "staged": staged, "columns": ", ".join(columns)}
    if not dates:
        return [Statement(load_sql("training/insert_rows", **tables), params)]
    key = spec.key[1]
    sql = load_sql(
        "training/replace_rows",
        **tables,
        values=", ".join(f"fresh.{name}" for name in columns),
        key=key,
        date="data_date" if key == "data_date" else "trade_date",
    )
    first_key, last_key = bounds
    found = {"first_key": first_key, "last_key": last_key, "dates": sorted(dates)}
    return [Statement(sql, params | found)]


def _own_schema(spec: TableSpec) -> pl.Schema:
    """Return the columns of a training table that are not the matrix'."""
    others = {column.name for column in FEATURES} - {"data_date"} | {"symbol", "training_weight"}
    return spec.schema_of(*(name for name in spec.column_names if name not in others))


def assert_row_counts(counts: Mapping[str, int]) -> Assertion:
    """Return the assertion that each training table has so many rows in all."""
    numbered = list(enumerate(counts.items()))
    return Assertion(
        " UNION ALL ".join(
            f"SELECT '{TRAINING[name].id}' AS table_id, COUNT(*) AS row_count, "
            f"@rows_{number} AS built FROM `{TRAINING[name].id}` HAVING COUNT(*) <> @rows_{number}"
            for number, (name, _) in numbered
        ),
        {f"rows_{number}": rows for number, (_, rows) in numbered},
        subject="{0}",
        message="would contain {1} rows, {2} were built",
        remedy="Nothing was published.",
    )
