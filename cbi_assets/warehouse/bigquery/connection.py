"""Open clients for BigQuery, its Storage Read API and a bucket, as the settings say.

Credentials are passed to the clients; the process environment is read, never changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google.auth
import google.auth.credentials
import grpc
import requests
from google.api_core.client_options import ClientOptions
from google.api_core.retry import Retry
from google.auth import exceptions as auth_exceptions
from google.auth.transport.requests import AuthorizedSession
from google.cloud import bigquery, storage
from google.cloud.bigquery.retry import DEFAULT_RETRY
from google.cloud.bigquery_storage_v1 import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import (
    BigQueryReadGrpcTransport,
)
from google.oauth2 import service_account

from cbi_assets.config.settings import Settings, is_loopback
from cbi_assets.errors import UsageError

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


@dataclass(frozen=True)
class Options:
    """The parameters of a connection.

    `credentials` is the path of a service account's key, `key` the key itself. `timeout` limits one
    request, `patience` the retries of transient errors, both in seconds.
    """

    project: str
    location: str
    max_bytes_billed: int
    credentials: Path | None = None
    key: Mapping[str, str] | None = None
    endpoint: str | None = None
    storage_endpoint: str | None = None
    bucket: str | None = None
    bucket_endpoint: str | None = None
    timeout: float = 120.0
    patience: float = 600.0

    @classmethod
    def of(cls, settings: Settings) -> Options:
        """Return the options in the settings. Raises UsageError if they are inconsistent."""
        if not settings.cbi_bq_project:
            raise UsageError(
                "not set",
                subject="CBI_BQ_PROJECT",
                remedy="Set it to the Google Cloud project of the warehouse.",
            )
        for name in ("cbi_bq_endpoint", "cbi_bq_storage_endpoint", "cbi_bq_bucket_endpoint"):
            if (endpoint := getattr(settings, name)) and not is_loopback(endpoint):
                raise UsageError(
                    f"{endpoint} is not on loopback",
                    subject=name.upper(),
                    remedy="An endpoint gets no credentials and is for an emulator on this "
                    "machine; unset it for BigQuery.",
                )
        return cls(
            project=settings.cbi_bq_project,
            location=settings.cbi_bq_location,
            max_bytes_billed=settings.cbi_bq_max_bytes_billed,
            credentials=settings.cbi_bq_credentials,
            endpoint=settings.cbi_bq_endpoint,
            storage_endpoint=settings.cbi_bq_storage_endpoint,
            bucket=settings.cbi_bq_bucket,
            bucket_endpoint=settings.cbi_bq_bucket_endpoint,
            timeout=settings.cbi_bq_timeout,
            patience=settings.cbi_bq_patience,
        )


@dataclass(frozen=True)
class Connection:
    """Open clients. `reader` is None for an emulator without a Storage Read API."""

    options: Options
    client: bigquery.Client
    reader: BigQueryReadClient | None
    bucket: storage.Bucket | None

    @property
    def retry(self) -> Retry:
        """The client's default retry predicate, limited to the options' `patience`."""
        retry: Retry = DEFAULT_RETRY.with_timeout(self.options.patience)
        return retry


def find_credentials(options: Options) -> google.auth.credentials.Credentials:
    """Return the service account's key, else application-default credentials.

    An emulator gets anonymous ones. Raises UsageError if there are none or the key is unreadable.
    """
    if options.endpoint:
        return google.auth.credentials.AnonymousCredentials()
    if options.key or options.credentials:
        try:
            return _of_service_account(options)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{options.credentials or 'the key of the resource'} is not a service account's "
                f"key ({error})",
                subject="CBI_BQ_CREDENTIALS",
                remedy="Set it to the path of the JSON key, or unset it for application-default "
                "credentials.",
            ) from None
    try:
        found, _ = google.auth.default(scopes=SCOPES, quota_project_id=options.project)
    except auth_exceptions.DefaultCredentialsError:
        raise UsageError(
            "none found",
            subject="Google credentials",
            remedy="Run `gcloud auth application-default login`, or set CBI_BQ_CREDENTIALS to a "
            "service account's JSON key.",
        ) from None
    return found


def _of_service_account(options: Options) -> google.auth.credentials.Credentials:
    made: google.auth.credentials.Credentials
    if options.key:
        made = service_account.Credentials.from_service_account_info(options.key, scopes=SCOPES)
    else:
        path = str((options.credentials or Path()).expanduser())
        made = service_account.Credentials.from_service_account_file(path, scopes=SCOPES)
    return made


@contextmanager
def connect(options: Options) -> Iterator[Connection]:
    """Open the clients; close them on exit."""
    credentials = find_credentials(options)
    client = bigquery.Client(
        project=options.project,
        location=options.location,
        credentials=credentials,
        client_options=_options(options.endpoint),
        _http=_Session(credentials, options.timeout),
    )
    reader = _reader(options, credentials)
    bucket_client: storage.Client | None = None
    try:
        if options.bucket:
            bucket_client = storage.Client(
                project=options.project,
                credentials=credentials,
                client_options=_options(options.bucket_endpoint),
            )
        bucket = bucket_client.bucket(options.bucket) if bucket_client else None
        yield Connection(options, client, reader, bucket)
    finally:
        client.close()
        if reader is not None:
            reader.transport.close()
        if bucket_client is not None:
            bucket_client.close()


class _Session(AuthorizedSession):
    """A session that limits every request: the clients' own limits are minutes, or none."""

    def __init__(self, credentials: google.auth.credentials.Credentials, timeout: float) -> None:
        AuthorizedSession.__init__(self, credentials)
        self._timeout = timeout

    def request(self, *args: Any, **options: Any) -> requests.Response:
        requested = options.get("timeout")
        if not isinstance(requested, int | float):  # None, or an upload's (connect, read) pair
            requested = self._timeout
        options["timeout"] = min(requested, self._timeout)
        response: requests.Response = AuthorizedSession.request(self, *args, **options)
        return response


def _options(endpoint: str | None) -> ClientOptions | None:
    return ClientOptions(api_endpoint=endpoint) if endpoint else None


def _reader(
    options: Options, credentials: google.auth.credentials.Credentials
) -> BigQueryReadClient | None:
    if not options.endpoint:
        return BigQueryReadClient(credentials=credentials)
    if not options.storage_endpoint:
        return None
    # gRPC's default limit of 4 MB per message is too small for a stream of rows.
    channel = grpc.insecure_channel(
        options.storage_endpoint, options=[("grpc.max_receive_message_length", -1)]
    )
    return BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))
