"""What the project asks of a warehouse, whichever it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from cbi_assets.errors import AuditError
from cbi_assets.tables import TableSpec
from cbi_assets.warehouse.drift import LiveTable

Params = Mapping[str, Any]
"""Values of `@name` parameters: numbers, strings, dates, UTC instants, or lists of these."""


@dataclass(frozen=True)
class Statement:
    """One GoogleSQL statement of a transaction. With `must_hold` it is a query that must give no
    row; the message says what a row means, and its first row's values are put into it. `error` is
    what is raised with that message."""

    sql: str
    params: Params = field(default_factory=dict)
    must_hold: str | None = None
    error: type[AuditError] = AuditError


@dataclass
class Spent:
    """What a warehouse's jobs have cost: their number, what was sent and billed, and slot time."""

    jobs: int = 0
    bytes_uploaded: int = 0
    bytes_billed: int = 0
    slot_ms: int = 0


class Warehouse(Protocol):
    """Tables, staging, queries and transactions. All SQL is GoogleSQL with `@name` parameters."""

    def spent(self) -> Spent | None:
        """What this warehouse object has cost so far; None where nothing is billed."""

    def create_tables(self, specs: Iterable[TableSpec]) -> None:
        """Create what is absent, and add columns that a table lacks; all else stays."""

    def live_table(self, spec: TableSpec) -> LiveTable | None:
        """The table as it is, None where there is none."""

    def stage_parquet(self, name: str, paths: Sequence[Path]) -> str:
        """Make Parquet files readable as a table, for this warehouse object only; give its id."""

    def stage_frame(self, name: str, frame: pl.DataFrame) -> str:
        """Make a frame readable as a table, for this warehouse object only; give its id."""

    def stage_query(self, name: str, sql: str, params: Params | None = None) -> str:
        """Keep a query's rows as a table, for this warehouse object only; give its id."""

    def query(self, sql: str, params: Params | None = None) -> pl.DataFrame:
        """Run a query and give its rows; instants come back in UTC."""

    def spell(self, sql: str) -> str:
        """A GoogleSQL statement without parameters as this warehouse's own tools take it."""

    def transact(self, statements: Iterable[Statement]) -> None:
        """Run the statements in one transaction. Raises the statement's error, and leaves
        everything as it was, when a `must_hold` query gives a row."""

    def close(self) -> None:
        """Let go of the warehouse; staged tables are gone."""
