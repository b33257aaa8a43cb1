"""Download an approved plan in one run, and watch its jobs: what the vendor has not finished when
the run ends is followed by a sensor, which asks for a run that fetches. Only a person's approval
lets the job buy, and the sensor's runs never buy."""

import dagster as dg
from pydantic import Field

from cbi_assets.databento_api.client import connect_from_settings
from cbi_assets.downloads.execute import execute
from cbi_assets.downloads.job_ledger import write
from cbi_assets.downloads.plan_files import find_plan
from cbi_assets.downloads.poll_jobs import list_under_way, look_at_jobs
from cbi_assets.errors import CbiError, ServiceError
from cbi_assets.pipeline.metadata import markdown_table
from cbi_assets.pipeline.raw.drive_asset import POOL
from cbi_assets.pipeline.resources import Clock, ProjectResource


class DownloadConfig(dg.Config):
    """Which plan, and whether the run may buy."""

    plan: str = Field(description="the start of the plan's hash, or its JSON file")
    buy: bool = Field(
        default=True, description="submit what was not bought yet; needs a person's approval"
    )


@dg.op(
    pool=POOL,
    description="Quote an approved plan again, submit its requests, and fetch the files of every "
    "job that is done, verified, into a folder of its own on the drive. Does not wait for jobs.",
)
def download_requests(
    context: dg.OpExecutionContext,
    config: DownloadConfig,
    project: ProjectResource,
    clock: Clock,
) -> None:
    """Buy and fetch; the sensor of new files loads what came."""
    opened = project.get()
    outcome = execute(
        opened,
        find_plan(opened.home, config.plan),
        connect_from_settings(opened.settings),
        clock=clock.now,
        tell=context.log.info,
        buy=config.buy,
        wait=False,
    )
    context.add_output_metadata(
        {
            "plan": outcome.plan_hash,
            "approval": outcome.approval_id,
            "USD so far": outcome.spent_usd,
            "submitted now": outcome.submitted,
            "fetched now": len(outcome.fetched),
            "under way": len(outcome.under_way),
            "jobs": markdown_table(
                [
                    {"root": row.root, "schema": row.schema, "job": row.job_id,
                     "state": row.state, "USD": f"{row.spent_usd:.2f}", "folder": row.folder}
                    for row in outcome.jobs
                ]
            ),
        }
    )  # fmt: skip


@dg.job(description="Download an approved plan: buy what was not bought yet, fetch what is done.")
def download_plan() -> None:
    """One run, however many requests."""
    download_requests()


@dg.sensor(
    job=download_plan,
    minimum_interval_seconds=60,
    description="Follows submitted jobs to done or expired. A done one asks for a run that "
    "fetches its files; nothing is bought.",
)
def watch_downloads(
    context: dg.SensorEvaluationContext, project: ProjectResource, clock: Clock
) -> dg.SensorResult | dg.SkipReason:
    """Ask for a fetching run for every plan with jobs that are done."""
    opened = project.get()
    now = clock.now()
    try:
        with project.session(now, wait=0) as session:
            rows = list_under_way(session.warehouse)
        if not rows:
            return dg.SkipReason("No job is under way.")
        # the home is not held while the vendor is asked
        watched = look_at_jobs(
            rows, connect_from_settings(opened.settings, _leave_to_next_tick), now
        )
        news = [row for row, before in zip(watched, rows, strict=True) if row != before]
        if news:
            with project.session(now, wait=0) as session:
                write(session.warehouse, news)
    except CbiError as error:
        return dg.SkipReason(str(error))
    for row in news:
        if row.state == "expired":
            context.log.error(row.told)
    done = [row for row in watched if row.state == "done"]
    if not done:
        states = ", ".join(f"{row.job_id} {row.state}" for row in watched)
        return dg.SkipReason(f"{len(watched)} jobs, none to fetch: {states}.")
    requests = []
    for plan_hash in sorted({row.plan_hash for row in done}):
        ids = sorted(row.job_id or "" for row in done if row.plan_hash == plan_hash)
        config = DownloadConfig(plan=plan_hash, buy=False)
        requests.append(
            dg.RunRequest(
                # a run that failed is asked for again in the next hour
                run_key=f"{plan_hash[:12]} {','.join(ids)} {now:%Y-%m-%dT%H}",
                run_config=dg.RunConfig({"download_requests": config}),
                tags={"cbi/plan": plan_hash[:12], "cbi/jobs": str(len(ids))},
            )
        )
    return dg.SensorResult(run_requests=requests)


def _leave_to_next_tick(seconds: float) -> None:
    raise ServiceError(f"Databento asks to wait {seconds:.0f} s; the next tick looks again.")
