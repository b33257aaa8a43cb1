"""What the project asks of a warehouse, whichever it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from cbi_assets.warehouse.tables import TableSpec

Params = Mapping[str, Any]
"""Values of `@name` parameters: numbers, strings, dates, UTC instants, or lists of these."""


@dataclass(frozen=True)
class Statement:
    """One GoogleSQL statement of a transaction. With `must_hold` it is a query that must give no
    row; the message says what a row means, and its first row's values are put into it."""

    sql: str
    params: Params = field(default_factory=dict)
    must_hold: str | None = None


class Warehouse(Protocol):
    """Tables, staging, queries and transactions. All SQL is GoogleSQL with `@name` parameters."""

    def create_tables(self, specs: Iterable[TableSpec]) -> None:
        """Create what is absent; what exists stays."""

    def stage_parquet(self, name: str, paths: Sequence[Path]) -> str:
        """Make Parquet files readable as a table, for this warehouse object only; give its id."""

    def stage_frame(self, name: str, frame: pl.DataFrame) -> str:
        """Make a frame readable as a table, for this warehouse object only; give its id."""

    def stage_query(self, name: str, sql: str, params: Params | None = None) -> str:
        """Keep a query's rows as a table, for this warehouse object only; give its id."""

    def query(self, sql: str, params: Params | None = None) -> pl.DataFrame:
        """Run a query and give its rows; instants come back in UTC."""

    def transact(self, statements: Iterable[Statement]) -> None:
        """Run the statements in one transaction. Raises AuditError, and leaves everything as it
        was, when a `must_hold` query gives a row."""

    def close(self) -> None:
        """Let go of the warehouse; staged tables are gone."""
