"""Count a table's rows by root."""

from __future__ import annotations

from cbi_assets.tables import TableSpec
from cbi_assets.warehouse.base import Warehouse


def rows_by_root(warehouse: Warehouse, table: TableSpec) -> dict[str, int]:
    """Return a table's rows by root, in the order of the roots; a root without rows is absent."""
    column = "root" if "root" in table.column_names else "symbol"
    rows = warehouse.query(
        f"SELECT {column} AS root, COUNT(*) AS row_count FROM `{table.id}` GROUP BY {column}"
    )
    return dict(rows.sort("root").iter_rows())
