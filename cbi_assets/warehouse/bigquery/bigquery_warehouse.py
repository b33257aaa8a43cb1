"""The BigQuery warehouse: staging tables that expire, one transaction per publication."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl
import polars.selectors as cs
import pyarrow as pa
import pyarrow.parquet as pq
from google.cloud import bigquery

from cbi_assets.errors import AuditError, CbiError, ServiceError
from cbi_assets.tables import TableSpec, plain_id
from cbi_assets.warehouse.base import JobCost, Params, Statement
from cbi_assets.warehouse.bigquery import live_schema
from cbi_assets.warehouse.bigquery.connection import Connection
from cbi_assets.warehouse.bigquery.error_translation import translates_errors
from cbi_assets.warehouse.bigquery.inline_frames import MOST_ROWS, InlineFrames
from cbi_assets.warehouse.bigquery.query_jobs import LABELS, Jobs
from cbi_assets.warehouse.drift import LiveTable
from cbi_assets.warehouse.duckdb import DuckDBWarehouse

STAGING = "ops_staging"
STAGING_HOURS = 24


def staging_statement(table_id: str, sql: str) -> str:
    """Return the statement that makes a staging table of a query's rows."""
    return (
        f"CREATE OR REPLACE TABLE `{STAGING}.{table_id}` OPTIONS (expiration_timestamp = "
        f"TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL {STAGING_HOURS} HOUR)) AS\n{sql}"
    )


class BigQueryWarehouse:
    """A BigQuery project as a warehouse; the Warehouse protocol documents the methods.

    `owner` identifies the home. Staging tables and jobs carry it, so that homes sharing a project
    stay apart, and a run finds what an earlier run of its home uploaded.
    """

    bills_statements = True

    def __init__(self, connection: Connection, owner: str, scratch: Path) -> None:
        self._connection = connection
        self._client = connection.client
        self._owner = owner
        self._scratch = scratch
        self._jobs = Jobs(connection, owner)
        self._staged: set[str] = set()
        self._frames = InlineFrames()
        self._staging_is_open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Uploads from before the failure stay for the next run, until they expire.
        if isinstance(error, ServiceError | KeyboardInterrupt):
            return
        # Staging tables expire anyway; a failure to drop them must not hide the first error.
        with suppress(CbiError) if error is not None else nullcontext():
            self.close()

    def cost(self) -> JobCost:
        """Return the cost of this object's jobs so far."""
        return self._jobs.cost()

    @translates_errors
    def create_tables(self, specs: Iterable[TableSpec]) -> None:
        """Create missing tables and add missing columns; refuse tables that let rows expire."""
        live_schema.create_tables(self._connection, self._jobs, specs)

    @translates_errors
    def live_table(self, spec: TableSpec) -> LiveTable | None:
        """Return the table as it exists; None if it does not."""
        return live_schema.live_table(self._connection, spec)

    @translates_errors
    def stage_parquet(
        self, name: str, paths: Sequence[Path], partition_by: str | None = None
    ) -> str:
        """Load the files into a staging table named after their content.

        One load job each, or one job for all through the bucket if one is set.
        Files that an earlier run of this home uploaded are not uploaded again.
        """
        rows = sum(pq.read_metadata(path).num_rows for path in paths)
        names = [hashlib.sha256(path.name.encode()).hexdigest()[:16] for path in paths]
        digest = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16]
        fields = live_schema.staging_fields(pq.read_schema(path) for path in paths)
        for _ in range(2):
            table = self._staging_table(f"{name}_{digest}", fields, partition_by)
            if self._jobs.has_bucket and len(paths) > 1:
                self._jobs.load(paths, table, digest)
            else:
                for path, content in zip(paths, names, strict=True):
                    self._jobs.load([path], table, content)
            counted = self.query(f"SELECT COUNT(*) AS n FROM `{STAGING}.{table.table_id}`").item()
            if counted == rows:
                return f"{STAGING}.{table.table_id}"
            self._drop(table.table_id)
        raise AuditError(
            f"{rows:,} records were uploaded to BigQuery and {counted:,} arrived",
            subject=name,
            remedy="Nothing was published. Retry.",
        )

    @translates_errors
    def stage_frame(self, name: str, frame: pl.DataFrame) -> str:
        """Keep a small frame as a parameter; load another one into a staging table."""
        if (inline := self._frames.add(name, frame)) is not None:
            return inline
        self._scratch.mkdir(parents=True, exist_ok=True)
        arrow = frame.to_arrow()
        path = self._scratch / f"{self._safe(name)}.parquet"
        pq.write_table(arrow, path, compression="zstd")
        with open(path, "rb") as raw:
            digest = hashlib.file_digest(raw, "sha256").hexdigest()[:16]
        table = self._staging_table(f"{name}_{digest}", live_schema.staging_fields([arrow.schema]))
        self._jobs.load([path], table, digest)
        path.unlink()
        return f"{STAGING}.{table.table_id}"

    @translates_errors
    def stage_query(
        self, name: str, sql: str, params: Params | None = None, *, to_fill: bool = False
    ) -> str:
        """Create a staging table of the query's rows, and keep few of them as a parameter.

        Not if statements are to insert rows of their own.
        """
        self._open_staging()
        table_id = self._safe(name)
        self._staged.add(table_id)
        expanded, given = self._frames.expand(sql, params)
        self._jobs.query(staging_statement(table_id, expanded), given)
        if to_fill:
            return f"{STAGING}.{table_id}"
        rows = self._client.list_rows(
            f"{STAGING}.{table_id}", max_results=MOST_ROWS + 1, retry=self._connection.retry
        )
        frame = _to_frame(rows.to_arrow(create_bqstorage_client=False))
        return self._frames.add(name, frame) or f"{STAGING}.{table_id}"

    def query(self, sql: str, params: Params | None = None) -> pl.DataFrame:
        """Return the query's rows, over the Storage Read API if there are many."""
        return _to_frame(self._jobs.query(*self._frames.expand(sql, params)))

    def verify(self) -> None:
        """Read nothing: there is no file."""

    def for_frames(self) -> DuckDBWarehouse:
        """Return a DuckDB warehouse of this process, without tables."""
        return self._embedded

    @cached_property
    def _embedded(self) -> DuckDBWarehouse:
        return DuckDBWarehouse(self._scratch / "frames.duckdb", self._scratch)

    @property
    def row_hash(self) -> str:
        """FARM_FINGERPRINT, which never changes."""
        return "FARM_FINGERPRINT"

    def to_dialect(self, sql: str) -> str:
        """Return the statement unchanged; table names resolve in the console's project."""
        return sql

    def transact(self, statements: Iterable[Statement]) -> None:
        """Run all of the statements, or none."""
        expanded = []
        for statement in statements:
            sql, params = self._frames.expand(statement.sql, statement.params)
            expanded.append(replace(statement, sql=sql, params=params))
        self._jobs.transact(expanded)

    @translates_errors
    def close(self) -> None:
        """Drop the staging tables."""
        if "_embedded" in self.__dict__:
            self._embedded.close()
        for table_id in sorted(self._staged):
            self._drop(table_id)

    def _staging_table(
        self, name: str, fields: Sequence[bigquery.SchemaField], partition_by: str | None = None
    ) -> bigquery.Table:
        self._open_staging()
        table_id = self._safe(name)
        now = dt.datetime.now(dt.UTC)
        table = bigquery.Table(f"{self._connection.options.project}.{STAGING}.{table_id}", fields)
        table.expires = now + dt.timedelta(hours=STAGING_HOURS)
        table.labels = LABELS
        if partition_by is not None:
            table.time_partitioning = bigquery.TimePartitioning("MONTH", field=partition_by)
        self._staged.add(table_id)
        made = self._client.create_table(table, exists_ok=True, retry=self._connection.retry)
        if made.expires is not None and made.expires > now + dt.timedelta(hours=STAGING_HOURS / 2):
            return made
        # It is an earlier run's and expires soon.
        self._drop(table_id)
        self._staged.add(table_id)
        return self._client.create_table(table, exists_ok=True, retry=self._connection.retry)

    def _open_staging(self) -> None:
        if not self._staging_is_open:
            live_schema.open_dataset(self._connection, STAGING, expiring=True)
            self._staging_is_open = True

    def _drop(self, table_id: str) -> None:
        self._client.delete_table(
            f"{STAGING}.{table_id}", not_found_ok=True, retry=self._connection.retry
        )
        self._staged.discard(table_id)

    def _safe(self, name: str) -> str:
        """Return a staging table's id: prefixed with the home, special characters replaced."""
        return plain_id(f"{self._owner}_{re.sub(r'\W', '_', name)}")


def _to_frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame.with_columns(cs.decimal().cast(pl.Int64))
