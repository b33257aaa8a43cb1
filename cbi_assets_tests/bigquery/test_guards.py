"""What the emulator lets pass and BigQuery does not, or does for good: held on the requests that
leave here, and on what is refused before any does."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlglot
from sqlglot import exp

from cbi_assets.errors import AuditError, UsageError
from cbi_assets.warehouse import sql_files
from cbi_assets.warehouse.base import Statement
from cbi_assets.warehouse.bigquery.connection import Options
from cbi_assets.warehouse.bigquery.schema import staging_fields
from cbi_assets.warehouse.drift import lint_specs
from cbi_assets.warehouse.tables import ALL_TABLES, RAW, Column, TableSpec, plain_id
from cbi_assets_tests.bigquery.conftest import FRAME, SPOTS, OpenRemote, is_dry, one_line, work
from cbi_assets_tests.bigquery.emulator import Emulator
from cbi_assets_tests.bigquery.proxy import (
    INSERT_JOB,
    QUERY,
    TABLES,
    UPLOAD,
    Proxy,
)
from cbi_assets_tests.conftest import MakeProject
from cbi_assets_tests.helpers import bars, dbn_file, load_once, put_job, take_inventory

pytestmark = pytest.mark.bigquery

LIMIT = 123_456_789
HOUR_BARS = RAW["1h"].id


def test_a_whole_load_keeps_to_all_of_it(
    make_project: MakeProject, warehouse: dict[str, Any], proxy: Proxy, drive: Path
) -> None:
    put_job(drive, {"a.dbn.zst": dbn_file(bars(3))})
    settings = proxy.settings(warehouse) | {"cbi_bq_max_bytes_billed": LIMIT}
    assert load_once(make_project(**settings)).published == 3

    assert proxy.sent("POST", "insertAll") == []
    assert not any(map(is_dry, proxy.requests))
    assert [r for r in proxy.requests if "$" in r.path] == []
    for request in proxy.requests:
        if request.sql:
            inserted = request.body.get("configuration", {}).get("query")
            assert (inserted or request.body)["maximumBytesBilled"] == str(LIMIT)
            assert not re.search(r"`\w+\.\w*\$", request.sql)
            made = re.search(r"CREATE OR REPLACE TABLE `(\w+)\.", request.sql)
            if made:
                assert made[1] == "ops_staging"
                assert "OPTIONS (expiration_timestamp" in request.sql
    scripts = [r for r in proxy.sent("POST", INSERT_JOB) if r.sql]
    assert len(scripts) == 4  # the canary, the publication, the checks and the costs
    for request in scripts:
        assert request.config("query")["scriptOptions"]["statementByteBudget"] == str(LIMIT)
    for request in proxy.sent("POST", TABLES):
        assert request.body["tableReference"]["datasetId"] == "ops_staging"
        assert "expirationTime" in request.body
    uploads = proxy.sent("POST", UPLOAD)
    assert uploads
    for request in uploads:
        assert request.config("load")["createDisposition"] == "CREATE_NEVER"
        assert request.config("load")["destinationTable"]["datasetId"] == "ops_staging"


# names


@pytest.mark.parametrize("name", ["bars$20250101", "bars$", "a.b", "a b", "a`b", "a-b", "", "ä"])
def test_a_name_that_means_something_to_bigquery_is_no_tables_id(name: str) -> None:
    with pytest.raises(ValueError, match="is no table's id"):
        plain_id(name)


def test_a_spec_with_a_partitions_name_is_a_fault() -> None:
    column = Column("ts_event", "TIMESTAMP", "start")
    spec = TableSpec("ops", "bars$20250101", "odd", (column,), ("ts_event",))
    assert any("bars$20250101" in fault for fault in lint_specs([spec]))
    assert lint_specs(ALL_TABLES) == []


def test_no_request_names_a_partition(proxy: Proxy, open_remote: OpenRemote) -> None:
    with open_remote() as warehouse:
        staged = warehouse.stage_frame("a$20250101", FRAME)
        assert warehouse.query(f"SELECT * FROM `{staged}`").height == FRAME.height
        work(warehouse)
    assert proxy.requests
    assert [r for r in proxy.requests if "$" in r.path or "$" in json.dumps(r.body)] == []


# expirations


def test_every_staging_table_expires_within_a_day(proxy: Proxy, open_remote: OpenRemote) -> None:
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


def test_no_table_of_the_contract_expires(proxy: Proxy, open_remote: OpenRemote) -> None:
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
def test_a_dataset_that_lets_tables_expire_is_refused(
    emulator: Emulator, proxy: Proxy, open_remote: OpenRemote, name: str, setting: str
) -> None:
    create_dataset(emulator, **{name: str(60 * 86_400_000)})
    with open_remote() as warehouse, pytest.raises(UsageError) as raised:
        warehouse.create_tables(ALL_TABLES)
    told = one_line(raised.value)
    assert f"{setting} = 60" in told
    assert f"ALTER SCHEMA `ops` SET OPTIONS ({setting} = NULL)" in told
    assert not [r for r in proxy.sent("POST", QUERY) if "`ops." in r.sql]


def test_a_dataset_elsewhere_is_refused(
    emulator: Emulator, proxy: Proxy, open_remote: OpenRemote
) -> None:
    create_dataset(emulator)
    with open_remote(cbi_bq_location="EU") as warehouse, pytest.raises(UsageError) as raised:
        warehouse.create_tables([SPOTS])
    assert "Set CBI_BQ_LOCATION=us-central1." in one_line(raised.value)
    assert proxy.sent("POST", QUERY) == []


def test_jobs_and_datasets_are_asked_for_in_the_location_that_is_set(
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
    ("properties", "told"),
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
def test_a_table_that_would_lose_rows_or_break_a_limit_is_refused(
    emulator: Emulator,
    proxy: Proxy,
    open_remote: OpenRemote,
    properties: dict[str, Any],
    told: str,
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
    assert f"ops.spots: {told}" in one_line(raised.value)
    assert proxy.sent("POST", QUERY) == []


# limits and job ids


def test_everything_that_is_billed_has_its_limit(proxy: Proxy, open_remote: OpenRemote) -> None:
    with open_remote(cbi_bq_max_bytes_billed=LIMIT) as warehouse:
        work(warehouse)
    queries = proxy.sent("POST", QUERY)
    assert len(queries) >= 3
    assert {r.body["maximumBytesBilled"] for r in queries} == {str(LIMIT)}
    scripts = [r for r in proxy.sent("POST", INSERT_JOB) if r.sql]
    assert len(scripts) == 1
    for request in scripts:
        config = request.config("query")
        assert config["maximumBytesBilled"] == str(LIMIT)
        options = request.body["configuration"]["query"]["scriptOptions"]
        assert options["statementByteBudget"] == str(LIMIT)


def test_rows_come_by_load_jobs_and_are_never_streamed(
    proxy: Proxy, open_remote: OpenRemote
) -> None:
    with open_remote() as warehouse:
        work(warehouse)
    uploads = proxy.sent("POST", UPLOAD)
    assert len(uploads) == 1
    for request in uploads:
        config = request.config("load")
        assert config["sourceFormat"] == "PARQUET"
        assert config["createDisposition"] == "CREATE_NEVER"
        assert config["writeDisposition"] == "WRITE_APPEND"
        assert config["parquetOptions"]["enableListInference"] is True
    assert proxy.sent("POST", "insertAll") == []


def test_a_load_job_is_named_by_its_table_and_its_content(
    proxy: Proxy, open_remote: OpenRemote, tmp_path: Path
) -> None:
    paths = []
    for content in ("first", "second"):
        made = tmp_path / "made.parquet"
        pq.write_table(pa.table({"name": [content]}), made)
        name = hashlib.sha256(made.read_bytes()).hexdigest()
        paths.append(made.rename(tmp_path / f"{name}.parquet"))
    with open_remote() as warehouse:
        warehouse.stage_parquet("landed", paths)
        warehouse.stage_parquet("landed", list(reversed(paths)))
        warehouse.stage_parquet("landed_canary", paths[:1])
    ids = [r.job_id for r in proxy.sent("POST", UPLOAD)]
    assert len({*ids}) == 3  # the second time, both files are found to be there
    assert len(ids) == 3
    for job_id in ids:
        assert re.fullmatch(r"cbi-home_landed(_canary)?_[0-9a-f]{16}-\d{20}-[0-9a-f]{16}-1", job_id)


def test_what_an_earlier_table_of_the_name_was_given_is_sent_anew(
    proxy: Proxy, open_remote: OpenRemote
) -> None:
    for _ in range(2):
        with open_remote() as warehouse:
            staged = warehouse.stage_frame("spots", FRAME)
            assert warehouse.query(f"SELECT * FROM `{staged}`").height == FRAME.height
    assert len({r.job_id for r in proxy.sent("POST", UPLOAD)}) == 2


def test_two_transactions_of_the_same_words_are_two(proxy: Proxy, open_remote: OpenRemote) -> None:
    with open_remote() as warehouse:
        warehouse.create_tables([SPOTS])
        for _ in range(2):
            warehouse.transact([Statement(f"INSERT INTO `{SPOTS.id}` VALUES ('a', 1)")])
        assert warehouse.query(f"SELECT * FROM `{SPOTS.id}`").height == 2


# Parquet


def schema_of(*fields: tuple[str, pa.DataType, bool]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=nullable) for name, kind, nullable in fields])


def test_a_staging_column_is_required_only_where_no_files_is_nullable() -> None:
    always = schema_of(("a", pa.int64(), False), ("b", pa.int64(), False))
    sometimes = schema_of(("a", pa.int64(), False), ("b", pa.int64(), True))
    for schemas in ([always, sometimes], [sometimes, always]):
        modes = {field.name: field.mode for field in staging_fields(schemas)}
        assert modes == {"a": "REQUIRED", "b": "NULLABLE"}
    modes = {field.name: field.mode for field in staging_fields([always, always])}
    assert modes == {"a": "REQUIRED", "b": "REQUIRED"}


@pytest.mark.parametrize(
    "kind",
    [pa.timestamp("ns", "UTC"), pa.timestamp("ms", "UTC"), pa.timestamp("us"), pa.binary()],
    ids=str,
)
def test_what_would_not_arrive_as_it_is_is_refused(kind: pa.DataType) -> None:
    with pytest.raises(AuditError, match="column ts_event"):
        staging_fields([schema_of(("ts_event", kind, True))])


def test_files_that_disagree_on_a_type_are_refused() -> None:
    one, other = schema_of(("a", pa.int64(), True)), schema_of(("a", pa.string(), True))
    with pytest.raises(AuditError, match="INT64 in one file, STRING in another"):
        staging_fields([one, other])


def test_landed_packs_say_what_is_always_there(make_project: MakeProject, drive: Path) -> None:
    put_job(drive, {"a.dbn.zst": dbn_file(bars(3))})
    project = make_project()
    take_inventory(project)
    (pack,) = project.home.landing.glob("*/*.parquet")
    schema = pq.read_schema(pack)
    for name in ("file_no", "record_no", "root", "symbol"):
        assert not schema.field(name).nullable
    for name in ("ts_event", "open", "volume"):
        assert schema.field(name).nullable
    modes = {field.name: field.mode for field in staging_fields([schema])}
    assert {modes[name] for name in ("file_no", "record_no", "root", "symbol")} == {"REQUIRED"}


def test_the_staging_table_is_made_as_the_files_are(
    proxy: Proxy, open_remote: OpenRemote, tmp_path: Path
) -> None:
    for number, nullable in enumerate((False, True)):
        schema = schema_of(("a", pa.int64(), False), ("b", pa.string(), nullable))
        pq.write_table(
            pa.table({"a": [number], "b": ["x"]}, schema), tmp_path / f"{number}.parquet"
        )
    with open_remote() as warehouse:
        warehouse.stage_parquet("landed", sorted(tmp_path.glob("*.parquet")))
    (made,) = proxy.sent("POST", TABLES)
    modes = {field["name"]: field["mode"] for field in made.body["schema"]["fields"]}
    assert modes == {"a": "REQUIRED", "b": "NULLABLE"}


TOUCHING = (exp.Delete, exp.Update, exp.Merge)


def test_whatever_changes_a_partitioned_table_names_the_partitions() -> None:
    folder = Path(str(sql_files.__file__)).parent / "sql"
    checked = []
    for path in sorted(folder.rglob("*.sql")):
        text = path.read_text()
        if "`$table`" not in text:
            continue
        tree = sqlglot.parse_one(text.replace("`$table`", f"`{HOUR_BARS}`"), read="bigquery")
        for found in tree.find_all(*TOUCHING):
            assert found.this.name == RAW["1h"].name
            checked.append(path.stem)
            where = found.args["on"] if isinstance(found, exp.Merge) else found.args["where"]
            # at the top, not inside of a subquery
            conditions = list(exp.and_(where.this).flatten())
            assert any(
                isinstance(condition.unnest(), exp.Between)
                and condition.unnest().this.name == "ts_event"
                for condition in conditions
            ), path.name
    assert checked == ["derive_forget", "publish_own", "unload_bars"]


# the environment and endpoints


def test_opening_leaves_the_environment_as_it_was(open_remote: OpenRemote) -> None:
    before = dict(os.environ)
    with open_remote() as warehouse:
        work(warehouse)
        assert dict(os.environ) == before
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    "name", ["cbi_bq_endpoint", "cbi_bq_storage_endpoint", "cbi_bq_bucket_endpoint"]
)
@pytest.mark.parametrize(
    "endpoint",
    [
        "https://bigquery.googleapis.com",
        "http://192.0.2.1:9050",
        "localhost.example:1",
        "0.0.0.0:1",
    ],
)
def test_an_endpoint_elsewhere_is_refused(
    make_project: MakeProject, name: str, endpoint: str
) -> None:
    project = make_project(**{name: endpoint})
    with pytest.raises(UsageError) as raised:
        Options.of(project.settings)
    assert f"{name.upper()}: {endpoint} is not on loopback" in one_line(raised.value)
