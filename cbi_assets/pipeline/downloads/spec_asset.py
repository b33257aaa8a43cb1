"""downloads/spec: what is missing, exactly, and what it costs. It buys nothing."""

from typing import Any

import dagster as dg
from pydantic import Field

from cbi_assets.downloads.plan_page import by_timeframe, render, summary_rows, totals
from cbi_assets.downloads.planning import Scope, make_plan, open_clients
from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.pipeline.metadata import markdown_table
from cbi_assets.pipeline.raw.drive_asset import POOL
from cbi_assets.pipeline.reporting import table_key
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.tables import RAW

SPEC_KEY = dg.AssetKey(["downloads", "spec"])


class SpecConfig(dg.Config):
    """What the plan is made for."""

    newest_only: bool = Field(
        default=False, description="only the newest days of what is published"
    )


@dg.asset(
    key=SPEC_KEY,
    deps=[table_key(RAW[timeframe].id) for timeframe in TIMEFRAMES],
    group_name="downloads",
    kinds={"databento", "json"},
    owners=["team:market-data"],
    pool=POOL,
    description="The wanted universe minus what is published, as the fewest batch requests, with "
    "Databento's quotes where a key is set and estimates elsewhere. Kept under $CBI_HOME/plans by "
    "its hash; only a person's `cbi approve` lets it be bought.",
)
def spec(
    context: dg.AssetExecutionContext, config: SpecConfig, project: ProjectResource, clock: Clock
) -> dg.MaterializeResult[None]:
    """Make the plan and keep it."""
    opened = project.get()
    with project.session(clock.now()) as session:
        plan = make_plan(
            session,
            Scope(newest_only=config.newest_only),
            open_clients(opened),
        )
    name = plan.plan_hash[:12]
    plan.save(opened.home.plans / f"{name}.json")
    page = opened.home.plans / f"{name}.md"
    page.write_text(render(plan, opened.universe))
    context.log.info(totals(plan))
    if plan.requests:
        context.log.info(f"A person approves it by `cbi approve {name} --by NAME --max-usd N`.")
    metadata: dict[str, Any] = {
        "plan": plan.plan_hash,
        "requests": len(plan.requests),
        "through": str(plan.through),
        "figures": plan.basis,
        "by timeframe": markdown_table(by_timeframe(plan)),
        "by root": markdown_table(summary_rows(plan)),
        "page": dg.MetadataValue.path(str(page)),
    }
    known = {"bars": plan.records, "bytes uncompressed": plan.bytes, "USD": plan.cost_usd}
    return dg.MaterializeResult(
        metadata=metadata | {key: value for key, value in known.items() if value is not None}
    )
