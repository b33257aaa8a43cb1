"""Dagster's BigQuery resource connects as the settings say and leaves the environment alone."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import dagster as dg
import pytest
from dagster_gcp import BigQueryResource

from cbi_assets.config.settings import Settings
from cbi_assets.errors import UsageError
from cbi_assets.pipeline.bigquery_resource import BigQuery
from cbi_assets.pipeline.resources import ProjectResource
from cbi_assets_tests.bigquery.emulator import Emulator


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, cbi_bq_project="from-settings", **given)  # type: ignore[call-arg]


def test_resource_is_a_dagster_bigquery_resource() -> None:
    assert issubclass(BigQuery, BigQueryResource)


def test_configuration_overrides_the_settings() -> None:
    assert BigQuery().options(settings()).project == "from-settings"
    assert BigQuery().options(settings()).location == "us-central1"
    options = BigQuery(project="mine", location="EU").options(settings())
    assert (options.project, options.location) == ("mine", "EU")


def test_key_is_passed_on_without_touching_the_environment() -> None:
    before = dict(os.environ)
    key = base64.b64encode(json.dumps({"client_email": "a@b"}).encode()).decode()
    options = BigQuery(gcp_credentials=key).options(settings())
    assert options.key == {"client_email": "a@b"}
    assert dict(os.environ) == before


@pytest.mark.parametrize("key", ["not base64!", base64.b64encode(b"[1]").decode()])
def test_options_raise_on_an_invalid_key(key: str) -> None:
    with pytest.raises(UsageError, match=r"^gcp_credentials: not a service account's JSON key"):
        BigQuery(gcp_credentials=key).options(settings())


def test_get_client_serves_your_own_assets(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CBI_BQ_ENDPOINT", emulator.rest)
    before = dict(os.environ)
    found: list[int] = []

    @dg.asset
    def mine(bigquery: BigQuery) -> None:
        with bigquery.get_client() as client:
            found.extend(row[0] for row in client.query_and_wait("SELECT 40 + 2"))

    result = dg.materialize([mine], resources={"bigquery": BigQuery(project="cbi-tests")})
    assert result.success
    assert found == [42]
    assert dict(os.environ) == before


def test_project_connects_as_the_resource_configures(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CBI_BQ_ENDPOINT", emulator.rest)
    monkeypatch.setenv("CBI_WAREHOUSE", "bigquery")
    project = ProjectResource(bigquery=BigQuery(project="mine")).get()
    assert project.bigquery is not None
    assert project.bigquery.project == "mine"
    monkeypatch.setenv("CBI_WAREHOUSE", "duckdb")
    assert ProjectResource(bigquery=BigQuery(project="mine")).get().bigquery is None
