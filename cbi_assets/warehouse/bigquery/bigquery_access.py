"""Ask BigQuery for each right that a load needs, one after the other, and say which is missing.

Rights are proved by using them: `SELECT 1` bills nothing, and the tables that are made for it are
empty, expire within the hour and are deleted at once.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import google.auth.credentials
from google.api_core import exceptions
from google.api_core.retry import Retry
from google.auth import exceptions as auth_exceptions
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_JOB_RETRY
from google.cloud.bigquery_storage_v1 import types
from requests import exceptions as request_exceptions

from cbi_assets.config.settings import Settings
from cbi_assets.errors import UsageError
from cbi_assets.tables import ALL_TABLES
from cbi_assets.warehouse.access_checks import Finding
from cbi_assets.warehouse.bigquery.bigquery_warehouse import STAGING
from cbi_assets.warehouse.bigquery.connection import (
    Connection,
    Options,
    connect,
    find_credentials,
)
from cbi_assets.warehouse.bigquery.error_translation import telling
from cbi_assets.warehouse.bigquery.live_schema import open_dataset

DATASETS = (STAGING, *sorted({spec.dataset for spec in ALL_TABLES}))

_PATIENCE = 20.0
"""Seconds that a request may take, and passing errors are retried: someone waits for the answer."""

_FAILURES = (
    exceptions.GoogleAPIError,
    auth_exceptions.GoogleAuthError,
    request_exceptions.RequestException,
)


def check_bigquery(settings: Settings) -> Iterator[Finding]:
    """Look at settings, credentials, project, roles and bucket; stop where no more can be asked."""
    try:
        if settings.home.is_demo:
            raise UsageError(
                f"CBI_HOME: {settings.home.root} is a demo's home, and synthetic bars enter no "
                "real warehouse. Choose another one."
            )
        options = _hasty(Options.of(settings))
    except UsageError as error:
        yield Finding("settings", "missing", str(error))
        return
    yield Finding("settings", "ok", f"project {options.project}, location {options.location}")
    try:
        credentials = find_credentials(options)
    except UsageError as error:
        yield Finding("credentials", "missing", str(error))
        return
    with telling(), connect(options) as connection:
        yield from _Probe(connection, _member(credentials)).findings()


def _hasty(options: Options) -> Options:
    patience = min(_PATIENCE, options.patience)
    return replace(options, patience=patience, timeout=min(_PATIENCE, options.timeout))


class _Probe:
    """Asks over one connection. `member` is how IAM names whose rights are asked for."""

    def __init__(self, connection: Connection, member: str) -> None:
        self._connection = connection
        self._client = connection.client
        self._project = connection.options.project
        self._location = connection.options.location
        self._member = member
        self._retry = connection.retry
        patience = connection.options.patience
        self._job_retry: Retry = DEFAULT_JOB_RETRY.with_timeout(patience)

    def findings(self) -> Iterator[Finding]:
        """All there is to ask."""
        project = self._ask_for_jobs()
        yield project
        may_run_jobs = project.verdict == "ok"
        if not may_run_jobs and project.name != "bigquery.jobUser":
            return
        writable: list[str] = []
        absent: list[str] = []
        for name in DATASETS:
            finding = self._ask_for_dataset(name)
            yield finding
            if finding.verdict == "ok":
                writable.append(name)
            elif finding.verdict == "note":
                absent.append(name)
        if absent:
            yield from self._ask_for_new_dataset(absent, may_run_jobs and not writable)
        if writable:
            yield from self._ask_for_table(writable[0], may_run_jobs)
        if self._connection.bucket is not None:
            yield self._ask_for_bucket()

    def _ask_for_jobs(self) -> Finding:
        name = "bigquery.jobUser"
        try:
            self._run("SELECT 1")
        except exceptions.Forbidden as error:
            if found := self._of_project(error, "bigquery.googleapis.com"):
                return found
            return Finding(
                name, "missing", f"no query may be run ({_line(error)}). {self._grant(name)}"
            )
        except exceptions.NotFound as error:
            return Finding(
                "project", "missing", f"CBI_BQ_PROJECT: {_line(error)}. Correct the project's id."
            )
        except exceptions.BadRequest as error:
            setting = "CBI_BQ_LOCATION" if "location" in str(error).lower() else "CBI_BQ_PROJECT"
            return Finding("project", "missing", f"{setting}: {_line(error)}. Correct it.")
        except _FAILURES as error:
            return _unanswered(error)
        return Finding(name, "ok", f"queries run in {self._project}, {self._location}")

    def _ask_for_dataset(self, name: str) -> Finding:
        title = f"dataset {name}"
        mend = (
            f"GRANT `roles/bigquery.dataEditor` ON SCHEMA `{self._project}.{name}` "
            f'TO "{self._member}"'
        )
        try:
            self._client.get_dataset(name, retry=self._retry)
            open_dataset(self._connection, name, expiring=name == STAGING)
            with self._empty_table(name):
                return Finding(title, "ok", f"lies in {self._location}; tables can be made in it")
        except exceptions.NotFound:
            return Finding(title, "note", "absent; the first load makes it")
        except UsageError as error:
            return Finding(title, "missing", str(error))
        except exceptions.Forbidden as error:
            return Finding(
                title, "missing", f"bigquery.dataEditor is missing ({_line(error)}). Run: {mend}"
            )
        except _FAILURES as error:
            return _unanswered(error, title)

    def _ask_for_new_dataset(self, absent: list[str], with_table: bool) -> Iterator[Finding]:
        """Make a dataset, as the first load would, and drop it again."""
        title = "new datasets"
        dataset = bigquery.Dataset(f"{self._project}.cbi_check_{uuid.uuid4().hex[:12]}")
        dataset.location = self._location
        dataset.default_table_expiration_ms = 3_600_000
        try:
            self._client.create_dataset(dataset, retry=self._retry)
        except exceptions.Forbidden as error:
            commands = " && ".join(
                f"bq --location={self._location} mk --dataset {self._project}:{name}"
                for name in absent
            )
            text = f"none may be made ({_line(error)}). Have them made: {commands}"
            yield Finding(title, "missing", text)
            return
        except _FAILURES as error:
            yield _unanswered(error, title)
            return
        try:
            yield Finding(title, "ok", f"can be made in {self._location}")
            if with_table:
                yield from self._ask_for_table(dataset.dataset_id, True)
        finally:
            self._client.delete_dataset(dataset, not_found_ok=True, retry=self._retry)

    def _ask_for_table(self, dataset: str, may_run_jobs: bool) -> Iterator[Finding]:
        """Change an empty table's rows, and read it."""
        try:
            with self._empty_table(dataset) as table:
                if may_run_jobs:
                    yield self._ask_for_changes(table)
                yield self._ask_for_reading(table)
        except _FAILURES as error:
            yield _unanswered(error, f"dataset {dataset}")

    def _ask_for_changes(self, table: bigquery.TableReference) -> Finding:
        name = "billing"
        try:
            self._run(f"DELETE FROM `{table.dataset_id}.{table.table_id}` WHERE TRUE")
        except exceptions.Forbidden as error:
            if _is_sandbox(error):
                return Finding(
                    name,
                    "missing",
                    f"{self._project} is a sandbox, in which rows cannot be changed (no DML). Link "
                    f"a billing account: gcloud billing projects link {self._project} "
                    "--billing-account=ACCOUNT",
                )
            return Finding(name, "missing", f"rows may not be changed ({_line(error)}).")
        except _FAILURES as error:
            return _unanswered(error, name)
        return Finding(name, "ok", "rows can be changed: no sandbox")

    def _ask_for_reading(self, table: bigquery.TableReference) -> Finding:
        name = "bigquery.readSessionUser"
        reader = self._connection.reader
        if reader is None:
            return Finding(
                name, "note", "not asked: the emulator has no CBI_BQ_STORAGE_ENDPOINT set"
            )
        try:
            reader.create_read_session(
                parent=f"projects/{self._project}",
                read_session=types.ReadSession(
                    table=table.path.lstrip("/"), data_format=types.DataFormat.ARROW
                ),
                max_stream_count=1,
                timeout=_PATIENCE,
                retry=None,
            )
        except exceptions.Forbidden as error:
            if found := self._of_project(error, "bigquerystorage.googleapis.com"):
                return found
            return Finding(
                name,
                "missing",
                f"no read session may be opened ({_line(error)}). {self._grant(name)}",
            )
        except _FAILURES as error:
            return _unanswered(error, name)
        return Finding(name, "ok", "tables can be read over the Storage Read API")

    def _ask_for_bucket(self) -> Finding:
        bucket = self._connection.bucket
        assert bucket is not None
        title = f"bucket {bucket.name}"
        blob = bucket.blob(f"cbi_assets/check-{uuid.uuid4().hex[:12]}")
        try:
            blob.upload_from_string(b"", timeout=_PATIENCE, retry=self._retry)
            blob.delete(timeout=_PATIENCE, retry=self._retry)
        except exceptions.NotFound:
            return Finding(
                title,
                "missing",
                f"CBI_BQ_BUCKET: no such bucket. Run: gcloud storage buckets create "
                f"gs://{bucket.name} --project={self._project} --location={self._location}",
            )
        except exceptions.Forbidden as error:
            if found := self._of_project(error, "storage.googleapis.com"):
                return found
            return Finding(
                title,
                "missing",
                f"files may not be written and deleted ({_line(error)}). Run: gcloud storage "
                f"buckets add-iam-policy-binding gs://{bucket.name} --member={self._member} "
                "--role=roles/storage.objectUser",
            )
        except _FAILURES as error:
            return _unanswered(error, title)
        return Finding(title, "ok", "files can be written and deleted")

    def _of_project(self, error: exceptions.Forbidden, service: str) -> Finding | None:
        """What is wrong with the whole project, if that is why something was refused."""
        reasons = _reasons(error)
        text = str(error)
        if reasons & {"accessNotConfigured", "SERVICE_DISABLED"} or "has not enabled" in text:
            return Finding(
                "API",
                "missing",
                f"{service} is not enabled in {self._project}. Run: gcloud services enable "
                f"{service} --project={self._project}",
            )
        if "USER_PROJECT_DENIED" in reasons or "serviceusage.services.use" in text:
            return Finding(
                "project",
                "missing",
                f"these credentials may not use {self._project}. "
                f"{self._grant('serviceusage.serviceUsageConsumer')}",
            )
        return None

    def _grant(self, role: str) -> str:
        return (
            f"Run: gcloud projects add-iam-policy-binding {self._project} "
            f"--member={self._member} --role=roles/{role}"
        )

    def _run(self, sql: str) -> None:
        config = bigquery.QueryJobConfig(
            maximum_bytes_billed=self._connection.options.max_bytes_billed, use_query_cache=False
        )
        self._client.query_and_wait(
            sql, job_config=config, retry=self._retry, job_retry=self._job_retry
        )

    @contextmanager
    def _empty_table(self, dataset: str) -> Iterator[bigquery.TableReference]:
        table = bigquery.Table(
            f"{self._project}.{dataset}.cbi_check_{uuid.uuid4().hex[:12]}",
            [bigquery.SchemaField("probe", "INTEGER")],
        )
        table.expires = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
        self._client.create_table(table, retry=self._retry)
        try:
            yield table.reference
        finally:
            self._client.delete_table(table, not_found_ok=True, retry=self._retry)


def _unanswered(error: Exception, name: str = "service") -> Finding:
    """What kept a question from being answered at all."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, auth_exceptions.GoogleAuthError) and not isinstance(
        cause, auth_exceptions.TransportError
    ):
        text = (
            f"refused ({_line(cause)}). Run `gcloud auth application-default login` again, or "
            "point CBI_BQ_CREDENTIALS at a key that is still valid."
        )
        return Finding("credentials", "missing", text)
    text = f"no sound answer ({_line(cause)}). Ask again later."
    return Finding(name, "missing", text, unanswered=True)


def _is_sandbox(error: exceptions.Forbidden) -> bool:
    return (
        "billingNotEnabled" in _reasons(error)
        or "billing has not been enabled" in str(error).lower()
    )


def _reasons(error: exceptions.GoogleAPICallError) -> set[str | None]:
    """The reasons given; an answer over gRPC has one at most."""
    details = [detail for detail in error.errors if isinstance(detail, dict)]
    return {error.reason, *(detail.get("reason") for detail in details)}


def _member(credentials: google.auth.credentials.Credentials) -> str:
    email = getattr(credentials, "service_account_email", None)
    return f"serviceAccount:{email}" if email and "@" in email else "user:YOUR_ACCOUNT"


def _line(error: object) -> str:
    message = getattr(error, "message", None) or error
    return " ".join(str(message).split("\n\n")[0].split()).rstrip(".")
