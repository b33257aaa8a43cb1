"""The assets that staging's files fill: macro observations and the Yahoo bridge."""

import dagster as dg

from cbi_assets.pipeline.asset_keys import INVENTORY_KEY, table_key
from cbi_assets.pipeline.metadata import table_metadata
from cbi_assets.pipeline.outcome_metadata import staging_metadata
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.pipeline.warehouse_pool import POOL, WAREHOUSE_KIND
from cbi_assets.tables import MACRO_OBSERVATIONS, YAHOO_BRIDGE, TableSpec
from cbi_assets.verbs import load_staging


def _staging_table(spec: TableSpec) -> dg.AssetsDefinition:
    @dg.asset(
        key=table_key(spec.id),
        deps=[INVENTORY_KEY],
        automation_condition=dg.AutomationCondition.any_deps_updated().since_last_handled()
        & ~dg.AutomationCondition.in_progress(),
        group_name=spec.dataset,
        kinds={WAREHOUSE_KIND, "table", "parquet"},
        owners=["team:market-data"],
        pool=POOL,
        description=spec.description,
        metadata=table_metadata(spec),
    )
    def staging_table(
        context: dg.AssetExecutionContext, project: ProjectResource, clock: Clock
    ) -> dg.MaterializeResult[None]:
        with project.session(clock.now()) as session:
            outcome = load_staging(session)
            metadata = staging_metadata(session, spec, project.read_lights(session))
        for problem in outcome.problems:
            context.log.warning(problem)
        return dg.MaterializeResult(metadata=metadata)

    return staging_table


MACRO_ASSET = _staging_table(MACRO_OBSERVATIONS)
BRIDGE_ASSET = _staging_table(YAHOO_BRIDGE)
STAGING_ASSETS = [MACRO_ASSET, BRIDGE_ASSET]
