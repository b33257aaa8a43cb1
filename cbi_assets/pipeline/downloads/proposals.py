"""Propose a plan for the newest days once bars are stale. Approves nothing."""

import dagster as dg

from cbi_assets.checks import FRESH_TRADE_DATES
from cbi_assets.downloads.wanted import survey
from cbi_assets.errors import HomeBusyError
from cbi_assets.pipeline.downloads.spec_asset import SPEC_KEY, SpecConfig
from cbi_assets.pipeline.resources import Clock, ProjectResource

propose_downloads = dg.define_asset_job(
    "propose_downloads",
    selection=[SPEC_KEY],
    description="Plan missing downloads. Buys nothing: a person approves the plan.",
)


@dg.sensor(
    job=propose_downloads,
    minimum_interval_seconds=3600,
    description=f"When a published series lacks its last {FRESH_TRADE_DATES} trade dates, requests "
    "a plan for the newest days, once per trade date. Approves and buys nothing.",
)
def stale_bars(
    context: dg.SensorEvaluationContext, project: ProjectResource, clock: Clock
) -> dg.SensorResult | dg.SkipReason:
    """Request a plan for the newest days; the cursor is the last trade date of the last one."""
    try:
        with project.session(clock.now(), wait=0) as session:
            wanted = survey(session)
    except HomeBusyError as error:
        return dg.SkipReason(str(error))
    through = wanted.through.isoformat()
    stale = [
        f"{coverage.root}|{coverage.timeframe}"
        for coverage in wanted.coverages
        for missing in coverage.ranges
        if missing.kind == "tail" and len(missing.trade_dates) >= FRESH_TRADE_DATES
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
                run_config=dg.RunConfig(
                    {SPEC_KEY.to_python_identifier(): SpecConfig(newest_only=True)}
                ),
                tags={"cbi/stale": str(len(stale)), "cbi/through": through},
            )
        ],
        cursor=through,
    )
