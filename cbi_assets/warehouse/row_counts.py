"""Count a table's rows by root."""

from __future__ import annotations

from collections.abc import Iterable

from cbi_assets.tables import TableSpec
from cbi_assets.warehouse.base import Statement, Warehouse


def count_rows(warehouse: Warehouse, tables: Iterable[TableSpec]) -> dict[str, int]:
    """Return the rows of tables, by id; BigQuery bills nothing for them."""
    counts = " UNION ALL ".join(
        f"SELECT '{table.id}' AS table_id, COUNT(*) AS row_count FROM `{table.id}`"
        for table in tables
    )
    return dict(warehouse.query(counts).select("table_id", "row_count").iter_rows())


def rows_by_root(warehouse: Warehouse, table: TableSpec) -> dict[str, int]:
    """Return a table's rows by root, in the order of the roots; a root without rows is absent."""
    rows = warehouse.query(rows_by_root_query(table).sql)
    return dict(rows.sort("root").iter_rows())


def rows_by_root_query(table: TableSpec) -> Statement:
    """Return what `rows_by_root` asks."""
    column = "root" if "root" in table.column_names else "symbol"
    return Statement(
        f"SELECT {column} AS root, COUNT(*) AS row_count FROM `{table.id}` GROUP BY {column}"
    )
