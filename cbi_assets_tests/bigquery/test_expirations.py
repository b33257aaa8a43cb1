"""Staging tables expire; a dataset or published table that would lose rows is refused."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from cbi_assets.errors import UsageError
from cbi_assets.tables import ALL_TABLES, Column, TableSpec
from cbi_assets_tests.bigquery.conftest import SPOTS, OpenRemote, one_line, work
from cbi_assets_tests.bigquery.emulator import Emulator
from cbi_assets_tests.bigquery.proxy import QUERY, TABLES, Proxy

pytestmark = pytest.mark.bigquery


def test_staging_tables_expire_within_a_day(proxy: Proxy, open_remote: OpenRemote) -> None:
    before = dt.datetime.now(dt.UTC)
    with open_remote() as warehouse:
        work(warehouse)
    made = proxy.sent("POST", TABLES)
    assert [r.body["tableReference"]["datasetId"] for r in made] == ["ops_staging"]
    for request in made:
        expires = dt.datetime.fromtimestamp(int(request.body["expirationTime"]) / 1000, dt.UTC)
        assert dt.timedelta(hours=1) < expires - before <= dt.timedelta(hours=25)
    kept = [r.sql for r in proxy.sent("POST", QUERY) if "CREATE OR REPLACE" in r.sql]
    assert len(kept) == 1
    for sql in kept:
        create = sqlglot.parse_one(sql, read="bigquery")
        assert create.find(exp.Table).db == "ops_staging"
        options = create.args["properties"].sql("bigquery")
        assert "expiration_timestamp" in options
        assert "INTERVAL '24' HOUR" in options


def test_published_tables_never_expire(proxy: Proxy, open_remote: OpenRemote) -> None:
    with open_remote() as warehouse:
        warehouse.create_tables(ALL_TABLES)
    sent = " ".join(r.sql for r in proxy.sent("POST", QUERY)).lower()
    for spec in ALL_TABLES:
        assert f"create table if not exists `{spec.id}`" in sent
    assert "expiration" not in sent
    for request in proxy.requests:
        assert "xpiration" not in json.dumps(request.body)


def create_dataset(emulator: Emulator, **properties: Any) -> None:
    with emulator.client("cbi-tests") as client:
        client._connection.api_request(
            method="POST",
            path="/projects/cbi-tests/datasets",
            data={
                "datasetReference": {"projectId": "cbi-tests", "datasetId": "ops"},
                "location": "us-central1",
                **properties,
            },
        )


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("defaultTableExpirationMs", "default_table_expiration_days"),
        ("defaultPartitionExpirationMs", "default_partition_expiration_days"),
    ],
)
def test_dataset_with_default_expiration_is_refused(
    emulator: Emulator, proxy: Proxy, open_remote: OpenRemote, name: str, setting: str
) -> None:
    create_dataset(emulator, **{name: str(60 * 86_400_000)})
    with open_remote() as warehouse, pytest.raises(UsageError) as raised:
        warehouse.create_tables(ALL_TABLES)
    text = one_line(raised.value)
    assert f"{setting} = 60" in text
    assert f"ALTER SCHEMA `ops` SET OPTIONS ({setting} = NULL)" in text
    assert not [r for r in proxy.sent("POST", QUERY) if "`ops." in r.sql]


def test_dataset_in_another_location_is_refused(
    emulator: Emulator, proxy: Proxy, open_remote: OpenRemote
) -> None:
    create_dataset(emulator)
    with open_remote(cbi_bq_location="EU") as warehouse, pytest.raises(UsageError) as raised:
        warehouse.create_tables([SPOTS])
    assert "Set CBI_BQ_LOCATION=us-central1." in one_line(raised.value)
    assert proxy.sent("POST", QUERY) == []


def test_jobs_and_datasets_use_the_configured_location(
    proxy: Proxy, open_remote: OpenRemote
) -> None:
    with open_remote() as warehouse:
        work(warehouse)
    made = proxy.sent("POST", r"/datasets$")
    assert [r.body["location"] for r in made] == ["us-central1", "us-central1"]
    queries = [r.body["location"] for r in proxy.sent("POST", QUERY)]
    inserted = [r.body["jobReference"]["location"] for r in proxy.sent("POST", r"/jobs$")]
    assert {*queries, *inserted} == {"us-central1"}


MONTHLY = TableSpec(
    dataset="ops",
    name="spots",
    description="a small table",
    columns=(Column("ts_event", "TIMESTAMP", "when"), Column("name", "STRING", "name")),
    key=("ts_event",),
    partition_by="ts_event",
)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"timePartitioning": {"type": "DAY", "field": "ts_event"}}, "it has DAY partitions"),
        ({"timePartitioning": {"type": "HOUR", "field": "ts_event"}}, "it has HOUR partitions"),
        (
            {
                "timePartitioning": {
                    "type": "MONTH",
                    "field": "ts_event",
                    "expirationMs": str(365 * 86_400_000),
                }
            },
            "its partitions expire",
        ),
        ({"expirationTime": "4102444800000"}, "the table expires"),
    ],
    ids=["days", "hours", "partitions", "table"],
)
def test_table_that_would_lose_rows_or_break_a_limit_is_refused(
    emulator: Emulator,
    proxy: Proxy,
    open_remote: OpenRemote,
    properties: dict[str, Any],
    expected: str,
) -> None:
    create_dataset(emulator)
    fields = [{"name": "ts_event", "type": "TIMESTAMP"}, {"name": "name", "type": "STRING"}]
    reference = {"projectId": "cbi-tests", "datasetId": "ops", "tableId": "spots"}
    body = {
        "tableReference": reference,
        "schema": {"fields": fields},
        "labels": {"spec": MONTHLY.fingerprint},
        **properties,
    }
    with emulator.client("cbi-tests") as client:
        path = "/projects/cbi-tests/datasets/ops/tables"
        client._connection.api_request(method="POST", path=path, data=body)
    with open_remote() as warehouse, pytest.raises(UsageError) as raised:
        warehouse.create_tables([MONTHLY])
    assert f"ops.spots: {expected}" in one_line(raised.value)
    assert proxy.sent("POST", QUERY) == []
