"""Statements that replace rows of training tables."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import polars as pl

from cbi_assets.build.bar_targets import BATCH_BARS
from cbi_assets.build.build_slices import NO_CUTOFF, span_of
from cbi_assets.features.targets import TARGET_COLUMNS
from cbi_assets.tables import TRAINING, TableSpec
from cbi_assets.tables.training_tables import FEATURES
from cbi_assets.warehouse.base import Assertion, Statement, Warehouse
from cbi_assets.warehouse.sql_files import load_sql


class BarBatch:
    """Rows of tables of bars that are replaced in one transaction, as many as fit into memory."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse
        self._statements: list[Statement] = []
        self._tables: set[str] = set()
        self._rows = 0

    def replace(self, name: str, root: str, fresh: pl.DataFrame, dates: Sequence[dt.date]) -> None:
        """Replace all rows of a table's trade dates, at the latest with `publish`."""
        # a table's next rows are staged under the same name
        if name in self._tables or self._rows + fresh.height > BATCH_BARS:
            self.publish()
        self._statements += _replace_dates(self.warehouse, name, root, fresh, dates)
        self._tables.add(name)
        self._rows += fresh.height

    def publish(self) -> None:
        """Publish what has not been published."""
        if self._statements:
            self.warehouse.transact(self._statements)
        self._statements, self._tables, self._rows = [], set(), 0


def replace_daily_rows(
    warehouse: Warehouse, name: str, root: str, fresh: pl.DataFrame, existing: pl.DataFrame
) -> tuple[int, int, list[Statement]]:
    """Replace the daily rows that differ from `fresh` in a target or in their matrix row.

    Returns how many rows are written, how many removed, and the statements.
    """
    spec = TRAINING[name]
    columns = ("data_date", "ingestion_ts", *TARGET_COLUMNS)
    if fresh.width < len(columns):
        fresh = existing.clear()
    kinds = [pl.col(name).cast(kind) for name, kind in spec.schema_of(*columns).items()]
    fresh, existing = fresh.select(kinds), existing.select(kinds)
    same = existing.join(fresh, on=columns, how="semi", nulls_equal=True).select("data_date")
    changed = fresh.join(same, on="data_date", how="anti")
    deleted = existing.select("data_date").join(same, on="data_date", how="anti")
    statements = [
        *_deletion(warehouse, spec, root, deleted),
        *_insertion(warehouse, spec, root, changed),
    ]
    gone = deleted.join(fresh, on="data_date", how="anti").height
    return changed.height, gone, statements


def _replace_dates(
    warehouse: Warehouse, name: str, root: str, fresh: pl.DataFrame, dates: Sequence[dt.date]
) -> list[Statement]:
    """Return the statements that replace all rows of bars of these trade dates."""
    spec = TRAINING[name]
    span = span_of([root], min(dates), max(dates))
    bounds = {name: span[name] for name in ("first_ts", "last_ts")}
    existing = warehouse.query(
        f"SELECT bar_end FROM `{spec.id}` WHERE symbol = @root "
        "AND bar_end >= @first_ts AND bar_end < @last_ts AND trade_date IN UNNEST(@dates)",
        {"root": root, "dates": list(dates), **bounds},
    )
    return [
        *_deletion(warehouse, spec, root, existing),
        *_insertion(warehouse, spec, root, fresh),
    ]


def _deletion(
    warehouse: Warehouse, spec: TableSpec, root: str, keys: pl.DataFrame
) -> list[Statement]:
    if keys.is_empty():
        return []
    date = spec.key[1]
    staged = warehouse.stage_frame(f"{spec.name}_delete", keys.select(date))
    sql = load_sql("training/delete_rows", rewritten=spec.id, deleted=staged, date=date)
    return [Statement(sql, {"root": root, "first": keys[date].min(), "last": keys[date].max()})]


def _insertion(
    warehouse: Warehouse, spec: TableSpec, root: str, fresh: pl.DataFrame
) -> list[Statement]:
    """Return the statement that inserts `fresh` with the features of the matrix."""
    if fresh.is_empty():
        return []
    own = fresh.drop("ingestion_ts", strict=False)
    staged = warehouse.stage_frame(f"{spec.name}_rows", own)
    features = [c.name for c in FEATURES if c.name not in ("symbol", "data_date")]
    sql = load_sql(
        "training/insert_rows",
        rewritten=spec.id,
        staged=staged,
        columns=", ".join(["symbol", *own.columns, *features, "training_weight"]),
    )
    rows = fresh["data_date"]
    span = {"first": rows.min() or NO_CUTOFF, "last": rows.max() or NO_CUTOFF}
    return [Statement(sql, {"root": root, **span})]


def assert_row_counts(root: str, counts: Sequence[tuple[str, int]]) -> Assertion:
    """Return the assertion that each table has so many rows."""
    return Assertion(
        " UNION ALL ".join(
            f"SELECT '{table}' AS table_id, COUNT(*) AS row_count, @rows_{number} AS built "
            f"FROM `{table}` WHERE symbol = @root HAVING COUNT(*) <> @rows_{number}"
            for number, (table, _) in enumerate(counts)
        ),
        {"root": root, **{f"rows_{number}": rows for number, (_, rows) in enumerate(counts)}},
        subject="{0}",
        message="would contain {1} rows, {2} were built",
        remedy="Nothing was published.",
    )
