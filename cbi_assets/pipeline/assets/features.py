"""features/daily_ml_matrix: one row a root and trade date."""

import dagster as dg

from cbi_assets.ingest.build import build
from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.pipeline.assets.drive import POOL, WAREHOUSE
from cbi_assets.pipeline.metadata import column_schema, matrix_metadata
from cbi_assets.pipeline.reporting import table_key
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.warehouse.tables import DAILY_ML_MATRIX, RAW

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


@dg.asset(
    key=MATRIX_KEY,
    deps=[table_key(RAW[timeframe].id) for timeframe in TIMEFRAMES],
    group_name="features",
    kinds={WAREHOUSE, "table", "polars"},
    owners=["team:quant"],
    pool=POOL,
    automation_condition=_CONDITION,
    description=DAILY_ML_MATRIX.description,
    metadata={
        "dagster/column_schema": column_schema(DAILY_ML_MATRIX),
        "dagster/table_name": DAILY_ML_MATRIX.id,
        "key": ", ".join(DAILY_ML_MATRIX.key),
    },
)
def daily_ml_matrix(
    context: dg.AssetExecutionContext, project: ProjectResource, clock: Clock
) -> dg.MaterializeResult[None]:
    """Rebuild the matrix; a root with a failed check upstream keeps its old rows."""
    opened = project.get()
    with opened.hold(told=context.log.info):
        outcome = build(opened, now=clock.now(), tell=context.log.info)
    for root, reasons in outcome.barred.items():
        context.log.warning(f"{root} was not rebuilt: {'; '.join(reasons)}")
    return dg.MaterializeResult(metadata=matrix_metadata(outcome))
