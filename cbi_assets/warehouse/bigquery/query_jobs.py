"""Run BigQuery jobs idempotently, within limits, with retries, and add up their cost.

Queries and `CREATE OR REPLACE` may be repeated, so the client's own retries suffice. The ID of a
load job or transaction is derived from what it does: a repeated request gets 409 and attaches to
the job, and only a job that is known to have failed is retried under a new ID.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
from google.api_core import exceptions
from google.api_core.retry import Retry
from google.cloud import bigquery, storage
from google.cloud.bigquery.retry import DEFAULT_JOB_RETRY, DEFAULT_RETRY

from cbi_assets.errors import UsageError
from cbi_assets.tables import ALL_TABLES
from cbi_assets.warehouse.base import Assertion, JobCost, Params, Statement
from cbi_assets.warehouse.bigquery.connection import Connection
from cbi_assets.warehouse.bigquery.error_translation import (
    QUOTA_REASONS,
    reasons,
    translate_errors,
)
from cbi_assets.warehouse.bigquery.script import query_parameters, transaction_script

LABELS = {"tool": "cbi_assets"}

_PAGE_ROWS = 5_000
"""Results of up to this many rows come with the response, longer ones by the Storage Read API."""

BUCKET_BYTES = 64 << 20
"""Larger files go through the bucket if one is set; else the client uploads them in chunks."""

_CHUNKED_BYTES = 5 << 20
"""Files from this size on are sent in chunks by the client."""

_LARGE = tuple(spec.id for spec in ALL_TABLES if spec.partition_by)
# BigQuery reports a conflict under the same reason code as an invalid query.
_CONFLICT = re.compile(r"aborted due to concurrent update|could not serialize access", re.I)
_FAILED_ASSERTION = re.compile(r"cbi-assertion (\d+) (\{.*\})", re.S)


class Jobs:
    """Runs jobs over one connection and adds up their cost. `owner` marks this home's jobs."""

    def __init__(self, connection: Connection, owner: str) -> None:
        self._connection = connection
        self._client = connection.client
        self._owner = owner
        # Two runs may transact the same statements, and both must execute. Only a repeated request
        # within one run is the same transaction.
        self._run = uuid.uuid4().hex[:12]
        self._transactions = 0
        self._sizes: dict[str, int] = {}
        self._staged: dict[str, int] = {}
        self._unaccounted: list[str] = []
        self._cost = JobCost()

    def cost(self) -> JobCost:
        """Return the cost of the jobs so far.

        Fetches each job's statistics, which the response to a query leaves out.
        """
        jobs, self._unaccounted = self._unaccounted, []
        with translate_errors(), ThreadPoolExecutor(max_workers=8) as pool:
            for job in pool.map(self._find, jobs):
                if job is not None:
                    self._account(job)
        return self._cost

    def query(self, sql: str, params: Params | None = None) -> pa.Table:
        """Run a query that may be repeated, and return its rows."""
        with translate_errors():
            self._check_bytes([(sql, params)])
            return self._repeatable(sql, params).to_arrow(
                bqstorage_client=self._connection.reader, create_bqstorage_client=False
            )

    def script(self, statements: Sequence[str]) -> None:
        """Run statements that may be repeated, as one script."""
        with translate_errors():
            self._repeatable(";\n".join(statements), None)

    def _repeatable(self, sql: str, params: Params | None) -> Any:
        rows = self._client.query_and_wait(
            sql,
            job_config=self._config(query_parameters(sql, params)),
            retry=self._connection.retry,
            job_retry=DEFAULT_JOB_RETRY.with_timeout(self._connection.options.patience),
            page_size=_PAGE_ROWS,
        )
        if rows.job_id:
            self._unaccounted.append(rows.job_id)
        return rows

    def transact(self, statements: Sequence[Statement]) -> None:
        """Run the statements as one multi-statement transaction.

        Retries one that failed transiently or was cancelled by a conflicting transaction.
        """
        with translate_errors():
            self._check_bytes(
                [(s.sql, s.params) for s in statements if not isinstance(s, Assertion)]
            )
            script, params = transaction_script(statements)
            self._transactions += 1
            base = f"cbi-{self._owner}-{self._run}-transaction-{self._transactions}"
            number = 1

            def attempt() -> None:
                nonlocal number
                job_id = f"{base}-{number}"
                job = self._submit(script, params, job_id)
                if job_id not in self._unaccounted:
                    self._unaccounted.append(job_id)
                try:
                    job.result(retry=self._connection.retry, job_retry=None)
                except exceptions.GoogleAPICallError:
                    # Take a new job ID only if this job is known to have failed. Otherwise it may
                    # still commit, and reusing the ID makes the retry attach to it instead of
                    # running the transaction twice.
                    if (found := self._find(job_id)) is not None and found.error_result:
                        number += 1
                    raise

            self._sizes.clear()
            try:
                self._retrying(_is_transient)(attempt)()
            except exceptions.GoogleAPICallError as error:
                if found := _FAILED_ASSERTION.search(str(error)):
                    assertion = statements[int(found[1])]
                    assert isinstance(assertion, Assertion)
                    # the clients append the job's message again
                    values = json.JSONDecoder().raw_decode(found[2])[0].values()
                    raise assertion.failure(values) from None
                raise

    @property
    def has_bucket(self) -> bool:
        """Whether files can be uploaded through a bucket, so that one job loads many."""
        return self._connection.bucket is not None

    def load(self, paths: Sequence[Path], table: bigquery.Table, name: str) -> None:
        """Append Parquet files to a table by one load job, once per table and content.

        More than one file requires a bucket.

        `name` identifies the content. The job's ID also contains the time at which the table was
        created, so that loads into an earlier table of the same name do not count.
        """
        assert table.created is not None
        table_id = f"{table.dataset_id}.{table.table_id}"
        base = f"cbi-{table.table_id}-{table.created:%Y%m%d%H%M%S%f}-{name}"
        number = 1

        def attempt() -> None:
            nonlocal number
            # A failed attempt, of this run or an earlier one, loaded nothing.
            while (job := self._find(f"{base}-{number}")) is not None and job.error_result:
                number += 1
            with self._upload(paths, table, f"{base}-{number}", job) as uploaded:
                uploaded.result(retry=self._connection.retry)
                self._staged[table_id] = self._staged.get(table_id, 0) + (
                    uploaded.output_bytes or 0
                )

        with translate_errors():
            self._retrying(lambda e: _is_transient(e) or DEFAULT_RETRY._predicate(e))(attempt)()

    @contextmanager
    def _upload(
        self,
        paths: Sequence[Path],
        table: bigquery.Table,
        job_id: str,
        found: bigquery.LoadJob | None,
    ) -> Iterator[bigquery.LoadJob]:
        """Yield the load job of this ID, submitting it if it was not found.

        The files it reads from the bucket, if any, are deleted on exit.
        """
        bucket = self._connection.bucket
        if len(paths) == 1 and (bucket is None or paths[0].stat().st_size <= BUCKET_BYTES):
            yield found or self._submit_load(paths, table, job_id)
            return
        assert bucket is not None
        blobs = [
            bucket.blob(f"cbi_assets/{job_id}{f'-{number}' if number else ''}.parquet")
            for number in range(len(paths))
        ]
        try:
            yield found or self._submit_load(paths, table, job_id, blobs)
        finally:
            for blob in blobs:
                with suppress(exceptions.NotFound):
                    blob.delete()

    def _submit_load(
        self,
        paths: Sequence[Path],
        table: bigquery.Table,
        job_id: str,
        blobs: Sequence[storage.Blob] = (),
    ) -> bigquery.LoadJob:
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            labels=LABELS,
        )
        # Without it, a list is loaded as a record of records.
        parquet = bigquery.ParquetOptions()
        parquet.enable_list_inference = True
        config.parquet_options = parquet
        size = sum(path.stat().st_size for path in paths)
        timeout = self._connection.options.timeout
        try:
            if blobs:
                for path, blob in zip(paths, blobs, strict=True):
                    blob.upload_from_filename(str(path), timeout=timeout)
                job = self._client.load_table_from_uri(
                    [f"gs://{blob.bucket.name}/{blob.name}" for blob in blobs],
                    table.reference,
                    job_id=job_id,
                    job_config=config,
                    retry=self._connection.retry,
                )
            else:
                with open(paths[0], "rb") as file:
                    job = self._client.load_table_from_file(
                        file,
                        table.reference,
                        size=size,
                        # `load` retries the whole file; of one sent in chunks, only the chunk.
                        num_retries=0 if size < _CHUNKED_BYTES else 6,
                        job_id=job_id,
                        job_config=config,
                        timeout=timeout,
                    )
        except exceptions.Conflict:
            found: bigquery.LoadJob | None = self._find(job_id)
            if found is None:
                raise
            return found
        self._cost.bytes_uploaded += size
        self._cost.jobs += 1
        return job

    def _find(self, job_id: str) -> Any:
        """Return a job; None if there is none or this account may not see whether there is."""
        try:
            return self._client.get_job(job_id, retry=self._connection.retry)
        except exceptions.NotFound:
            return None
        except exceptions.Forbidden as error:
            # An account that sees only its own jobs may be denied one that does not exist.
            if reasons(error) & QUOTA_REASONS:
                raise
            return None

    def _submit(
        self, script: str, params: list[bigquery.ScalarQueryParameter], job_id: str
    ) -> bigquery.QueryJob:
        config = self._config(params)
        options = bigquery.ScriptOptions()
        options.statement_byte_budget = self._connection.options.max_bytes_billed
        config.script_options = options
        try:
            return self._client.query(
                script,
                job_config=config,
                job_id=job_id,
                retry=self._connection.retry,
                job_retry=None,
            )
        except exceptions.Conflict:
            job: bigquery.QueryJob | None = self._find(job_id)
            if job is None:
                raise
            return job

    def _retrying(self, predicate: Callable[[Exception], bool]) -> Retry:
        return Retry(
            predicate=predicate,
            initial=1.0,
            maximum=30.0,
            multiplier=2.0,
            timeout=self._connection.options.patience,
        )

    def _config(self, params: Sequence[Any]) -> bigquery.QueryJobConfig:
        return bigquery.QueryJobConfig(
            query_parameters=params,
            maximum_bytes_billed=self._connection.options.max_bytes_billed,
            labels=LABELS,
        )

    def _check_bytes(self, statements: Sequence[tuple[str, Params | None]]) -> None:
        """Dry-run statements on tables larger than the byte limit; raise UsageError above it."""
        limit = self._connection.options.max_bytes_billed
        for sql, params in statements:
            read = sum(sql.count(f"`{name}`") * self._size(name) for name in _LARGE)
            read += sum(sql.count(f"`{name}`") * size for name, size in self._staged.items())
            if read <= limit:
                continue
            config = self._config(query_parameters(sql, params))
            config.dry_run = True
            job = self._client.query(
                sql, job_config=config, retry=self._connection.retry, job_retry=None
            )
            if (job.total_bytes_processed or 0) > limit:
                gib = 1 << 30
                raise UsageError(
                    f"a query would read {job.total_bytes_processed / gib:,.2f} GiB, and "
                    f"{limit / gib:,.2f} GiB are allowed",
                    subject="CBI_BQ_MAX_BYTES_BILLED",
                    remedy="Nothing was billed. Raise it: selecting fewer roots hardly reads less.",
                )

    def _size(self, table_id: str) -> int:
        """Return a table's bytes, cached until this object's next transaction."""
        if table_id not in self._sizes:
            try:
                table = self._client.get_table(table_id, retry=self._connection.retry)
                self._sizes[table_id] = table.num_bytes or 0
            except exceptions.NotFound:
                self._sizes[table_id] = 0
        return self._sizes[table_id]

    def _account(self, job: bigquery.QueryJob) -> None:
        self._cost.jobs += 1
        self._cost.bytes_billed += job.total_bytes_billed or 0
        self._cost.slot_ms += job.slot_millis or 0


def _is_transient(error: BaseException) -> bool:
    """Return whether a job failed transiently: by the client's own predicate, or in a conflict."""
    if isinstance(error, exceptions.GoogleAPICallError):
        if _CONFLICT.search(str(error)):
            return True
        return bool(DEFAULT_JOB_RETRY._predicate(error))
    return False
