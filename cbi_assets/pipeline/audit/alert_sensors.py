"""Dagster sensors that send alerts: one for failed runs, one for everything else.

Both do nothing until CBI_ALERT_URLS is set.
"""

import re

import dagster as dg

from cbi_assets.alerts.alert import Event
from cbi_assets.errors import HomeBusyError
from cbi_assets.pipeline.resources import Clock, ProjectResource

_OFF = "CBI_ALERT_URLS is not set, so nothing is sent."


@dg.run_failure_sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sends an alert for every failed run to the addresses of CBI_ALERT_URLS; off until "
    "that is set.",
)
def send_failed_runs(
    context: dg.RunFailureSensorContext, project: ProjectResource
) -> dg.SkipReason | None:
    """Send one failed run, unless Dagster will retry it.

    Raises ServiceError if an address did not accept it; `send_alerts` sends it then.
    """
    from cbi_assets.alerts import read_addresses, send

    opened = project.get()
    if context.dagster_run.tags.get("dagster/will_retry") == "true":
        return dg.SkipReason("Dagster will retry this run.")
    if not (addresses := read_addresses(opened.settings)):
        return dg.SkipReason(_OFF)
    send(opened.home, addresses, None, run=_describe(context)).require_sent()
    return None


@dg.sensor(
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sends an alert for failed checks, stale tables, decisions (a plan, conflicts, "
    "quarantined records, a failed download) and full disks to the addresses of CBI_ALERT_URLS, "
    "once until they change; off until that is set.",
)
def send_alerts(
    context: dg.SensorEvaluationContext, project: ProjectResource, clock: Clock
) -> dg.SkipReason:
    """Collect the active events and send the new ones. Requests no run.

    Raises ServiceError if an address did not accept them; the next tick sends them again.
    """
    from cbi_assets.alerts import collect_and_send, read_addresses

    opened = project.get()
    if not (addresses := read_addresses(opened.settings)):
        return dg.SkipReason(_OFF)
    try:
        alerts = collect_and_send(opened, addresses, clock.now(), wait=0)
    except HomeBusyError as error:
        return dg.SkipReason(str(error))
    delivery = alerts.delivery
    delivery.require_sent()
    return dg.SkipReason(
        f"{len(alerts.events)} active; sent now: {len(delivery.sent)} new, "
        f"{len(delivery.resolved)} resolved."
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
        reason = context.failure_event.message or "no reason given"
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
