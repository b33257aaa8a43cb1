"""The assets that staging's files fill: macro observations and the Yahoo bridge."""

from typing import Any

import dagster as dg

from cbi_assets.pipeline.asset_keys import INVENTORY_KEY, table_key
from cbi_assets.pipeline.metadata import rows_as_markdown, table_metadata
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.pipeline.warehouse_pool import POOL, WAREHOUSE_KIND
from cbi_assets.tables import MACRO_OBSERVATIONS, YAHOO_BRIDGE, TableSpec
from cbi_assets.verbs import load_staging
from cbi_assets.warehouse.base import Warehouse

_BOOKS = (
    "SELECT path, source, layout, verdict, row_count, observations, published, duplicates, "
    "refused, conflicts, reason FROM `ops.staging_files` ORDER BY path, source"
)


def staging_metadata(warehouse: Warehouse, spec: TableSpec) -> dict[str, Any]:
    """Return a table's row count, and the books of the staging files that fill it."""
    rows = warehouse.query(f"SELECT COUNT(*) AS row_count FROM `{spec.id}`")
    books = [
        row
        for row in warehouse.query(_BOOKS).to_dicts()
        if (row["layout"] == "bridge") == (spec is YAHOO_BRIDGE)
    ]
    return {"dagster/row_count": rows["row_count"].item(), "books": rows_as_markdown(books)}


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
            metadata = staging_metadata(session.warehouse, spec)
        for problem in outcome.problems:
            context.log.warning(problem)
        return dg.MaterializeResult(metadata=metadata)

    return staging_table


MACRO_ASSET = _staging_table(MACRO_OBSERVATIONS)
BRIDGE_ASSET = _staging_table(YAHOO_BRIDGE)
STAGING_ASSETS = [MACRO_ASSET, BRIDGE_ASSET]
