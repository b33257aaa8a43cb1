"""Statements above the byte limit are refused before they run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cbi_assets.errors import UsageError
from cbi_assets.tables import RAW
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets_tests.bigquery.conftest import OpenRemote, is_dry, one_line, work
from cbi_assets_tests.bigquery.proxy import (
    INSERT_JOB,
    UPLOAD,
    Proxy,
    Rule,
    rewrite,
)

pytestmark = pytest.mark.bigquery

LIMIT = 123_456_789
HOUR_BARS = RAW["1h"].id


def grow(proxy: Proxy, table: str, size: int) -> None:
    """Make the service report this size of a table."""

    def change(body: Any) -> None:
        body["numBytes"] = str(size)

    proxy.add(Rule("GET", rf"/tables/{table}$", rewrite(change), times=None))


def estimate(proxy: Proxy, size: int) -> None:
    """Make every dry run report this size."""

    def change(body: Any) -> None:
        body["statistics"]["totalBytesProcessed"] = str(size)
        body["statistics"].setdefault("query", {})["totalBytesProcessed"] = str(size)

    proxy.add(Rule("POST", INSERT_JOB, rewrite(change), is_dry, times=None))


NAME = RAW["1h"].name


LEAST = {"least": 0}
DELETE = Statement(f"DELETE FROM `{HOUR_BARS}` WHERE volume > @least", LEAST)
SELECT = f"SELECT root FROM `{HOUR_BARS}` WHERE volume > @least"
WAYS: dict[str, Callable[[Warehouse], object]] = {
    "a query": lambda warehouse: warehouse.query(SELECT, LEAST),
    "a staged query": lambda warehouse: warehouse.stage_query("chosen", SELECT, LEAST),
    "a transaction": lambda warehouse: warehouse.transact([DELETE]),
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_statement_above_the_limit_is_refused_and_not_run(
    proxy: Proxy, open_remote: OpenRemote, way: Callable[[Warehouse], object]
) -> None:
    grow(proxy, NAME, LIMIT + 1)
    estimate(proxy, LIMIT + 1)
    with open_remote(cbi_bq_max_bytes_billed=LIMIT) as warehouse:
        warehouse.create_tables([RAW["1h"]])
        before = len(proxy.requests)
        with pytest.raises(UsageError) as raised:
            way(warehouse)
        assert one_line(raised.value).startswith("CBI_BQ_MAX_BYTES_BILLED: ")
        after = [r for r in proxy.requests[before:] if r.sql]
    assert len(after) == 1
    assert is_dry(after[0])


def test_query_of_few_bytes_of_a_large_table_runs(proxy: Proxy, open_remote: OpenRemote) -> None:
    grow(proxy, NAME, LIMIT + 1)
    estimate(proxy, LIMIT)
    with open_remote(cbi_bq_max_bytes_billed=LIMIT) as warehouse:
        warehouse.create_tables([RAW["1h"]])
        assert warehouse.query(f"SELECT root FROM `{HOUR_BARS}`").height == 0
    assert sum(map(is_dry, proxy.requests)) == 1


def test_table_read_twice_counts_twice(proxy: Proxy, open_remote: OpenRemote) -> None:
    grow(proxy, NAME, LIMIT // 2 + 1)
    estimate(proxy, LIMIT + 1)
    both = f"SELECT a.root FROM `{HOUR_BARS}` AS a JOIN `{HOUR_BARS}` AS b ON a.root = b.root"
    with open_remote(cbi_bq_max_bytes_billed=LIMIT) as warehouse:
        warehouse.create_tables([RAW["1h"]])
        assert warehouse.query(f"SELECT root FROM `{HOUR_BARS}`").height == 0
        with pytest.raises(UsageError):
            warehouse.query(both)
    assert sum(map(is_dry, proxy.requests)) == 1


def test_large_staging_table_is_dry_run_before_it_is_read(
    proxy: Proxy, open_remote: OpenRemote, tmp_path: Path
) -> None:
    def grow_loaded(body: Any) -> None:
        body.setdefault("statistics", {}).setdefault("load", {})["outputBytes"] = str(LIMIT + 1)

    for method, path in (("POST", UPLOAD), ("GET", r"/jobs/")):
        proxy.add(Rule(method, path, rewrite(grow_loaded), times=None))
    file = tmp_path / "landed.parquet"
    pl.DataFrame({"root": ["ZL"]}).write_parquet(file)
    with open_remote(cbi_bq_max_bytes_billed=LIMIT) as warehouse:
        staged = warehouse.stage_parquet("landed", [file])
        estimate(proxy, LIMIT + 1)
        before = len(proxy.requests)
        with pytest.raises(UsageError, match=r"^CBI_BQ_MAX_BYTES_BILLED: "):
            warehouse.query(f"SELECT root FROM `{staged}`")
        assert [is_dry(request) for request in proxy.requests[before:] if request.sql] == [True]


def test_small_tables_need_no_dry_run(proxy: Proxy, open_remote: OpenRemote) -> None:
    grow(proxy, NAME, LIMIT)
    with open_remote(cbi_bq_max_bytes_billed=LIMIT) as warehouse:
        warehouse.create_tables([RAW["1h"]])
        assert warehouse.query(f"SELECT root FROM `{HOUR_BARS}`").height == 0
        work(warehouse)
    assert not any(map(is_dry, proxy.requests))
