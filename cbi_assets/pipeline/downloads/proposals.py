"""Keep bars fresh: propose a plan for the newest days, or buy them under a standing approval."""

import dagster as dg

from cbi_assets.checks import FRESH_TRADE_DATES
from cbi_assets.databento_api.client import connect_from_settings
from cbi_assets.downloads.seal import StandingError
from cbi_assets.downloads.standing import Standing, find_standing
from cbi_assets.downloads.top_up import eligible, open_jobs, top_up
from cbi_assets.downloads.wanted import survey
from cbi_assets.errors import HomeBusyError, UsageError
from cbi_assets.formatting import dollars
from cbi_assets.pipeline.downloads.spec_asset import SPEC_KEY, SpecConfig
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.pipeline.warehouse_pool import POOL
from cbi_assets.session import Session

MAX_FAILURES = 2
"""Failed top-ups of a trade date after which a person is needed; each is an alert."""

propose_downloads = dg.define_asset_job(
    "propose_downloads",
    selection=[SPEC_KEY],
    description="Plan missing downloads. Buys nothing: a person approves the plan.",
)


@dg.op(
    pool=POOL,
    description="Buy the newest days that a standing approval allows, inside its ceilings, and "
    "download the files of jobs that are done. Does not wait for jobs.",
)
def buy_newest_days(context: dg.OpExecutionContext, project: ProjectResource, clock: Clock) -> None:
    """Buy and download; fails, and buys nothing, without a standing approval that allows it."""
    opened = project.get()
    try:
        done = top_up(opened, connect_from_settings(opened.settings), clock=clock.now)
    except UsageError as error:
        context.log.error(str(error))
        raise dg.Failure(str(error), allow_retries=False) from error
    for line in done.waiting:
        context.log.info(line)
    if done.plan is None or done.outcome is None:
        context.log.info("Nothing to buy yet.")
        return
    context.log.info(
        f"Plan {done.plan.plan_hash[:12]}: {done.outcome.submitted} submitted, "
        f"{dollars(done.outcome.spent_usd)}, approval {done.outcome.approval_id}."
    )


@dg.job(description="Buy the newest days under a standing approval, inside its ceilings.")
def top_up_downloads() -> None:
    """Run one op for all series."""
    buy_newest_days()


@dg.sensor(
    jobs=[propose_downloads, top_up_downloads],
    minimum_interval_seconds=3600,
    description=f"When a published series lacks its last {FRESH_TRADE_DATES} trade dates, requests "
    "a plan for the newest days, once per trade date. With a standing approval (`cbi approve "
    "--standing`) it buys the newest days of its roots and schemas as soon as one is missing, "
    "inside its ceilings.",
)
def stale_bars(
    context: dg.SensorEvaluationContext, project: ProjectResource, clock: Clock
) -> dg.SensorResult | dg.SkipReason:
    """Request a top-up or a plan; the cursor is the last trade date of the last plan."""
    now = clock.now()
    try:
        with project.session(now, wait=0) as session:
            wanted = survey(session)
            standing = _standing(context, session)
            missing = [] if standing is None else eligible(standing, wanted, open_jobs(session))
    except HomeBusyError as error:
        return dg.SkipReason(str(error))
    through = wanted.through.isoformat()
    if missing and _failures(context.instance, through) < MAX_FAILURES:
        context.log.info(f"Missing: {', '.join(missing)}. Buying what is published by now.")
        # The vendor may publish the newest day hours after its end: requested again each hour.
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(
                    run_key=f"top-up-{through}-{now:%Y-%m-%dT%H}",
                    job_name=top_up_downloads.name,
                    tags={"cbi/through": through},
                )
            ],
            cursor=context.cursor,
        )
    stale = [
        f"{coverage.root}|{coverage.timeframe}"
        for coverage in wanted.coverages
        for missing_range in coverage.ranges
        if missing_range.kind == "tail" and len(missing_range.trade_dates) >= FRESH_TRADE_DATES
    ]
    if not stale:
        return dg.SkipReason(f"Every published series is fresh through {through}.")
    if context.cursor and context.cursor >= through:
        return dg.SkipReason(f"A plan through {through} was already requested.")
    context.log.info(f"Stale: {', '.join(stale)}. Requesting a plan through {through}.")
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=f"proposal-{through}",
                job_name=propose_downloads.name,
                run_config=dg.RunConfig(
                    {SPEC_KEY.to_python_identifier(): SpecConfig(newest_only=True)}
                ),
                tags={"cbi/stale": str(len(stale)), "cbi/through": through},
            )
        ],
        cursor=through,
    )


def _standing(context: dg.SensorEvaluationContext, session: Session) -> Standing | None:
    """Return the standing approval, None if there is none; a refused one is logged."""
    try:
        return find_standing(session)
    except StandingError as error:
        if error.code != "none":
            context.log.error(str(error))
        return None


def _failures(instance: dg.DagsterInstance, through: str) -> int:
    return instance.get_runs_count(
        dg.RunsFilter(
            job_name=top_up_downloads.name,
            tags={"cbi/through": through},
            statuses=[dg.DagsterRunStatus.FAILURE],
        )
    )
