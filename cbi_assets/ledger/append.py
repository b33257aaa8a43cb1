"""Add rows to tables whose rows are never changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from cbi_assets.tables.spec import TableSpec
from cbi_assets.warehouse.base import Statement, Warehouse


def append_rows(warehouse: Warehouse, table: TableSpec, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert rows, by column name, in one transaction."""
    plain = [
        {name: list(v) if isinstance(v, tuple) else v for name, v in row.items()} for row in rows
    ]
    staged = warehouse.stage_frame(
        "ledger_rows", pl.DataFrame(plain, schema=table.polars_schema, orient="row")
    )
    names = ", ".join(table.column_names)
    warehouse.transact(
        [Statement(f"INSERT INTO `{table.id}` ({names}) SELECT {names} FROM `{staged}`")]
    )
