"""What `cbi build` makes of the raw tables, in one step: sessions, rolls, continuous series and
features/daily_ml_matrix."""

from collections.abc import Iterator

import dagster as dg

from cbi_assets.ingest.build import build
from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.pipeline.assets.drive import POOL, WAREHOUSE
from cbi_assets.pipeline.metadata import built_metadata, column_schema
from cbi_assets.pipeline.reporting import table_key
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.warehouse.tables import (
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

MATRIX_KEY = table_key(DAILY_ML_MATRIX.id)

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
        description=table.description,
        metadata={
            "dagster/column_schema": column_schema(table),
            "dagster/table_name": table.id,
            "key": ", ".join(table.key),
        },
    )


@dg.multi_asset(name="build", specs=[_spec(table) for table in BUILT], pool=POOL)
def built_tables(
    context: dg.AssetExecutionContext, project: ProjectResource, clock: Clock
) -> Iterator[dg.MaterializeResult[None]]:
    """Bring them in step with the bars; a root with a failed check upstream keeps its old rows."""
    opened = project.get()
    with opened.hold(told=context.log.info):
        outcome = build(opened, now=clock.now(), tell=context.log.info)
    for root, reasons in outcome.barred.items():
        context.log.warning(f"{root} was not rebuilt: {'; '.join(reasons)}")
    for table in BUILT:
        yield dg.MaterializeResult(
            asset_key=table_key(table.id), metadata=built_metadata(outcome, table)
        )
