"""Run jobs so that asking twice does nothing twice: ids of their own, limits, retries, costs.

Reading and `CREATE OR REPLACE` may be repeated at will, so the client's own retries serve. A load
job or a transaction has an id that follows from what it does: a repeated request meets 409 and is
looked up, and only a job that is known to have failed is tried under a new id.
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
from cbi_assets.warehouse.bigquery.error_translation import telling
from cbi_assets.warehouse.bigquery.script import query_parameters, transaction_script

LABELS = {"tool": "cbi_assets"}

_PAGE_ROWS = 5_000
"""Results up to here come with the answer, longer ones over the Storage Read API."""

BUCKET_BYTES = 64 << 20
"""Larger files go through the bucket where one is set; else the client sends them in chunks."""

_LARGE = tuple(spec.id for spec in ALL_TABLES if spec.partition_by)
_CONFLICT = re.compile(r"aborted due to concurrent update|could not serialize access", re.I)
_FAILED_ASSERTION = re.compile(r"cbi-assertion (\d+) (\{.*\})", re.S)


class Jobs:
    """Runs jobs over one connection and adds up what they cost. `owner` marks this home's jobs."""

    def __init__(self, connection: Connection, owner: str) -> None:
        self._connection = connection
        self._client = connection.client
        self._owner = owner
        # Two runs may have the same statements to run, and the second means it: only a repeated
        # request of one run is the same transaction.
        self._run = uuid.uuid4().hex[:12]
        self._transactions = 0
        self._sizes: dict[str, int] = {}
        self._unaccounted: list[str] = []
        self._cost = JobCost()

    def cost(self) -> JobCost:
        """Return the cost of the jobs so far.

        Fetches each job's statistics, which the response to a query leaves out.
        """
        jobs, self._unaccounted = self._unaccounted, []
        with telling(), ThreadPoolExecutor(max_workers=8) as pool:
            for job in pool.map(self._find, jobs):
                if job is not None:
                    self._account(job)
        return self._cost

    def query(self, sql: str, params: Params | None = None) -> pa.Table:
        """Run a query that changes nothing, or that may be repeated; give its rows."""
        with telling():
            self._refuse_costly([(sql, params)])
            return self._repeatable(sql, params).to_arrow(
                bqstorage_client=self._connection.reader, create_bqstorage_client=False
            )

    def script(self, statements: Sequence[str]) -> None:
        """Run statements that may be repeated, one after the other."""
        with telling():
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
        """Run the statements as one multi-statement transaction. A transaction that was cancelled
        for a conflicting one, or failed for a passing reason, is rolled back, and tried again."""
        with telling():
            self._refuse_costly(
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
                    # not to be asked about is not to have failed: it may still go through
                    if (found := self._find(job_id)) is not None and found.error_result:
                        number += 1
                    raise

            self._sizes.clear()
            try:
                self._again(_is_passing)(attempt)()
            except exceptions.GoogleAPICallError as error:
                if found := _FAILED_ASSERTION.search(str(error)):
                    assertion = statements[int(found[1])]
                    assert isinstance(assertion, Assertion)
                    # the clients append the job's message again
                    values = json.JSONDecoder().raw_decode(found[2])[0].values()
                    raise assertion.failure(values) from None
                raise

    def load(self, path: Path, table: bigquery.Table, name: str) -> None:
        """Append a Parquet file to a table by a load job; once, however often it is asked for.

        `name` tells the file's content. The job's id names table, content and attempt, and when the
        table was made: what was loaded into an earlier table of the same name does not count.
        """
        assert table.created is not None
        base = f"cbi-{table.table_id}-{table.created:%Y%m%d%H%M%S%f}-{name}"
        number = 1

        def attempt() -> None:
            nonlocal number
            # one that failed, in this run or an earlier one, has loaded nothing
            while (job := self._find(f"{base}-{number}")) is not None and job.error_result:
                number += 1
            with self._sent(path, table, f"{base}-{number}", job) as sent:
                sent.result(retry=self._connection.retry)

        with telling():
            self._again(lambda e: _is_passing(e) or DEFAULT_RETRY._predicate(e))(attempt)()

    @contextmanager
    def _sent(
        self, path: Path, table: bigquery.Table, job_id: str, found: bigquery.LoadJob | None
    ) -> Iterator[bigquery.LoadJob]:
        """The load job of this id, sent where it was not found; what it reads out of the bucket is
        deleted afterwards."""
        bucket = self._connection.bucket
        if bucket is None or path.stat().st_size <= BUCKET_BYTES:
            yield found or self._send(path, table, job_id)
            return
        blob = bucket.blob(f"cbi_assets/{job_id}.parquet")
        try:
            yield found or self._send(path, table, job_id, blob)
        finally:
            with suppress(exceptions.NotFound):
                blob.delete()

    def _send(
        self, path: Path, table: bigquery.Table, job_id: str, blob: storage.Blob | None = None
    ) -> bigquery.LoadJob:
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            labels=LABELS,
        )
        # without it, a list arrives as a record of records
        parquet = bigquery.ParquetOptions()
        parquet.enable_list_inference = True
        config.parquet_options = parquet
        size = path.stat().st_size
        timeout = self._connection.options.timeout
        try:
            if blob is not None:
                blob.upload_from_filename(str(path), timeout=timeout)
                job = self._client.load_table_from_uri(
                    f"gs://{blob.bucket.name}/{blob.name}",
                    table.reference,
                    job_id=job_id,
                    job_config=config,
                    retry=self._connection.retry,
                )
            else:
                with open(path, "rb") as file:
                    job = self._client.load_table_from_file(
                        file,
                        table.reference,
                        size=size,
                        num_retries=0,  # `load` tries again, for as long as the options say
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
        try:
            return self._client.get_job(job_id, retry=self._connection.retry)
        except exceptions.NotFound:
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

    def _again(self, predicate: Callable[[Exception], bool]) -> Retry:
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

    def _refuse_costly(self, statements: Sequence[tuple[str, Params | None]]) -> None:
        """Ask what statements would read, where the tables they name could be too much."""
        limit = self._connection.options.max_bytes_billed
        for sql, params in statements:
            if sum(sql.count(f"`{name}`") * self._size(name) for name in _LARGE) <= limit:
                continue
            config = self._config(query_parameters(sql, params))
            config.dry_run = True
            job = self._client.query(
                sql, job_config=config, retry=self._connection.retry, job_retry=None
            )
            if (job.total_bytes_processed or 0) > limit:
                raise UsageError(_too_costly(job.total_bytes_processed, limit))

    def _size(self, table_id: str) -> int:
        """A table's bytes, as they were when this object last changed something."""
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


def _is_passing(error: BaseException) -> bool:
    """Whether a job failed for a reason that the client's own list, or a conflict, says passes."""
    if isinstance(error, exceptions.GoogleAPICallError):
        if _CONFLICT.search(str(error)):
            return True
        return bool(DEFAULT_JOB_RETRY._predicate(error))
    return False


def _too_costly(needed: int, limit: int) -> str:
    gib = 1 << 30
    return (
        f"CBI_BQ_MAX_BYTES_BILLED: a query would read {needed / gib:,.2f} GiB, and "
        f"{limit / gib:,.2f} GiB are allowed. Raise it, or do fewer roots at a time; nothing was "
        "billed."
    )
