"""Alerts from Dagster: a sensor of failed runs, and one that looks at what stands.

Both do nothing until CBI_ALERT_URLS is set.
"""

import re

import dagster as dg

from cbi_assets.alerts.alert import Event
from cbi_assets.errors import HomeBusyError
from cbi_assets.pipeline.resources import Clock, ProjectResource

_OFF = "CBI_ALERT_URLS is not set, so nobody is told."


@dg.run_failure_sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells of every run that failed, once, at the addresses of CBI_ALERT_URLS; off "
    "until that is set.",
)
def tell_failed_runs(
    context: dg.RunFailureSensorContext, project: ProjectResource
) -> dg.SkipReason | None:
    """Tell of one failed run; a run that Dagster starts again is told of when it fails for good.

    Raises ServiceError where an address did not take it; `look_for_alerts` tells it then.
    """
    from cbi_assets.alerts import read_addresses, tell

    opened = project.get()
    if context.dagster_run.tags.get("dagster/will_retry") == "true":
        return dg.SkipReason("Dagster starts this run again.")
    if not (addresses := read_addresses(opened.settings)):
        return dg.SkipReason(_OFF)
    tell(opened.home, addresses, None, run=_describe(context)).require_sent()
    return None


@dg.sensor(
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells of failed checks, stale tables, decisions that wait (a plan, conflicts, "
    "quarantine, a download that did not come) and full disks, once until they change, at the "
    "addresses of CBI_ALERT_URLS; off until that is set.",
)
def look_for_alerts(
    context: dg.SensorEvaluationContext, project: ProjectResource, clock: Clock
) -> dg.SkipReason:
    """Look at the ledger, the plans and the disks, and tell what is news. It requests no run.

    Raises ServiceError where an address did not take it; the next tick tells it again.
    """
    from cbi_assets.alerts import look_and_tell, read_addresses

    opened = project.get()
    if not (addresses := read_addresses(opened.settings)):
        return dg.SkipReason(_OFF)
    try:
        found = look_and_tell(opened, addresses, clock.now(), wait=0)
    except HomeBusyError as error:
        return dg.SkipReason(str(error))
    found.telling.require_sent()
    return dg.SkipReason(
        f"{len(found.events)} things stand; told now: {len(found.telling.told)} new, "
        f"{len(found.telling.over)} over."
    )


def _describe(context: dg.RunFailureSensorContext) -> Event:
    run = context.dagster_run
    partition = run.tags.get("dagster/partition")
    what = run.job_name if partition is None else f"{run.job_name} of {partition}"
    steps = [event.step_failure_data.error for event in context.get_step_failure_events()]
    errors = [error for error in steps if error is not None]
    if errors:
        error = errors[0]
        while error.cause is not None:
            error = error.cause
        reason = error.message
    else:
        reason = context.failure_event.message or "no reason was given"
    first_line = re.sub(r"^[\w.]+\.(\w+): ", r"\1: ", reason.strip().splitlines()[0])
    if not first_line.endswith((".", "!", "?")):
        first_line += "."
    return Event(
        "run",
        run.run_id,
        "failed",
        f"Run {run.run_id[:8]} ({what}) failed: {first_line}",
        "`cbi ui` shows its log.",
    )
