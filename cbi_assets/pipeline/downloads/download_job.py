"""Download an approved plan in one run, and poll its jobs with a sensor.

Jobs that are not done when the run ends are polled by the sensor, which requests a run to download
them. The job buys only with a person's approval, and the sensor's runs never buy.
"""

import dagster as dg
from pydantic import Field

from cbi_assets.databento_api.client import connect_from_settings
from cbi_assets.downloads.execute import execute
from cbi_assets.downloads.job_ledger import write_jobs
from cbi_assets.downloads.plan_files import find_plan
from cbi_assets.downloads.poll_jobs import poll_jobs, read_active_jobs
from cbi_assets.errors import CbiError, ServiceError
from cbi_assets.formatting import dollars, plural
from cbi_assets.pipeline.metadata import rows_as_markdown
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.pipeline.warehouse_pool import POOL


class DownloadConfig(dg.Config):
    """Which plan to download, and whether to buy it."""

    plan: str = Field(description="the start of the plan's hash, or its JSON file")
    buy: bool = Field(
        default=True, description="submit missing requests; needs a person's approval"
    )


@dg.op(
    pool=POOL,
    description="Get new quotes for an approved plan, submit its requests, and download and verify "
    "the files of every job that is done. Does not wait for jobs.",
)
def download_requests(
    context: dg.OpExecutionContext,
    config: DownloadConfig,
    project: ProjectResource,
    clock: Clock,
) -> None:
    """Buy and download; the sensor for new files loads them."""
    opened = project.get()
    outcome = execute(
        opened,
        find_plan(opened.home, config.plan),
        connect_from_settings(opened.settings),
        clock=clock.now,
        buy=config.buy,
        wait=False,
    )
    context.add_output_metadata(
        {
            "plan": outcome.plan_hash,
            "approval": outcome.approval_id,
            "cost so far (USD)": outcome.spent_usd,
            "submitted": outcome.submitted,
            "downloaded": len(outcome.fetched),
            "active": len(outcome.active),
            "jobs": rows_as_markdown(
                [
                    {"root": row.root, "schema": row.schema, "job": row.job_id,
                     "state": row.state, "cost": dollars(row.spent_usd), "folder": row.folder}
                    for row in outcome.jobs
                ]
            ),
        }
    )  # fmt: skip


@dg.job(description="Download an approved plan: buy missing requests, download finished jobs.")
def download_plan() -> None:
    """Run one op for all requests."""
    download_requests()


@dg.sensor(
    job=download_plan,
    minimum_interval_seconds=60,
    description="Polls submitted jobs until they are done or expired. Requests a run to download a "
    "finished job's files; buys nothing.",
)
def watch_downloads(
    context: dg.SensorEvaluationContext, project: ProjectResource, clock: Clock
) -> dg.SensorResult | dg.SkipReason:
    """Request a run for every plan with finished jobs."""
    opened = project.get()
    now = clock.now()
    try:
        with project.session(now, wait=0) as session:
            rows = read_active_jobs(session.warehouse)
        if not rows:
            return dg.SkipReason("No active jobs.")
        # Outside the session: others can use the home while Databento responds.
        polled = poll_jobs(rows, connect_from_settings(opened.settings, _leave_to_next_tick), now)
        changed = [row for row, before in zip(polled, rows, strict=True) if row != before]
        if changed:
            with project.session(now, wait=0) as session:
                write_jobs(session.warehouse, changed)
    except CbiError as error:
        return dg.SkipReason(str(error))
    for row in changed:
        if row.state == "expired":
            context.log.error(row.expired_message)
    done = [row for row in polled if row.state == "done"]
    if not done:
        states = ", ".join(f"{row.job_id} {row.state}" for row in polled)
        return dg.SkipReason(f"{plural(len(polled), 'job')}, none done: {states}.")
    requests = []
    for plan_hash in sorted({row.plan_hash for row in done}):
        ids = sorted(row.job_id or "" for row in done if row.plan_hash == plan_hash)
        config = DownloadConfig(plan=plan_hash, buy=False)
        requests.append(
            dg.RunRequest(
                # A failed run is requested again in the next hour.
                run_key=f"{plan_hash[:12]} {','.join(ids)} {now:%Y-%m-%dT%H}",
                run_config=dg.RunConfig({"download_requests": config}),
                tags={"cbi/plan": plan_hash[:12], "cbi/jobs": str(len(ids))},
            )
        )
    return dg.SensorResult(run_requests=requests)


def _leave_to_next_tick(seconds: float) -> None:
    raise ServiceError(
        f"rate limit or outage, wait {seconds:.0f} s",
        subject="Databento",
        remedy="The next tick polls again.",
    )
