"""What `cbi build` makes of the raw tables, in one step: sessions, rolls, continuous series and
features/daily_ml_matrix."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg

from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.pipeline.asset_keys import table_key
from cbi_assets.pipeline.metadata import built_metadata, table_metadata
from cbi_assets.pipeline.plots import look_at_built
from cbi_assets.pipeline.raw.drive_asset import POOL, WAREHOUSE
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.tables import (
    BUILT,
    CONTINUOUS,
    DAILY_ML_MATRIX,
    MACRO_OBSERVATIONS,
    RAW,
    ROLL_CALENDAR,
    SESSIONS,
    YAHOO_BRIDGE,
    TableSpec,
)
from cbi_assets.verbs import build

MATRIX_KEY = table_key(DAILY_ML_MATRIX.id)

FRESHNESS = dg.FreshnessPolicy.time_window(
    fail_window=dt.timedelta(days=11), warn_window=dt.timedelta(days=5)
)
"""When the tables should have been built again. Two trade dates lie up to four days apart, so that
five days without a build are more than a long weekend. The bars' own measure is five trade dates
(`bars_are_fresh`), which span up to eleven days over Christmas: this one never fails before it.

Raw tables have no policy: they follow the drive, and a day without a delivery is no fault."""

# An unpartitioned asset is not held back by one partition's failed check: the condition says so,
# and the build asks the warehouse again.
_CONDITION = (
    dg.AutomationCondition.any_deps_updated().since_last_handled()
    & ~dg.AutomationCondition.any_deps_match(
        dg.AutomationCondition.any_checks_match(
            dg.AutomationCondition.check_failed(), blocking_only=True
        )
    ).with_label("a blocking check failed upstream")
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
).with_label("bars changed and no blocking check failed")

_DEPS: dict[str, list[TableSpec]] = {
    SESSIONS.id: [RAW[timeframe] for timeframe in TIMEFRAMES],
    ROLL_CALENDAR.id: [SESSIONS],
    CONTINUOUS.id: [SESSIONS, ROLL_CALENDAR, YAHOO_BRIDGE],
    DAILY_ML_MATRIX.id: [SESSIONS, ROLL_CALENDAR, MACRO_OBSERVATIONS],
}


def _spec(table: TableSpec) -> dg.AssetSpec:
    is_matrix = table is DAILY_ML_MATRIX
    return dg.AssetSpec(
        key=table_key(table.id),
        deps=[table_key(dep.id) for dep in _DEPS[table.id]],
        group_name=table.dataset,
        kinds={WAREHOUSE, "table", "polars"},
        owners=["team:quant" if is_matrix else "team:market-data"],
        automation_condition=_CONDITION,
        freshness_policy=FRESHNESS,
        description=table.description,
        metadata=table_metadata(table),
    )


@dg.multi_asset(name="build", specs=[_spec(table) for table in BUILT], pool=POOL)
def built_tables(
    context: dg.AssetExecutionContext, project: ProjectResource, clock: Clock
) -> Iterator[dg.MaterializeResult[None]]:
    """Bring them in step with the bars; a root with a failed check upstream keeps its old rows."""
    with project.session(clock.now()) as session:
        outcome = build(session)
        stock = look_at_built(session)
    for root, reasons in outcome.skipped.items():
        context.log.warning(f"{root} was not rebuilt: {'; '.join(reasons)}")
    for table in BUILT:
        yield dg.MaterializeResult(
            asset_key=table_key(table.id),
            metadata=built_metadata(outcome, table, stock.rows[table.id], stock.plots),
        )
