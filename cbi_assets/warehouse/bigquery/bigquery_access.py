"""Check each permission that a load needs on BigQuery, and say how to grant the missing ones.

IAM is asked what is granted on the project. What it does not grant there, it may grant on a
dataset, and its API may be disabled, so the rest is checked by using it: `SELECT 1` bills nothing,
and test tables are empty, expire within the hour and are deleted at once.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import google.auth.credentials
import requests
from google.api_core import exceptions
from google.api_core.retry import Retry
from google.auth import exceptions as auth_exceptions
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_JOB_RETRY
from google.cloud.bigquery_storage_v1 import types

from cbi_assets.config.settings import Settings
from cbi_assets.errors import UsageError
from cbi_assets.tables import ALL_TABLES
from cbi_assets.warehouse.bigquery.bigquery_warehouse import STAGING
from cbi_assets.warehouse.bigquery.connection import Connection, Options, connect, find_credentials
from cbi_assets.warehouse.bigquery.error_translation import (
    CLIENT_ERRORS,
    QUOTA_REASONS,
    last_failure,
    one_line,
    reasons,
    translate_errors,
)
from cbi_assets.warehouse.bigquery.live_schema import open_dataset
from cbi_assets.warehouse.findings import Finding

DATASETS = (STAGING, *sorted({spec.dataset for spec in ALL_TABLES}))

_IAM = "https://cloudresourcemanager.googleapis.com"
_TABLES = frozenset(
    f"bigquery.tables.{right}" for right in ("create", "delete", "getData", "updateData")
)
_DATASETS = frozenset({"bigquery.datasets.create"})

_TIMEOUT = 20.0
"""Seconds per request, and for retries: shorter than a load's, because somebody is waiting."""


def check_bigquery(settings: Settings) -> Iterator[Finding]:
    """Yield findings on settings, credentials, project, roles and bucket.

    Stops where a missing requirement makes the remaining checks impossible.
    """
    try:
        if settings.home.is_demo:
            raise UsageError(
                f"{settings.home.root} is a demo's home; its bars are synthetic",
                subject="CBI_HOME",
                remedy="Choose another CBI_HOME for BigQuery.",
            )
        options = Options.of(settings)
    except UsageError as error:
        yield Finding.of_error("settings", error)
        return
    yield Finding("settings", "ok", f"project {options.project}, location {options.location}")
    try:
        credentials = find_credentials(options)
    except UsageError as error:
        yield Finding.of_error("credentials", error)
        return
    options = replace(
        options, patience=min(_TIMEOUT, options.patience), timeout=min(_TIMEOUT, options.timeout)
    )
    with translate_errors(), connect(options) as connection:
        yield from _Probe(connection, _member(credentials)).findings()


class _Probe:
    """Checks permissions over one connection. `member` is IAM's name for the credentials."""

    def __init__(self, connection: Connection, member: str) -> None:
        self._connection = connection
        self._client = connection.client
        self._project = connection.options.project
        self._location = connection.options.location
        self._member = member
        self._granted: frozenset[str] = frozenset()
        self._retry = connection.retry
        patience = connection.options.patience
        self._job_retry: Retry = DEFAULT_JOB_RETRY.with_timeout(patience)

    def findings(self) -> Iterator[Finding]:
        project = self._check_jobs()
        yield project
        can_run_jobs = project.verdict == "ok"
        if not can_run_jobs and project.name != "bigquery.jobUser":
            return
        self._granted = self._project_permissions()
        writable: list[str] = []
        absent: list[str] = []
        for name in DATASETS:
            finding = self._check_dataset(name)
            yield finding
            if finding.verdict == "ok":
                writable.append(name)
            elif finding.verdict == "note":
                absent.append(name)
        if absent:
            yield from self._check_dataset_creation(absent, can_run_jobs and not writable)
        if writable:
            yield from self._check_table(writable[0], can_run_jobs)
        if self._connection.bucket is not None:
            yield self._check_bucket()

    def _project_permissions(self) -> frozenset[str]:
        """Return what IAM grants on the project; nothing if it gives no answer."""
        options = self._connection.options
        try:
            answer = self._client._http.post(
                f"{options.endpoint or _IAM}/v1/projects/{self._project}:testIamPermissions",
                json={"permissions": sorted(_TABLES | _DATASETS)},
                timeout=options.timeout,
            )
            return frozenset(answer.json().get("permissions", ())) if answer.ok else frozenset()
        except (requests.RequestException, auth_exceptions.GoogleAuthError):
            return frozenset()

    def _check_jobs(self) -> Finding:
        name = "bigquery.jobUser"
        try:
            self._run("SELECT 1")
        except exceptions.Forbidden as error:
            return self._of_project(error, "bigquery.googleapis.com") or Finding(
                name, "missing", f"queries are denied ({one_line(error)})", self._grant(name)
            )
        except exceptions.NotFound as error:
            return Finding(
                "project", "missing", f"CBI_BQ_PROJECT: {one_line(error)}", "Correct the id."
            )
        except exceptions.BadRequest as error:
            # The response names the wrong field in its message only.
            setting = "CBI_BQ_LOCATION" if "location" in str(error).lower() else "CBI_BQ_PROJECT"
            return Finding("project", "missing", f"{setting}: {one_line(error)}", "Correct it.")
        except CLIENT_ERRORS as error:
            return _unanswered(error)
        return Finding(name, "ok", f"queries run in {self._project}, {self._location}")

    def _check_dataset(self, name: str) -> Finding:
        title = f"dataset {name}"
        try:
            self._client.get_dataset(name, retry=self._retry)
            open_dataset(self._connection, name, expiring=name == STAGING)
            if self._granted >= _TABLES:
                return Finding(title, "ok", f"in {self._location}; IAM grants its tables")
            with self._empty_table(name):
                return Finding(title, "ok", f"in {self._location}; tables can be created in it")
        except exceptions.NotFound:
            return Finding(title, "note", "absent; the first load creates it")
        except UsageError as error:
            return Finding.of_error(title, error)
        except exceptions.Forbidden as error:
            # BigQuery does not say whether the dataset exists to an account without a role on it.
            return self._of_project(error, "bigquery.googleapis.com") or Finding(
                title,
                "missing",
                f"bigquery.dataEditor is missing ({one_line(error)})",
                f"Create the dataset if it is absent: bq --location={self._location} mk --dataset "
                f"{self._project}:{name}. Then run: GRANT `roles/bigquery.dataEditor` ON SCHEMA "
                f'`{self._project}.{name}` TO "{self._member}"',
            )
        except CLIENT_ERRORS as error:
            return _unanswered(error, title)

    def _check_dataset_creation(self, absent: list[str], with_table: bool) -> Iterator[Finding]:
        """Create a dataset, as the first load would, and delete it again."""
        title = "new datasets"
        if self._granted >= _DATASETS and not with_table:
            yield Finding(title, "ok", f"can be created in {self._location}, as IAM grants it")
            return
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
            yield self._of_project(error, "bigquery.googleapis.com") or Finding(
                title,
                "missing",
                f"creating datasets is denied ({one_line(error)})",
                f"Have them created: {commands}",
            )
            return
        except CLIENT_ERRORS as error:
            yield _unanswered(error, title)
            return
        try:
            yield Finding(title, "ok", f"can be created in {self._location}")
            if with_table:
                yield from self._check_table(dataset.dataset_id, True)
        finally:
            self._client.delete_dataset(dataset, not_found_ok=True, retry=self._retry)

    def _check_table(self, dataset: str, can_run_jobs: bool) -> Iterator[Finding]:
        """Delete from an empty table, and read it."""
        try:
            with self._empty_table(dataset) as table:
                if can_run_jobs:
                    yield self._check_dml(table)
                yield self._check_reading(table)
        except CLIENT_ERRORS as error:
            yield _unanswered(error, f"dataset {dataset}")

    def _check_dml(self, table: bigquery.TableReference) -> Finding:
        name = "billing"
        try:
            self._run(f"DELETE FROM `{table.dataset_id}.{table.table_id}` WHERE TRUE")
        except exceptions.Forbidden as error:
            if "billingNotEnabled" in reasons(error):
                return Finding(
                    name,
                    "missing",
                    f"{self._project} is a sandbox, which allows no DML",
                    f"Link a billing account: gcloud billing projects link {self._project} "
                    "--billing-account=ACCOUNT",
                )
            return self._of_project(error, "bigquery.googleapis.com") or Finding(
                name, "missing", f"changing rows is denied ({one_line(error)})"
            )
        except CLIENT_ERRORS as error:
            return _unanswered(error, name)
        return Finding(name, "ok", "DML is allowed: not a sandbox")

    def _check_reading(self, table: bigquery.TableReference) -> Finding:
        name = "bigquery.readSessionUser"
        reader = self._connection.reader
        if reader is None:
            return Finding(
                name, "note", "not checked: CBI_BQ_STORAGE_ENDPOINT is not set for the emulator"
            )
        try:
            reader.create_read_session(
                parent=f"projects/{self._project}",
                read_session=types.ReadSession(
                    table=table.path.lstrip("/"), data_format=types.DataFormat.ARROW
                ),
                max_stream_count=1,
                timeout=_TIMEOUT,
                retry=None,
            )
        except exceptions.Forbidden as error:
            return self._of_project(error, "bigquerystorage.googleapis.com") or Finding(
                name, "missing", f"read sessions are denied ({one_line(error)})", self._grant(name)
            )
        except CLIENT_ERRORS as error:
            return _unanswered(error, name)
        return Finding(name, "ok", "tables can be read over the Storage Read API")

    def _check_bucket(self) -> Finding:
        bucket = self._connection.bucket
        assert bucket is not None
        title = f"bucket {bucket.name}"
        blob = bucket.blob(f"cbi_assets/check-{uuid.uuid4().hex[:12]}")
        try:
            blob.upload_from_string(b"", timeout=_TIMEOUT, retry=self._retry)
            blob.delete(timeout=_TIMEOUT, retry=self._retry)
        except exceptions.NotFound:
            return Finding(
                title,
                "missing",
                "CBI_BQ_BUCKET: no such bucket",
                f"Run: gcloud storage buckets create gs://{bucket.name} "
                f"--project={self._project} --location={self._location}",
            )
        except exceptions.Forbidden as error:
            return self._of_project(error, "storage.googleapis.com") or Finding(
                title,
                "missing",
                f"writing or deleting files is denied ({one_line(error)})",
                f"Run: gcloud storage buckets add-iam-policy-binding gs://{bucket.name} "
                f"--member={self._member} --role=roles/storage.objectUser",
            )
        except CLIENT_ERRORS as error:
            return _unanswered(error, title)
        return Finding(title, "ok", "files can be written and deleted")

    def _of_project(self, error: exceptions.Forbidden, service: str) -> Finding | None:
        """Return the finding on the whole project that explains a denial, if there is one."""
        # Some denials carry the general reason "accessDenied"; their message alone is specific.
        codes, message = reasons(error), str(error)
        if codes & QUOTA_REASONS:
            return Finding(
                "quota",
                "missing",
                f"exhausted ({one_line(error)})",
                "Retry when it is refilled, or raise it.",
                unanswered=True,
            )
        if codes & {"accessNotConfigured", "SERVICE_DISABLED"} or "has not enabled" in message:
            return Finding(
                "API",
                "missing",
                f"{service} is not enabled in {self._project}",
                f"Run: gcloud services enable {service} --project={self._project}",
            )
        if "USER_PROJECT_DENIED" in codes or "serviceusage.services.use" in message:
            return Finding(
                "project",
                "missing",
                f"these credentials may not use {self._project}",
                self._grant("serviceusage.serviceUsageConsumer"),
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
    """Return the finding for a request that failed otherwise than by a missing permission."""
    cause = last_failure(error)
    if isinstance(cause, auth_exceptions.GoogleAuthError) and not isinstance(
        cause, auth_exceptions.TransportError
    ):
        return Finding(
            "credentials",
            "missing",
            f"rejected ({one_line(cause)})",
            "Run `gcloud auth application-default login` again, or point CBI_BQ_CREDENTIALS at a "
            "valid key.",
        )
    return Finding(
        name, "missing", f"did not respond ({one_line(cause)})", "Retry later.", unanswered=True
    )


def _member(credentials: google.auth.credentials.Credentials) -> str:
    email = getattr(credentials, "service_account_email", None)
    return f"serviceAccount:{email}" if email and "@" in email else "user:YOUR_ACCOUNT"
