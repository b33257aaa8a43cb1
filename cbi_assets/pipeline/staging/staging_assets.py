"""The assets that staging's files fill: macro observations and the Yahoo bridge."""

from typing import Any

import dagster as dg

from cbi_assets.pipeline.asset_keys import INVENTORY_KEY, table_key
from cbi_assets.pipeline.metadata import range_metadata, rows_as_markdown, table_metadata
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.pipeline.to_dagster import lights_metadata
from cbi_assets.pipeline.warehouse_pool import POOL, WAREHOUSE_KIND
from cbi_assets.report.lights import Lights
from cbi_assets.session import Session
from cbi_assets.tables import MACRO_OBSERVATIONS, YAHOO_BRIDGE, TableSpec
from cbi_assets.verbs import load_staging

_BOOKS = (
    "SELECT path, source, layout, verdict, row_count, observations, published, duplicates, "
    "refused, conflicts, reason FROM `ops.staging_files` ORDER BY path, source"
)


def staging_metadata(session: Session, spec: TableSpec, lights: Lights) -> dict[str, Any]:
    """Return a table's rows and range, the lights, and the books of its staging files."""
    books = [
        row
        for row in session.warehouse.query(_BOOKS).to_dicts()
        if (row["layout"] == "bridge") == (spec is YAHOO_BRIDGE)
    ]
    return {
        **range_metadata(session.warehouse, [spec])[spec.id],
        **lights_metadata(lights),
        "books": rows_as_markdown(books),
    }


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
