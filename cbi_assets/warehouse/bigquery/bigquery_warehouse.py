"""The BigQuery warehouse: staging that expires by itself, one transaction a publication."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext, suppress
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl
import polars.selectors as cs
import pyarrow.parquet as pq
from google.cloud import bigquery

from cbi_assets.errors import AuditError, CbiError, ServiceError
from cbi_assets.tables import TableSpec, plain_id
from cbi_assets.warehouse.base import JobCost, Params, Statement
from cbi_assets.warehouse.bigquery import live_schema
from cbi_assets.warehouse.bigquery.connection import Connection
from cbi_assets.warehouse.bigquery.error_translation import telling
from cbi_assets.warehouse.bigquery.query_jobs import LABELS, Jobs
from cbi_assets.warehouse.drift import LiveTable

STAGING = "ops_staging"
STAGING_HOURS = 24


def _told[**Args, Result](method: Callable[Args, Result]) -> Callable[Args, Result]:
    @wraps(method)
    def told(*args: Args.args, **options: Args.kwargs) -> Result:
        with telling():
            return method(*args, **options)

    return told


class BigQueryWarehouse:
    """A BigQuery project as the warehouse; see the Warehouse protocol for what each method does.

    `owner` names the home: staging tables and jobs carry it, so that two homes that share a project
    keep out of each other's way, and a run finds what an earlier one of its home had sent.
    """

    def __init__(self, connection: Connection, owner: str, scratch: Path) -> None:
        self._connection = connection
        self._client = connection.client
        self._owner = owner
        self._scratch = scratch
        self._jobs = Jobs(connection, owner)
        self._staged: set[str] = set()
        self._staging_is_open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # what was sent before the service failed is kept for the next run, for a day
        if isinstance(error, ServiceError | KeyboardInterrupt):
            return
        # staging goes by itself, too: an error is not to be hidden by one behind it
        with suppress(CbiError) if error is not None else nullcontext():
            self.close()

    def cost(self) -> JobCost:
        """Return the cost of this object's jobs so far."""
        return self._jobs.cost()

    @_told
    def create_tables(self, specs: Iterable[TableSpec]) -> None:
        """Create what is absent, add columns that are new, refuse what would let rows expire."""
        live_schema.create_tables(self._connection, self._jobs, specs)

    @_told
    def live_table(self, spec: TableSpec) -> LiveTable | None:
        """The table as it is."""
        return live_schema.live_table(self._connection, spec)

    @_told
    def stage_parquet(self, name: str, paths: Sequence[Path]) -> str:
        """A staging table named by the files' content, filled by one load job a file.

        Files that an earlier run of this home sent into it are not sent again.
        """
        rows = sum(pq.read_metadata(path).num_rows for path in paths)
        names = [hashlib.sha256(path.name.encode()).hexdigest()[:16] for path in paths]
        digest = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16]
        fields = live_schema.staging_fields(pq.read_schema(path) for path in paths)
        for _ in range(2):
            table = self._staging_table(f"{name}_{digest}", fields)
            for path, content in zip(paths, names, strict=True):
                self._jobs.load(path, table, content)
            held = self.query(f"SELECT COUNT(*) AS held FROM `{STAGING}.{table.table_id}`")
            if held["held"][0] == rows:
                return f"{STAGING}.{table.table_id}"
            self._drop(table.table_id)
        raise AuditError(
            f"{name}: {rows:,} records were sent to BigQuery and {held['held'][0]:,} arrived. "
            "Nothing was published; run this again."
        )

    @_told
    def stage_frame(self, name: str, frame: pl.DataFrame) -> str:
        """A staging table with the frame's rows."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        arrow = frame.to_arrow()
        path = self._scratch / f"{self._safe(name)}.parquet"
        pq.write_table(arrow, path, compression="zstd")
        with open(path, "rb") as raw:
            digest = hashlib.file_digest(raw, "sha256").hexdigest()[:16]
        table = self._staging_table(f"{name}_{digest}", live_schema.staging_fields([arrow.schema]))
        self._jobs.load(path, table, digest)
        path.unlink()
        return f"{STAGING}.{table.table_id}"

    @_told
    def stage_query(self, name: str, sql: str, params: Params | None = None) -> str:
        """A staging table with the query's rows."""
        self._open_staging()
        table_id = self._safe(name)
        self._staged.add(table_id)
        self._jobs.query(
            f"CREATE OR REPLACE TABLE `{STAGING}.{table_id}` OPTIONS (expiration_timestamp = "
            f"TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL {STAGING_HOURS} HOUR)) AS\n{sql}",
            params,
        )
        return f"{STAGING}.{table_id}"

    def query(self, sql: str, params: Params | None = None) -> pl.DataFrame:
        """The query's rows as a frame, over the Storage Read API where they are many."""
        frame = pl.from_arrow(self._jobs.query(sql, params))
        assert isinstance(frame, pl.DataFrame)
        return frame.with_columns(cs.decimal().cast(pl.Int64))

    def to_dialect(self, sql: str) -> str:
        """Return the statement unchanged; table names resolve in the console's project."""
        return sql

    def transact(self, statements: Iterable[Statement]) -> None:
        """All of the statements, or none."""
        self._jobs.transact(list(statements))

    @_told
    def close(self) -> None:
        """Drop the staging tables."""
        for table_id in sorted(self._staged):
            self._drop(table_id)

    def _staging_table(self, name: str, fields: Sequence[bigquery.SchemaField]) -> bigquery.Table:
        self._open_staging()
        table_id = self._safe(name)
        now = dt.datetime.now(dt.UTC)
        table = bigquery.Table(f"{self._connection.options.project}.{STAGING}.{table_id}", fields)
        table.expires = now + dt.timedelta(hours=STAGING_HOURS)
        table.labels = LABELS
        self._staged.add(table_id)
        made = self._client.create_table(table, exists_ok=True, retry=self._connection.retry)
        if made.expires is not None and made.expires > now + dt.timedelta(hours=STAGING_HOURS / 2):
            return made
        # an earlier run's, about to expire
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
        """A staging table's id: the home's, and without what means something in an id."""
        return plain_id(f"{self._owner}_{re.sub(r'\W', '_', name)}")
