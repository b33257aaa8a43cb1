"""Failing requests: rows arrive exactly once or not at all, and a lasting failure is reported in
one line."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from cbi_assets.errors import CbiError, ServiceError, UsageError
from cbi_assets.warehouse.base import Statement
from cbi_assets_tests.bigquery.conftest import SPOTS, OpenRemote
from cbi_assets_tests.bigquery.proxy import (
    CONFLICT,
    INSERT_JOB,
    JOB,
    QUERY,
    RESULTS,
    TABLES,
    UPLOAD,
    Action,
    Proxy,
    Request,
    Rule,
    cut_off,
    hang,
    lose_answer,
    refuse,
    rewrite,
)
from cbi_assets_tests.bigquery.publication import FRAME, ROWS, job_ids, one_line, publish, spots

pytestmark = pytest.mark.bigquery


def quick_and_full(cases: dict[str, Any], *quick: str) -> list[Any]:
    """Return the cases as a test's parameters, all but the quick ones marked `full`."""
    return [
        pytest.param(case, id=name, marks=[] if name in quick else pytest.mark.full)
        for name, case in cases.items()
    ]


TRANSACTION, LOAD_JOB = "-transaction-", "^cbi-home_"


def is_transaction(request: Request) -> bool:
    return "-transaction-" in request.job_id


def is_load(request: Request) -> bool:
    return request.job_id.startswith("cbi-home_")


STEPS: dict[str, tuple[str, str, Callable[[Request], bool]]] = {
    "a dataset": ("GET", r"/datasets/ops$", lambda request: True),
    "a query": ("POST", QUERY, lambda request: request.sql.startswith("CREATE OR REPLACE")),
    "a table": ("POST", TABLES, lambda request: True),
    "an upload": ("POST", UPLOAD, lambda request: True),
    "a look for a load": ("GET", JOB, is_load),
    "a transaction": ("POST", INSERT_JOB, is_transaction),
    "a wait for a transaction": ("GET", RESULTS, is_transaction),
}
PASSING: dict[str, Action] = {
    "503": refuse("backendError"),
    "429": refuse("rateLimitExceeded"),
    "a reset": cut_off,
}


@pytest.mark.parametrize("action", quick_and_full(PASSING, "503"))
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_transient_failure_is_retried_under_the_same_ids(
    proxy: Proxy, open_remote: OpenRemote, step: Any, action: Action
) -> None:
    method, path, when = step
    rule = proxy.add(Rule(method, path, action, when))
    with open_remote() as warehouse:
        publish(warehouse)
        assert spots(warehouse) == ROWS
    assert rule.fired == 1
    assert len({*job_ids(proxy, "cbi-home_")}) == 1
    assert len({*job_ids(proxy, "-transaction-")}) == 1


@pytest.mark.sampled(1)
@pytest.mark.parametrize("bytes_read", [0, 700])
def test_upload_that_is_cut_off_is_retried(
    proxy: Proxy, open_remote: OpenRemote, bytes_read: int
) -> None:
    rule = proxy.add(Rule("POST", UPLOAD, bytes_read=bytes_read))
    with open_remote() as warehouse:
        publish(warehouse)
        assert spots(warehouse) == ROWS
    assert rule.fired == 1


def test_resumable_upload_that_is_cut_off_is_retried_under_the_same_id(
    proxy: Proxy, open_remote: OpenRemote
) -> None:
    rule = proxy.add(Rule("PUT", UPLOAD, bytes_read=1 << 20))
    numbers = np.random.default_rng(0).integers(2**62, size=800_000)
    with open_remote() as warehouse:
        staged = warehouse.stage_frame("large", pl.DataFrame({"n": numbers}))
        arrived = warehouse.query(f"SELECT COUNT(*) AS n FROM `{staged}`")["n"].item()
    assert arrived == len(numbers)
    assert rule.fired == 1
    assert len({*job_ids(proxy, "cbi-home_")}) == 1


def test_upload_that_keeps_failing_keeps_its_id(proxy: Proxy, open_remote: OpenRemote) -> None:
    # the server accepts the first request, but answers with errors
    def accept_and_refuse(exchange: Any) -> None:
        exchange.forward()
        refuse("backendError")(exchange)

    rule = proxy.add(Rule("POST", UPLOAD, accept_and_refuse, times=3))
    with open_remote() as warehouse:
        staged = warehouse.stage_frame("spots", FRAME)
        assert warehouse.query(f"SELECT * FROM `{staged}`").height == FRAME.height
    assert rule.fired >= 1
    assert len({*job_ids(proxy, "cbi-home_")}) == 1


HANGS = {
    name: STEPS[name]
    for name in ("a dataset", "an upload", "a look for a load", "a wait for a transaction")
}


@pytest.mark.parametrize("step", quick_and_full(HANGS, "a wait for a transaction"))
def test_request_that_hangs_times_out_and_is_retried(
    proxy: Proxy, open_remote: OpenRemote, step: Any
) -> None:
    method, path, when = step
    rule = proxy.add(Rule(method, path, hang, when))
    start = time.monotonic()
    with open_remote(cbi_bq_timeout=5) as warehouse:
        publish(warehouse)
        assert spots(warehouse) == ROWS
    assert rule.fired == 1
    assert time.monotonic() - start < 60


LOST = {
    "a new dataset": ("POST", r"/datasets$", lambda request: True),
    **{name: STEPS[name] for name in ("a table", "an upload", "a transaction")},
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("step", LOST.values(), ids=LOST)
def test_request_with_a_lost_response_is_not_executed_twice(
    proxy: Proxy, open_remote: OpenRemote, step: Any
) -> None:
    method, path, when = step
    rule = proxy.add(Rule(method, path, lose_answer, when))
    with open_remote() as warehouse:
        publish(warehouse)
        assert spots(warehouse) == ROWS
    assert rule.fired == 1
    assert len({*job_ids(proxy, "cbi-home_")}) == 1
    assert len({*job_ids(proxy, "-transaction-")}) == 1


def test_load_job_that_is_found_by_its_second_request_runs_once(
    proxy: Proxy, open_remote: OpenRemote
) -> None:
    lost = proxy.add(Rule("POST", UPLOAD, lose_answer))
    # not found before the first request, and not yet found after its response was lost
    unseen = proxy.add(Rule("GET", JOB, refuse("notFound", "Not found: Job"), is_load, times=2))
    with open_remote() as warehouse:
        publish(warehouse)
        assert spots(warehouse) == ROWS
    assert (lost.fired, unseen.fired) == (1, 2)
    asked = job_ids(proxy, "cbi-home_")
    assert len(asked) == 2
    assert len({*asked}) == 1


@pytest.mark.sampled(1)
@pytest.mark.parametrize("reason", ["backendError", "internalError", "rateLimitExceeded"])
def test_load_job_that_failed_transiently_gets_a_new_id(
    proxy: Proxy, open_remote: OpenRemote, reason: str
) -> None:
    rule = proxy.fail_jobs(LOAD_JOB, reason, "Retry the job")
    with open_remote() as warehouse:
        publish(warehouse)
        assert spots(warehouse) == ROWS
    assert rule.fired == 1
    first, second = job_ids(proxy, "cbi-home_")
    assert (first[-2:], second[-2:]) == ("-1", "-2")
    assert first[:-1] == second[:-1]


def test_load_job_that_failed_permanently_raises_in_one_line(
    proxy: Proxy, open_remote: OpenRemote
) -> None:
    proxy.fail_jobs(LOAD_JOB, "invalid", "Error while reading data.\n\nFile 0 is no Parquet file")
    with open_remote() as warehouse, pytest.raises(ServiceError) as raised:
        warehouse.stage_frame("spots", FRAME)
    assert "Error while reading data" in one_line(raised.value)
    assert len(job_ids(proxy, "cbi-home_")) == 1


def test_permanent_failure_is_retried_by_the_next_run(
    proxy: Proxy, open_remote: OpenRemote
) -> None:
    proxy.fail_jobs(LOAD_JOB, "quotaExceeded", "Your project exceeded quota for load jobs")
    with pytest.raises(CbiError, match="exceeded quota"), open_remote() as warehouse:
        warehouse.stage_frame("spots", FRAME)
    with open_remote() as warehouse:
        publish(warehouse)
        assert spots(warehouse) == ROWS


def test_transaction_cancelled_by_a_conflict_is_retried_and_commits_once(
    proxy: Proxy, open_remote: OpenRemote
) -> None:
    rule = proxy.fail_jobs(TRANSACTION, "invalidQuery", CONFLICT, times=2)
    with open_remote() as warehouse:
        publish(warehouse)
        assert spots(warehouse) == ROWS
    assert rule.fired == 2
    asked = job_ids(proxy, "-transaction-")
    assert [job_id.rpartition("-")[2] for job_id in asked] == ["1", "2", "3"]


def test_endless_conflicts_end_after_the_patience(proxy: Proxy, open_remote: OpenRemote) -> None:
    rule = proxy.fail_jobs(TRANSACTION, "invalidQuery", CONFLICT, times=None)
    with open_remote(cbi_bq_patience=2) as warehouse:
        with pytest.raises(ServiceError) as raised:
            publish(warehouse)
        assert "concurrent update" in one_line(raised.value)
        assert raised.value.exit_code == 3
        assert spots(warehouse) == []
    assert rule.fired > 1


@pytest.mark.invalid_sql
def test_invalid_statement_is_not_retried(proxy: Proxy, open_remote: OpenRemote) -> None:
    with open_remote() as warehouse:
        warehouse.create_tables([SPOTS])
        with pytest.raises(CbiError) as raised:
            warehouse.transact([Statement("SELECT no_such_column FROM `ops.spots`")])
        one_line(raised.value)
    assert len(job_ids(proxy, "-transaction-")) == 1


# who may see his own jobs alone is denied a look for one that does not exist: it counts as absent
DENIED = {name: step for name, step in STEPS.items() if name != "a look for a load"}


@pytest.mark.parametrize("step", quick_and_full(DENIED, "an upload", "a transaction"))
def test_denied_request_raises_a_usage_error_in_one_line(
    proxy: Proxy, open_remote: OpenRemote, step: Any
) -> None:
    method, path, when = step
    said = "Access Denied: Project cbi-tests: User does not have bigquery.jobs.create permission"
    rule = proxy.add(Rule(method, path, refuse("accessDenied", said), when, times=None))
    with open_remote() as warehouse, pytest.raises(UsageError) as raised:
        publish(warehouse)
    assert said in one_line(raised.value)
    assert "cbi config --check" in str(raised.value)
    assert rule.fired == 1


@pytest.mark.parametrize("step", quick_and_full(STEPS, "an upload", "a transaction"))
def test_service_that_goes_down_raises_in_one_line(
    proxy: Proxy, open_remote: OpenRemote, step: Any
) -> None:
    method, path, when = step
    with open_remote(cbi_bq_patience=2) as warehouse:
        proxy.add(Rule(method, path, cut_off, when, times=None))
        start = time.monotonic()
        with pytest.raises(ServiceError) as raised:
            publish(warehouse)
        # the client's defaults retry uploads for a minute, all else for ten
        assert time.monotonic() - start < 40
    assert raised.value.exit_code == 3
    one_line(raised.value)


def test_service_that_goes_down_during_a_load_job_raises_in_one_line(
    proxy: Proxy, open_remote: OpenRemote
) -> None:
    def run_on(job: Any) -> None:
        job["status"] = {"state": "RUNNING"}

    proxy.add(Rule("POST", UPLOAD, rewrite(run_on)))
    proxy.add(Rule("GET", JOB, cut_off, is_load, nth=2, times=None))
    with open_remote(cbi_bq_patience=2) as warehouse, pytest.raises(ServiceError) as raised:
        warehouse.stage_frame("spots", FRAME)
    one_line(raised.value)
