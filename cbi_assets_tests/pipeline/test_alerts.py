"""Dagster's sensors of alerts: failed runs, and what stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from cbi_assets.errors import ServiceError, UsageError
from cbi_assets.pipeline.audit.alert_sensors import look_for_alerts, tell_failed_runs
from cbi_assets.session import Project, exclusive_lock
from cbi_assets_tests.alerts.endpoint import Endpoint, run_endpoint
from cbi_assets_tests.helpers import load_once
from cbi_assets_tests.load.lines import put_lines, record


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    with run_endpoint() as running:
        monkeypatch.setenv("CBI_ALERT_URLS", running.url)
        monkeypatch.setenv("CBI_ALERT_FREE_GIB", "0")
        yield running


@dg.op
def break_off() -> None:
    try:
        raise UsageError("CBI_DRIVE=/none: no such folder. Is the drive mounted?\nmore")
    except UsageError as error:
        raise RuntimeError("around it") from error


@dg.job
def failing() -> None:
    break_off()


def fail(instance: dg.DagsterInstance, **tags: str) -> dg.ExecuteInProcessResult:
    return failing.execute_in_process(instance=instance, raise_on_error=False, tags=tags)


def sense(
    instance: dg.DagsterInstance, resources: dict[str, Any], result: dg.ExecuteInProcessResult
) -> Any:
    event = next(e for e in result.all_events if e.event_type_value == "PIPELINE_FAILURE")
    with dg.build_run_status_sensor_context(
        sensor_name="tell_failed_runs",
        dagster_instance=instance,
        dagster_run=instance.get_run_by_id(result.run_id),
        dagster_event=event,
        resources={"project": resources["project"]},
    ) as context:
        return tell_failed_runs(context.for_run_failure())


def look(instance: dg.DagsterInstance, resources: dict[str, Any]) -> str:
    with dg.build_sensor_context(instance=instance, resources=resources) as context:
        found = look_for_alerts(context)
    assert isinstance(found, dg.SkipReason)
    return found.skip_message or ""


def test_a_failed_run_is_told_once_with_its_innermost_reason(
    instance: dg.DagsterInstance, resources: dict[str, Any], endpoint: Endpoint
) -> None:
    result = fail(instance, **{"dagster/partition": "ZL|1h"})
    sense(instance, resources, result)
    sense(instance, resources, result)
    (text,) = endpoint.texts
    assert text.splitlines()[0] == (
        f"- Run {result.run_id[:8]} (failing of ZL|1h) failed: UsageError: CBI_DRIVE=/none: no "
        "such folder. Is the drive mounted? `cbi ui` shows its log."
    )


def test_a_run_that_dagster_starts_again_is_not_told(
    instance: dg.DagsterInstance, resources: dict[str, Any], endpoint: Endpoint
) -> None:
    result = fail(instance)
    instance.add_run_tags(result.run_id, {"dagster/will_retry": "true"})
    found = sense(instance, resources, result)
    assert isinstance(found, dg.SkipReason)
    assert endpoint.messages == []


def test_a_run_that_could_not_be_told_is_told_by_the_next_look(
    instance: dg.DagsterInstance, resources: dict[str, Any], endpoint: Endpoint
) -> None:
    endpoint.status = 500
    with pytest.raises(ServiceError, match="did not take the alert"):
        sense(instance, resources, fail(instance))
    endpoint.status = 200
    assert "told now: 1 new" in look(instance, resources)
    assert "failing) failed" in endpoint.texts[0]


def test_the_look_tells_once(
    instance: dg.DagsterInstance,
    resources: dict[str, Any],
    project: Project,
    drive: Path,
    endpoint: Endpoint,
) -> None:
    put_lines(drive, [record(0), record(1, volume="-1")])
    load_once(project)
    assert look(instance, resources).endswith("told now: 1 new, 0 over.")
    assert "ops.quarantined_bars" in endpoint.texts[0]
    assert look(instance, resources).endswith("told now: 0 new, 0 over.")
    assert len(endpoint.messages) == 1


def test_a_home_at_work_is_a_skip(
    instance: dg.DagsterInstance, resources: dict[str, Any], project: Project, endpoint: Endpoint
) -> None:
    with exclusive_lock(project.home):
        assert "at work" in look(instance, resources)
    assert endpoint.messages == []


def test_an_address_that_fails_is_the_ticks_error(
    instance: dg.DagsterInstance,
    resources: dict[str, Any],
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint.status = 500
    monkeypatch.setenv("CBI_ALERT_FREE_GIB", str(2**30))
    with pytest.raises(ServiceError, match="did not take the alert"):
        look(instance, resources)


def test_they_are_off_by_default(
    instance: dg.DagsterInstance, resources: dict[str, Any], project: Project
) -> None:
    assert look(instance, resources) == "CBI_ALERT_URLS is not set, so nobody is told."
    found = sense(instance, resources, fail(instance))
    assert isinstance(found, dg.SkipReason)
    assert not project.home.alerts.exists()
    # so they may run: the setting alone switches them on
    for sensor in (look_for_alerts, tell_failed_runs):
        assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
