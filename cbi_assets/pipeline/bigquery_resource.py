"""The BigQuery resource, in a module of its own: its parent takes two seconds to import, which the
command line does not owe anybody."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from dagster_gcp import BigQueryResource
from google.cloud import bigquery

from cbi_assets.config.settings import Settings, load_settings
from cbi_assets.errors import UsageError
from cbi_assets.warehouse.bigquery.connection import Options, connect


class BigQuery(BigQueryResource):
    """BigQuery as the settings ask for it; what is configured here wins over them.

    Unlike its parent it hands credentials to the client and leaves the process environment alone,
    and it knows an emulator's endpoint, on loopback only.
    """

    def options(self, settings: Settings) -> Options:
        """The options of a connection. Raises UsageError where the settings do not lead to one."""
        given: dict[str, Any] = {}
        if self.project:
            given["cbi_bq_project"] = self.project
        if self.location:
            given["cbi_bq_location"] = self.location
        options = Options.of(settings.model_copy(update=given))
        if self.gcp_credentials:
            return replace(options, key=_service_account_key(self.gcp_credentials))
        return options

    @contextmanager
    def get_client(self) -> Iterator[bigquery.Client]:
        """An open client, for assets of one's own beside the project's."""
        with connect(self.options(load_settings())) as connection:
            yield connection.client


def _service_account_key(encoded: str) -> dict[str, str]:
    try:
        key = json.loads(base64.b64decode(encoded))
    except ValueError as error:
        raise UsageError(
            f"gcp_credentials: not a service account's JSON key in base64 ({error})."
        ) from None
    if not isinstance(key, dict):
        raise UsageError("gcp_credentials: not a service account's JSON key in base64.")
    return key
