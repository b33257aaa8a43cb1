"""Jobs and submissions that go wrong at the vendor: told, waited for, never bought twice."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from cbi_assets.databento_api.batch_jobs import OutcomeUnknownError, RefusedError
from cbi_assets.downloads import execute as execution
from cbi_assets.downloads.job_ledger import AlreadyBoughtError, JobRow, intend
from cbi_assets.downloads.plan_model import Plan
from cbi_assets.errors import CbiError, ServiceError, UsageError
from cbi_assets.session import Project
from cbi_assets_tests.databento_api.bars import Wanted
from cbi_assets_tests.databento_api.buying import (
    NOW,
    Pauses,
    allow,
    buy,
    clients_of,
    folders,
    make_plan,
    request,
    rows,
    states,
    submitted,
)
from cbi_assets_tests.databento_api.vendor import Vendor
from cbi_assets_tests.helpers import open_warehouse


def test_an_expired_job_is_told_and_not_bought_again(
    project: Project, drive: Path, vendor: Vendor
) -> None:
    plan = make_plan(request(), request("ES"))
    allow(project, plan)
    buy(project, plan, vendor, wait=False)
    job, other = vendor.jobs.values()
    job.expired = True
    part = drive / "raw" / "databento_zl" / f".{job.id}.part"
    part.mkdir(parents=True)
    (part / "metadata.json").write_text("begun before")
    with pytest.raises(CbiError, match=r"ZL\.v\.0 ohlcv-1h expired at Databento") as raised:
        buy(project, plan, vendor)
    assert raised.value.exit_code == 1
    assert states(project) == [("ZL", "expired"), ("ES", "downloaded")]
    assert folders(drive) == [f"raw/databento_es/{other.id}"]
    assert submitted(vendor) == 2
    with pytest.raises(UsageError, match="used up"):
        buy(project, plan, vendor)
    assert submitted(vendor) == 2


def test_a_refused_request_costs_nothing_and_can_be_tried_again(
    project: Project, vendor: Vendor
) -> None:
    plan = make_plan(request(), request("ES"))
    allow(project, plan)
    vendor.fail("batch.submit_job", "422")
    with pytest.raises(RefusedError, match="Nothing was bought for it"):
        buy(project, plan, vendor)
    assert vendor.jobs == {}
    assert states(project) == [("ZL", "failed")]
    assert buy(project, plan, vendor).whole
    assert len(vendor.jobs) == 2


def test_429_waits_as_long_as_it_says(project: Project, vendor: Vendor) -> None:
    plan = make_plan()
    allow(project, plan)
    vendor.fail("metadata.get_cost", "429", times=2, value=7)
    vendor.fail("batch.submit_job", "429", times=1, value=11)
    pauses = Pauses()
    assert buy(project, plan, vendor, clients_of(vendor, pauses=pauses)).whole
    assert [pause for pause in pauses if pause in (7, 11)] == [7, 7, 11]
    assert len(vendor.jobs) == 1


@pytest.mark.parametrize("kind", ["lost", "500", "503", "dropped", "stall"])
def test_a_submission_of_unknown_end_is_looked_for_before_it_is_repeated(
    project: Project, vendor: Vendor, kind: str
) -> None:
    plan = make_plan(request(), request("ES"))
    allow(project, plan)
    vendor.add_job(Wanted("GLBX.MDP3", "ohlcv-1h", ("ZS.v.0",), "continuous",
                          dt.date(2025, 1, 27), dt.date(2025, 2, 4)))  # fmt: skip
    vendor.fail("batch.submit_job", kind)
    clients = clients_of(vendor, timeout=0.5)
    if kind == "lost":  # the vendor took it: it is found
        assert buy(project, plan, vendor, clients).whole
        assert submitted(vendor) == 2
    else:  # it did not: after the time in which it would have shown up, a new run buys it
        with pytest.raises(OutcomeUnknownError, match="unknown whether") as raised:
            buy(project, plan, vendor, clients)
        assert raised.value.exit_code == 3
        assert submitted(vendor) == 1
        assert states(project) == [("ZL", "submitting")]
        assert buy(project, plan, vendor).whole
        assert submitted(vendor) == 3
    assert len(vendor.jobs) == 3


def test_an_intent_waits_until_its_job_would_have_shown_up(
    project: Project, vendor: Vendor
) -> None:
    plan = make_plan()
    approval = allow(project, plan)
    intended = NOW - dt.timedelta(seconds=100)
    with open_warehouse(project) as warehouse:
        intend(warehouse, _row(plan, approval.approval_id, intended))
    pauses = Pauses()
    assert buy(project, plan, vendor, clients_of(vendor, pauses=pauses)).whole
    assert len(vendor.asked("batch.list_jobs")) > 2
    assert sum(pauses) >= execution.SETTLE_SECONDS
    later = NOW + dt.timedelta(seconds=execution.SETTLE_SECONDS)
    other = make_plan(request("ES"))
    approval = allow(project, other)
    with open_warehouse(project) as warehouse:
        intend(warehouse, _row(other, approval.approval_id, NOW))
    before = len(vendor.asked("batch.list_jobs"))
    assert buy(project, other, vendor, clock=lambda: later).whole
    assert len(vendor.asked("batch.list_jobs")) == before + 1


def _row(plan: Plan, approval_id: str, intended: dt.datetime) -> JobRow:
    (asked,) = plan.requests
    return JobRow(
        approval_id, asked.request_id, plan.plan_hash, asked.root, asked.schema, None,
        "submitting", 1.0, None, None, None, None, None, intended, None, intended,
    )  # fmt: skip


def test_a_request_under_way_is_not_intended_twice(project: Project) -> None:
    plan = make_plan()
    with open_warehouse(project) as warehouse:
        intend(warehouse, _row(plan, "a", NOW))
        with pytest.raises(AlreadyBoughtError, match=r"under way on approval a \(submitting\)"):
            intend(warehouse, _row(plan, "b", NOW))
    assert [row.approval_id for row in rows(project)] == ["a"]


def test_waiting_ends_after_some_hours(project: Project, vendor: Vendor) -> None:
    vendor.looks = 1_000_000
    plan = make_plan()
    allow(project, plan)
    pauses = Pauses()
    with pytest.raises(ServiceError, match=r"1 jobs are not done after 6\.0 h .* is processing"):
        buy(project, plan, vendor, clients_of(vendor, pauses=pauses))
    assert max(pauses) == 60.0
    assert submitted(vendor) == 1


def test_a_job_whose_files_are_not_given_does_not_hold_up_the_others(
    project: Project, vendor: Vendor
) -> None:
    plan = make_plan(request(), request("ES"))
    allow(project, plan)
    vendor.fail("batch.list_files", "500", times=6)
    with pytest.raises(ServiceError, match="list the files of job"):
        buy(project, plan, vendor)
    assert states(project) == [("ZL", "done"), ("ES", "downloaded")] or states(project) == [
        ("ZL", "processing"), ("ES", "downloaded"),
    ]  # fmt: skip
    assert buy(project, plan, vendor).whole
    assert submitted(vendor) == 2
