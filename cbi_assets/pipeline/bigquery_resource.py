"""The BigQuery resource.

It has a module of its own because its base class takes two seconds to import, which a command that
does not need it should not pay for.
"""

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
    """BigQuery as the settings configure it; the resource's own configuration overrides them.

    Unlike its base class it passes credentials to the client instead of setting environment
    variables, and it supports an emulator's endpoint on loopback.
    """

    def options(self, settings: Settings) -> Options:
        """Return a connection's options. Raises UsageError if the settings are incomplete."""
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
        """Yield an open client, for your own assets."""
        with connect(self.options(load_settings())) as connection:
            yield connection.client


def _service_account_key(encoded: str) -> dict[str, str]:
    try:
        key = json.loads(base64.b64decode(encoded))
    except ValueError as error:
        raise UsageError(
            f"not a service account's JSON key in base64 ({error})", subject="gcp_credentials"
        ) from None
    if not isinstance(key, dict):
        raise UsageError("not a service account's JSON key in base64", subject="gcp_credentials")
    return key
