"""The download job buys only with a person's approval; the sensor polls jobs and never buys."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from cbi_assets.pipeline.downloads.download_job import download_plan, watch_downloads
from cbi_assets.session import Project, exclusive_lock
from cbi_assets_tests.databento_api.buying import approve_as_ada, make_plan, request, rows
from cbi_assets_tests.databento_api.vendor import Vendor

pytestmark = pytest.mark.usefixtures("vendor_in_settings")

LOOKS = 3


def run(
    resources: dict[str, Any], instance: dg.DagsterInstance, config: dict[str, Any]
) -> dg.ExecuteInProcessResult:
    return download_plan.execute_in_process(
        run_config={"ops": {"download_requests": {"config": config}}},
        resources=resources,
        instance=instance,
        raise_on_error=False,
    )


def tick(resources: dict[str, Any], instance: dg.DagsterInstance) -> Any:
    with dg.build_sensor_context(instance, resources=resources) as context:
        return watch_downloads(context)


def why(found: Any) -> str:
    assert isinstance(found, dg.SkipReason)
    return found.skip_message or ""


def test_the_job_buys_and_the_sensors_run_downloads(
    project: Project, vendor: Vendor, resources: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    plan = make_plan(request(), request("ES"))
    plan.save(project.home.plans / f"{plan.plan_hash[:12]}.json")
    assert why(tick(resources, instance)) == "No active jobs."
    assert vendor.log == []

    approve_as_ada(project, plan)
    assert run(resources, instance, {"plan": plan.plan_hash}).success  # first poll
    assert len(vendor.requests_to("batch.submit_job")) == 2
    assert {row.state for row in rows(project)} == {"processing"}

    assert "2 jobs, none done" in why(tick(resources, instance))  # second poll
    found = tick(resources, instance)  # third poll
    assert isinstance(found, dg.SensorResult)
    (wanted,) = found.run_requests or ()
    config = wanted.run_config["ops"]["download_requests"]["config"]
    assert config == {"plan": plan.plan_hash, "buy": False}
    assert {row.state for row in rows(project)} == {"done"}

    assert run(resources, instance, config).success
    assert {row.state for row in rows(project)} == {"downloaded"}
    assert len(vendor.requests_to("batch.submit_job")) == 2
    assert why(tick(resources, instance)) == "No active jobs."


def test_the_job_fails_and_buys_nothing_without_approval(
    project: Project, vendor: Vendor, resources: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    plan = make_plan()
    plan.save(project.home.plans / f"{plan.plan_hash[:12]}.json")
    result = run(resources, instance, {"plan": plan.plan_hash[:12]})
    assert not result.success
    (failed,) = result.get_step_failure_events()
    assert "not approved" in str(failed.step_failure_data.error)
    assert vendor.log == []


def test_the_sensors_run_never_buys(
    project: Project, vendor: Vendor, resources: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    plan = make_plan()
    plan.save(project.home.plans / f"{plan.plan_hash[:12]}.json")
    approve_as_ada(project, plan)
    assert run(resources, instance, {"plan": plan.plan_hash, "buy": False}).success
    assert vendor.log == []


def test_the_sensor_records_an_expired_job(
    project: Project, vendor: Vendor, resources: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    plan = make_plan()
    plan.save(project.home.plans / f"{plan.plan_hash[:12]}.json")
    approve_as_ada(project, plan)
    run(resources, instance, {"plan": plan.plan_hash})
    (job,) = vendor.jobs.values()
    job.expired = True
    assert f"{job.id} expired" in why(tick(resources, instance))
    (row,) = rows(project)
    assert row.state == "expired"
    assert "It was paid for" in (row.told or "")
    assert why(tick(resources, instance)) == "No active jobs."


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", ["503", "429"])
def test_the_sensor_skips_if_the_vendor_does_not_respond(
    project: Project, vendor: Vendor, resources: dict[str, Any], instance: dg.DagsterInstance,
    kind: str,
) -> None:  # fmt: skip
    plan = make_plan()
    plan.save(project.home.plans / f"{plan.plan_hash[:12]}.json")
    approve_as_ada(project, plan)
    run(resources, instance, {"plan": plan.plan_hash})
    vendor.fail("batch.list_jobs", kind, value=30)
    assert "The next tick polls again" in why(tick(resources, instance))
    assert len(vendor.requests_to("batch.list_jobs")) == 1


def test_the_sensor_skips_while_the_home_is_in_use(
    project: Project, vendor: Vendor, resources: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    with exclusive_lock(project.home):
        assert "is still running" in why(tick(resources, instance))
    assert vendor.log == []


@pytest.mark.full
def test_the_key_is_in_no_event_and_no_file(
    project: Project, vendor: Vendor, resources: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    plan = make_plan()
    plan.save(project.home.plans / f"{plan.plan_hash[:12]}.json")
    approve_as_ada(project, plan)
    result = run(resources, instance, {"plan": plan.plan_hash})
    vendor.fail("batch.get_job_details", "401")
    failed = run(resources, instance, {"plan": plan.plan_hash})
    assert (result.success, failed.success) == (True, False)
    for run_id in (result.run_id, failed.run_id):
        events = "".join(str(entry) for entry in instance.all_logs(run_id))
        assert vendor.key not in events
    for file in project.home.root.rglob("*"):
        assert not file.is_file() or vendor.key.encode() not in file.read_bytes(), file
