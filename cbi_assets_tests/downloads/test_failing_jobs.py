"""Jobs and submissions that fail at the vendor: reported, polled, never bought twice."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from cbi_assets.databento_api.batch_jobs import OutcomeUnknownError, RefusedError
from cbi_assets.downloads import buy as buying
from cbi_assets.downloads.job_ledger import AlreadyBoughtError, JobRow, record_intent
from cbi_assets.downloads.plan_model import Plan
from cbi_assets.errors import CbiError, ServiceError, UsageError
from cbi_assets.session import Project
from cbi_assets_tests.databento_api.bars import Wanted
from cbi_assets_tests.databento_api.buying import (
    NOW,
    Pauses,
    approve_as_ada,
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


def test_execute_raises_for_an_expired_job_and_does_not_buy_it_again(
    project: Project, drive: Path, vendor: Vendor
) -> None:
    plan = make_plan(request(), request("ES"))
    approve_as_ada(project, plan)
    buy(project, plan, vendor, wait=False)
    job, other = vendor.jobs.values()
    job.expired = True
    part = drive / "raw" / "databento_zl" / f".{job.id}.part"
    part.mkdir(parents=True)
    (part / "metadata.json").write_text("begun before")
    with pytest.raises(CbiError, match="ZL ohlcv-1h expired at Databento") as raised:
        buy(project, plan, vendor)
    assert raised.value.exit_code == 1
    assert states(project) == [("ZL", "expired"), ("ES", "downloaded")]
    assert folders(drive) == [f"raw/databento_es/{other.id}"]
    assert submitted(vendor) == 2
    with pytest.raises(UsageError, match="used up"):
        buy(project, plan, vendor)
    assert submitted(vendor) == 2


@pytest.mark.full
def test_execute_can_be_repeated_after_a_refused_submission(
    project: Project, vendor: Vendor
) -> None:
    plan = make_plan(request(), request("ES"))
    approve_as_ada(project, plan)
    vendor.fail("batch.submit_job", "422")
    with pytest.raises(RefusedError, match="Nothing was bought for it"):
        buy(project, plan, vendor)
    assert vendor.jobs == {}
    assert states(project) == [("ZL", "failed")]
    assert buy(project, plan, vendor).is_complete
    assert len(vendor.jobs) == 2


@pytest.mark.full
def test_execute_waits_as_long_as_a_429_says(project: Project, vendor: Vendor) -> None:
    plan = make_plan()
    approve_as_ada(project, plan)
    vendor.fail("metadata.get_cost", "429", times=2, value=7)
    vendor.fail("batch.submit_job", "429", times=1, value=11)
    pauses = Pauses()
    assert buy(project, plan, vendor, clients_of(vendor, pauses=pauses)).is_complete
    assert [pause for pause in pauses if pause in (7, 11)] == [7, 7, 11]
    assert len(vendor.jobs) == 1


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", ["lost", "500", "503", "dropped", "stall"])
def test_execute_looks_for_a_submission_with_unknown_outcome(
    project: Project, vendor: Vendor, kind: str
) -> None:
    plan = make_plan(request(), request("ES"))
    approve_as_ada(project, plan)
    vendor.add_job(Wanted("GLBX.MDP3", "ohlcv-1h", ("ZS.v.0",), "continuous",
                          dt.date(2025, 1, 27), dt.date(2025, 2, 4)))  # fmt: skip
    vendor.fail("batch.submit_job", kind)
    clients = clients_of(vendor, timeout=0.5)
    if kind == "lost":  # the vendor accepted it, and it is found
        assert buy(project, plan, vendor, clients).is_complete
        assert submitted(vendor) == 2
    else:  # it did not: the next run buys it, once it would have appeared
        with pytest.raises(OutcomeUnknownError, match="unknown whether") as raised:
            buy(project, plan, vendor, clients)
        assert raised.value.exit_code == 3
        assert submitted(vendor) == 1
        assert states(project) == [("ZL", "submitting")]
        assert buy(project, plan, vendor).is_complete
        assert submitted(vendor) == 3
    assert len(vendor.jobs) == 3


@pytest.mark.full
def test_execute_waits_until_the_job_of_an_intent_would_have_appeared(
    project: Project, vendor: Vendor
) -> None:
    plan = make_plan()
    approval = approve_as_ada(project, plan)
    intended = NOW - dt.timedelta(seconds=100)
    with open_warehouse(project) as warehouse:
        record_intent(warehouse, _row(plan, approval.approval_id, intended))
    pauses = Pauses()
    assert buy(project, plan, vendor, clients_of(vendor, pauses=pauses)).is_complete
    assert len(vendor.requests_to("batch.list_jobs")) > 2
    assert sum(pauses) >= buying.SETTLE_SECONDS
    later = NOW + dt.timedelta(seconds=buying.SETTLE_SECONDS)
    other = make_plan(request("ES"))
    approval = approve_as_ada(project, other)
    with open_warehouse(project) as warehouse:
        record_intent(warehouse, _row(other, approval.approval_id, NOW))
    before = len(vendor.requests_to("batch.list_jobs"))
    assert buy(project, other, vendor, clock=lambda: later).is_complete
    assert len(vendor.requests_to("batch.list_jobs")) == before + 1


def _row(plan: Plan, approval_id: str, intended: dt.datetime) -> JobRow:
    (only,) = plan.requests
    return JobRow(
        approval_id, only.request_id, plan.plan_hash, only.root, only.schema, None,
        "submitting", 1.0, None, None, None, None, None, intended, None, intended,
    )  # fmt: skip


def test_record_intent_raises_for_a_request_being_submitted(project: Project) -> None:
    plan = make_plan()
    with open_warehouse(project) as warehouse:
        record_intent(warehouse, _row(plan, "a", NOW))
        with pytest.raises(AlreadyBoughtError, match=r"under approval a \(submitting\)"):
            record_intent(warehouse, _row(plan, "b", NOW))
    assert [row.approval_id for row in rows(project)] == ["a"]


@pytest.mark.full
def test_execute_stops_waiting_after_six_hours(project: Project, vendor: Vendor) -> None:
    vendor.looks = 1_000_000
    plan = make_plan()
    approve_as_ada(project, plan)
    pauses = Pauses()
    with pytest.raises(ServiceError, match=r"1 job not done after 6\.0 h .* is processing"):
        buy(project, plan, vendor, clients_of(vendor, pauses=pauses))
    assert max(pauses) == 60.0
    assert submitted(vendor) == 1


@pytest.mark.full
def test_execute_downloads_the_other_jobs_if_one_fails(project: Project, vendor: Vendor) -> None:
    plan = make_plan(request(), request("ES"))
    approve_as_ada(project, plan)
    vendor.fail("batch.list_files", "500", times=6)
    with pytest.raises(ServiceError, match="list the files of job"):
        buy(project, plan, vendor)
    assert states(project) == [("ZL", "done"), ("ES", "downloaded")] or states(project) == [
        ("ZL", "processing"), ("ES", "downloaded"),
    ]  # fmt: skip
    assert buy(project, plan, vendor).is_complete
    assert submitted(vendor) == 2
