"""Rules that BigQuery enforces and the emulator does not, checked on the requests sent."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cbi_assets.errors import UsageError
from cbi_assets.tables import ALL_TABLES, RAW, Column, TableSpec, plain_id
from cbi_assets.warehouse.base import Statement
from cbi_assets.warehouse.bigquery.connection import Options
from cbi_assets.warehouse.drift import lint_specs
from cbi_assets_tests.bigquery.conftest import (
    FRAME,
    SPOTS,
    OpenRemote,
    for_upload,
    is_dry,
    one_line,
    work,
)
from cbi_assets_tests.bigquery.proxy import INSERT_JOB, QUERY, TABLES, UPLOAD, Proxy
from cbi_assets_tests.conftest import MakeProject
from cbi_assets_tests.helpers import bars, dbn_file, load_once, put_job

pytestmark = pytest.mark.bigquery

LIMIT = 123_456_789
HOUR_BARS = RAW["1h"].id
UPLOADED = for_upload(FRAME)


@pytest.mark.full
def test_load_sends_no_forbidden_request(
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
    assert len(scripts) == 5  # canary, publication, slices, check results and costs
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
def test_plain_id_rejects_names_with_a_meaning_to_bigquery(name: str) -> None:
    with pytest.raises(ValueError, match="is not a valid table id"):
        plain_id(name)


def test_lint_specs_reports_the_name_of_a_partition() -> None:
    column = Column("ts_event", "TIMESTAMP", "start")
    spec = TableSpec("ops", "bars$20250101", "odd", (column,), ("ts_event",))
    assert any("bars$20250101" in fault for fault in lint_specs([spec]))
    assert lint_specs(ALL_TABLES) == []


def test_no_request_names_a_partition(proxy: Proxy, open_remote: OpenRemote) -> None:
    with open_remote() as warehouse:
        for frame in (FRAME, UPLOADED):
            staged = warehouse.stage_frame("a$20250101", frame)
            assert warehouse.query(f"SELECT * FROM `{staged}`").height == frame.height
        work(warehouse)
    assert proxy.requests
    assert [r for r in proxy.requests if "$" in r.path or "$" in json.dumps(r.body)] == []


# limits and job ids


def test_every_billed_job_carries_its_limit(proxy: Proxy, open_remote: OpenRemote) -> None:
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


def test_rows_are_loaded_by_jobs_and_never_streamed(proxy: Proxy, open_remote: OpenRemote) -> None:
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


def test_load_job_id_names_table_and_content(
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
    assert len({*ids}) == 3  # the second time, both uploads are found
    assert len(ids) == 3
    for job_id in ids:
        assert re.fullmatch(r"cbi-home_landed(_canary)?_[0-9a-f]{16}-\d{20}-[0-9a-f]{16}-1", job_id)


def test_upload_into_an_earlier_table_of_the_name_is_repeated(
    proxy: Proxy, open_remote: OpenRemote
) -> None:
    for _ in range(2):
        with open_remote() as warehouse:
            staged = warehouse.stage_frame("spots", UPLOADED)
            assert warehouse.query(f"SELECT * FROM `{staged}`").height == UPLOADED.height
    assert len({r.job_id for r in proxy.sent("POST", UPLOAD)}) == 2


def test_equal_transactions_both_run(proxy: Proxy, open_remote: OpenRemote) -> None:
    with open_remote() as warehouse:
        warehouse.create_tables([SPOTS])
        for _ in range(2):
            warehouse.transact(
                [Statement(f"INSERT INTO `{SPOTS.id}` (name, count) VALUES ('a', 1)")]
            )
        assert warehouse.query(f"SELECT * FROM `{SPOTS.id}`").height == 2


# the environment and endpoints


def test_opening_leaves_the_environment_unchanged(open_remote: OpenRemote) -> None:
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
def test_endpoint_off_loopback_is_refused(
    make_project: MakeProject, name: str, endpoint: str
) -> None:
    project = make_project(**{name: endpoint})
    with pytest.raises(UsageError) as raised:
        Options.of(project.settings)
    assert f"{name.upper()}: {endpoint} is not on loopback" in one_line(raised.value)
