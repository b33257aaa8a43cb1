"""Dagster's alert sensors: failed runs, and everything else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from cbi_assets.errors import ServiceError, UsageError
from cbi_assets.pipeline.audit.alert_sensors import send_alerts, send_failed_runs
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
        sensor_name="send_failed_runs",
        dagster_instance=instance,
        dagster_run=instance.get_run_by_id(result.run_id),
        dagster_event=event,
        resources={"project": resources["project"]},
    ) as context:
        return send_failed_runs(context.for_run_failure())


def tick(instance: dg.DagsterInstance, resources: dict[str, Any]) -> str:
    with dg.build_sensor_context(instance=instance, resources=resources) as context:
        found = send_alerts(context)
    assert isinstance(found, dg.SkipReason)
    return found.skip_message or ""


def test_a_failed_run_is_sent_once_with_its_root_cause(
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


def test_a_run_that_dagster_retries_is_not_sent(
    instance: dg.DagsterInstance, resources: dict[str, Any], endpoint: Endpoint
) -> None:
    result = fail(instance)
    instance.add_run_tags(result.run_id, {"dagster/will_retry": "true"})
    found = sense(instance, resources, result)
    assert isinstance(found, dg.SkipReason)
    assert endpoint.messages == []


def test_send_alerts_sends_a_run_that_could_not_be_sent(
    instance: dg.DagsterInstance, resources: dict[str, Any], endpoint: Endpoint
) -> None:
    endpoint.status = 500
    with pytest.raises(ServiceError, match="did not accept the alert"):
        sense(instance, resources, fail(instance))
    endpoint.status = 200
    assert "sent now: 1 new" in tick(instance, resources)
    assert "failing) failed" in endpoint.texts[0]


@pytest.mark.full
def test_send_alerts_sends_an_event_once(
    instance: dg.DagsterInstance,
    resources: dict[str, Any],
    project: Project,
    drive: Path,
    endpoint: Endpoint,
) -> None:
    put_lines(drive, [record(0), record(1, volume="-1")])
    load_once(project)
    assert tick(instance, resources).endswith("sent now: 1 new, 0 resolved.")
    assert "ops.quarantined_bars" in endpoint.texts[0]
    assert tick(instance, resources).endswith("sent now: 0 new, 0 resolved.")
    assert len(endpoint.messages) == 1


def test_send_alerts_skips_while_the_home_is_in_use(
    instance: dg.DagsterInstance, resources: dict[str, Any], project: Project, endpoint: Endpoint
) -> None:
    with exclusive_lock(project.home):
        assert "still running" in tick(instance, resources)
    assert endpoint.messages == []


def test_send_alerts_raises_if_an_address_fails(
    instance: dg.DagsterInstance,
    resources: dict[str, Any],
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint.status = 500
    monkeypatch.setenv("CBI_ALERT_FREE_GIB", str(2**30))
    with pytest.raises(ServiceError, match="did not accept the alert"):
        tick(instance, resources)


def test_alert_sensors_do_nothing_by_default(
    instance: dg.DagsterInstance, resources: dict[str, Any], project: Project
) -> None:
    assert tick(instance, resources) == "CBI_ALERT_URLS is not set, so nothing is sent."
    found = sense(instance, resources, fail(instance))
    assert isinstance(found, dg.SkipReason)
    assert not project.home.alerts.exists()
    # so they can run by default: only the setting turns them on
    for sensor in (send_alerts, send_failed_runs):
        assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
