"""What a tick of the drive's sensor requested, and the runs of its requests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import dagster as dg

Found = dg.SensorResult | dg.SkipReason
Tick = Callable[..., Found]


def create_run(instance: dg.DagsterInstance, request: dg.RunRequest) -> dg.DagsterRun:
    """Create the requested run, as Dagster's daemon does."""
    from cbi_assets.definitions import defs

    return instance.create_run_for_job(
        defs.resolve_job_def("load_drive"),
        run_config=request.run_config,
        tags=dict(request.tags),
        status=dg.DagsterRunStatus.STARTED,
    )


def fail(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dt.datetime:
    """End a run as failed, and return when."""
    instance.report_run_failed(run)
    return end_of(instance, run)


def succeed(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dt.datetime:
    """End a run as successful, and return when."""
    done = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, run.job_name)
    instance.report_dagster_event(done, run.run_id)
    return end_of(instance, run)


def end_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dt.datetime:
    record = instance.get_run_record_by_id(run.run_id)
    assert record is not None
    assert record.end_time is not None
    return dt.datetime.fromtimestamp(record.end_time, dt.UTC)


def skipped(found: dg.SensorResult | dg.SkipReason) -> tuple[str, str | None]:
    """Return why a tick requested no run, and its cursor; None if that is unchanged."""
    if isinstance(found, dg.SkipReason):
        return found.skip_message or "", None
    assert not found.run_requests
    assert isinstance(found.skip_reason, dg.SkipReason)
    return found.skip_reason.skip_message or "", found.cursor


def requested(found: dg.SensorResult | dg.SkipReason) -> tuple[dg.RunRequest, str | None]:
    assert isinstance(found, dg.SensorResult)
    (request,) = found.run_requests or ()
    return request, found.cursor


def partitions(request: dg.RunRequest) -> list[str]:
    found = request.run_config["ops"]["load_partitions"]["config"]["partitions"]
    assert isinstance(found, list)
    return found
