"""downloads/spec: the plan of missing downloads and their cost. Buys nothing."""

from typing import Any

import dagster as dg
from pydantic import Field

from cbi_assets.downloads.plan_page import render, rows_by_series, rows_by_timeframe, summarize
from cbi_assets.downloads.planning import make_plan, open_clients
from cbi_assets.downloads.wanted import Scope
from cbi_assets.files import write_atomically
from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.pipeline.asset_keys import table_key
from cbi_assets.pipeline.metadata import rows_as_markdown
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.pipeline.warehouse_pool import POOL
from cbi_assets.tables import RAW

SPEC_KEY = dg.AssetKey(["downloads", "spec"])


class SpecConfig(dg.Config):
    """What the plan covers."""

    newest_only: bool = Field(default=False, description="only the newest days")


@dg.asset(
    key=SPEC_KEY,
    deps=[table_key(RAW[timeframe].id) for timeframe in TIMEFRAMES],
    group_name="downloads",
    kinds={"databento", "json"},
    owners=["team:market-data"],
    pool=POOL,
    description="The wanted universe minus what is published, as the fewest batch requests, with "
    "Databento's quotes if a key is set, else estimates. Saved in $CBI_HOME/plans by its hash; "
    "buying it needs a person's `cbi approve`.",
)
def spec(
    context: dg.AssetExecutionContext, config: SpecConfig, project: ProjectResource, clock: Clock
) -> dg.MaterializeResult[None]:
    """Make and save the plan."""
    opened = project.get()
    with project.session(clock.now()) as session:
        scope = Scope(newest_only=config.newest_only)
        plan = make_plan(session, scope, open_clients(opened.settings))
    name = plan.plan_hash[:12]
    plan.save(opened.home.plans / f"{name}.json")
    page = opened.home.plans / f"{name}.md"
    write_atomically(page, render(plan, opened.universe))
    context.log.info(summarize(plan))
    if plan.requests:
        context.log.info(f"A person approves it with `cbi approve {name} --by NAME --max-usd N`.")
    metadata: dict[str, Any] = {
        "plan": plan.plan_hash,
        "requests": len(plan.requests),
        "through": str(plan.through),
        "figures": plan.basis,
        "by timeframe": rows_as_markdown(rows_by_timeframe(plan)),
        "by root and timeframe": rows_as_markdown(rows_by_series(plan)),
        "page": dg.MetadataValue.path(str(page)),
    }
    known = {"bars": plan.records, "bytes uncompressed": plan.bytes, "USD": plan.cost_usd}
    return dg.MaterializeResult(
        metadata=metadata | {key: value for key, value in known.items() if value is not None}
    )
