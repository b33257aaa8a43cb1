"""When bars are no longer fresh: propose a plan for the newest days. Nothing is approved here."""

import dagster as dg

from cbi_assets.checks import FRESH_TRADE_DATES
from cbi_assets.downloads.planning import survey_project
from cbi_assets.errors import HomeBusyError
from cbi_assets.pipeline.downloads.spec_asset import SPEC_KEY, SpecConfig
from cbi_assets.pipeline.resources import Clock, ProjectResource

propose_downloads = dg.define_asset_job(
    "propose_downloads",
    selection=[SPEC_KEY],
    description="Plan what is missing. It buys nothing: a person approves the plan.",
)


@dg.sensor(
    job=propose_downloads,
    minimum_interval_seconds=3600,
    description="Watches how old the newest published bars are. When a series lacks its last "
    f"{FRESH_TRADE_DATES} trade dates, it proposes a plan for the newest days, once a trade date. "
    "It approves and buys nothing.",
)
def stale_bars(
    context: dg.SensorEvaluationContext, project: ProjectResource, clock: Clock
) -> dg.SensorResult | dg.SkipReason:
    """Request a plan of the newest days; the cursor is the last trade date it was proposed for."""
    try:
        with project.session(clock.now(), wait=0) as session:
            wanted = survey_project(session)
    except HomeBusyError as error:
        return dg.SkipReason(str(error))
    through = wanted.through.isoformat()
    stale = [
        f"{coverage.root}|{coverage.timeframe}"
        for coverage in wanted.coverages
        for found in coverage.ranges
        if found.kind == "tail" and len(found.trade_dates) >= FRESH_TRADE_DATES
    ]
    if not stale:
        return dg.SkipReason(f"Every published series is fresh through {through}.")
    if context.cursor and context.cursor >= through:
        return dg.SkipReason(f"A plan through {through} was proposed already.")
    context.log.info(f"No longer fresh: {', '.join(stale)}. Proposing a plan through {through}.")
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
