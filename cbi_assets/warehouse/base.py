"""What the project asks of a warehouse, on DuckDB or BigQuery."""

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
"""Values of `@name` parameters: numbers, strings, dates, UTC timestamps, or lists of these."""


@dataclass(frozen=True)
class Statement:
    """One GoogleSQL statement of a transaction."""

    sql: str
    params: Params = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Assertion(Statement):
    """A query of a transaction that must return no rows.

    If it returns rows, the transaction is rolled back and `error` is raised. `message` and
    `subject` are format strings for the values of the first row: `{0}`, `{1}` and so on.
    """

    message: str
    subject: str = ""
    remedy: str = ""
    error: type[AuditError] = AuditError

    def failure(self, values: Iterable[object]) -> AuditError:
        """Return the error to raise for the query's first row."""
        row = tuple(values)
        return self.error(
            self.message.format(*row), subject=self.subject.format(*row), remedy=self.remedy
        )


@dataclass
class JobCost:
    """What a warehouse's jobs cost: their number, bytes uploaded and billed, slot milliseconds."""

    jobs: int = 0
    bytes_uploaded: int = 0
    bytes_billed: int = 0
    slot_ms: int = 0


class Warehouse(Protocol):
    """Tables, staging, queries and transactions. All SQL is GoogleSQL with `@name` parameters.

    `bills_statements` says whether each statement has a price, so that few should ask for much.
    """

    bills_statements: bool

    def cost(self) -> JobCost | None:
        """Return the cost of this object's jobs so far; None if the warehouse bills nothing."""

    def create_tables(self, specs: Iterable[TableSpec]) -> None:
        """Create missing tables and add missing columns; change nothing else."""

    def live_table(self, spec: TableSpec) -> LiveTable | None:
        """Return the table as it exists; None if it does not."""

    def stage_parquet(
        self, name: str, paths: Sequence[Path], partition_by: str | None = None
    ) -> str:
        """Make Parquet files readable as a table, for this object only, and return its id.

        With `partition_by`, a query for a span of that column is not billed for the other months.
        """

    def stage_frame(self, name: str, frame: pl.DataFrame) -> str:
        """Make a frame readable as a table, for this object only, and return its id."""

    def stage_query(
        self, name: str, sql: str, params: Params | None = None, *, to_fill: bool = False
    ) -> str:
        """Store a query's rows, for this object only, and return the id to read them by.

        With `to_fill`, it is a table that statements may insert rows into.
        """

    def query(self, sql: str, params: Params | None = None) -> pl.DataFrame:
        """Run a query and return its rows; timestamps are microseconds, UTC."""

    def verify(self) -> None:
        """Read every table in full; closing raises HomeError if a part of a file is damaged."""

    def for_frames(self) -> Warehouse:
        """Return a warehouse that bills nothing, for queries that read staged frames alone."""

    @property
    def row_hash(self) -> str:
        """The function behind FARM_FINGERPRINT, and its version: only its own hashes compare."""

    def to_dialect(self, sql: str) -> str:
        """Return a GoogleSQL statement without parameters in the warehouse's own dialect."""

    def transact(self, statements: Iterable[Statement]) -> None:
        """Run the statements in one transaction.

        If an `Assertion` returns a row, raises its error and leaves all tables unchanged.
        """

    def close(self) -> None:
        """Close the warehouse and drop its staged tables."""
