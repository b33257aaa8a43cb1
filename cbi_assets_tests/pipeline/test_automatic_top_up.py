"""stale_bars buys by itself with a standing approval, and without one only proposes."""

from __future__ import annotations

import datetime as dt
from typing import Any

import dagster as dg
import pytest

from cbi_assets.downloads.standing import grant, spent_in_month
from cbi_assets.pipeline.downloads.proposals import MAX_FAILURES, stale_bars, top_up_downloads
from cbi_assets.pipeline.resources import Clock
from cbi_assets.session import Project, open_session
from cbi_assets_tests.databento_api.buying import NOW, states, submitted
from cbi_assets_tests.databento_api.vendor import Vendor
from cbi_assets_tests.helpers import load_once

pytestmark = pytest.mark.usefixtures("vendor_in_settings")

LOOKS = 1


def grant_as_ada(project: Project, max_usd_per_run: float = 1.0) -> None:
    with open_session(project, now=NOW) as session:
        grant(
            session,
            roots=["ZL"],
            schemas=["ohlcv-1h"],
            max_usd_per_run=max_usd_per_run,
            max_usd_per_month=5.0,
            until=dt.date(2025, 4, 30),
            by="Ada",
        )


def tick(instance: dg.DagsterInstance, resources: dict[str, Any]) -> Any:
    with dg.build_sensor_context(instance=instance, resources=resources) as context:
        return stale_bars(context)


def run(
    instance: dg.DagsterInstance, resources: dict[str, Any], request: Any
) -> dg.ExecuteInProcessResult:
    assert request.job_name == top_up_downloads.name
    return top_up_downloads.execute_in_process(
        instance=instance, resources=resources, tags=request.tags, raise_on_error=False
    )


def test_stale_bars_buys_with_a_standing_approval_alone(
    instance: dg.DagsterInstance, resources: dict[str, Any], published: Project, vendor: Vendor
) -> None:
    assert isinstance(tick(instance, resources), dg.SkipReason)
    assert not top_up_downloads.execute_in_process(
        instance=instance, resources=resources, raise_on_error=False
    ).success
    assert vendor.log == []

    grant_as_ada(published)
    (request,) = tick(instance, resources).run_requests
    assert run(instance, resources, request).success
    assert submitted(vendor) == 1
    assert states(published) == [("ZL", "downloaded")]
    # it is not requested again before it is loaded, nor after
    assert isinstance(tick(instance, resources), dg.SkipReason)
    load_once(published, now=NOW)
    assert isinstance(tick(instance, resources), dg.SkipReason)


@pytest.mark.full
def test_purchase_of_unknown_outcome_is_looked_up_by_the_next_run(
    instance: dg.DagsterInstance, resources: dict[str, Any], published: Project, vendor: Vendor
) -> None:
    grant_as_ada(published)
    vendor.fail("batch.submit_job", "lost")
    vendor.fail("batch.list_jobs", "400")
    (request,) = tick(instance, resources).run_requests
    assert not run(instance, resources, request).success
    assert states(published) == [("ZL", "submitting")]
    (request,) = tick(instance, resources).run_requests
    assert run(instance, resources, request).success
    assert (submitted(vendor), states(published)) == (1, [("ZL", "downloaded")])


@pytest.mark.full
def test_refused_top_up_fails_in_one_line_and_is_not_repeated_for_ever(
    instance: dg.DagsterInstance, resources: dict[str, Any], published: Project, vendor: Vendor
) -> None:
    grant_as_ada(published, max_usd_per_run=0.01)
    for _ in range(MAX_FAILURES):
        (request,) = tick(instance, resources).run_requests
        result = run(instance, resources, request)
        assert not result.success
        (failed,) = result.get_step_failure_events()
        error = str(failed.step_failure_data.error)
        assert "above the 0.01 USD per run of standing approval" in error
    assert isinstance(tick(instance, resources), dg.SkipReason)
    assert submitted(vendor) == 0
    with open_session(published, now=NOW) as session:
        assert spent_in_month(session) == 0


def test_stale_bars_only_proposes_if_the_key_is_open_to_others(
    instance: dg.DagsterInstance, resources: dict[str, Any], published: Project, vendor: Vendor
) -> None:
    grant_as_ada(published)
    published.home.standing_key.chmod(0o644)
    assert isinstance(tick(instance, resources), dg.SkipReason)
    resources["clock"] = Clock(fixed="2025-04-03T12:00:00+00:00")  # the fifth date is missing
    (request,) = tick(instance, resources).run_requests
    assert request.job_name == "propose_downloads"
    assert vendor.log == []
