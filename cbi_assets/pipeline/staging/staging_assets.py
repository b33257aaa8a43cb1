"""What staging gives: macro observations and the Yahoo bridge, judged row by row."""

from typing import Any

import dagster as dg

from cbi_assets.pipeline.asset_keys import INVENTORY_KEY, table_key
from cbi_assets.pipeline.metadata import markdown_table, table_metadata
from cbi_assets.pipeline.raw.drive_asset import POOL, WAREHOUSE
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.tables import MACRO_OBSERVATIONS, YAHOO_BRIDGE, TableSpec
from cbi_assets.verbs import load_staging
from cbi_assets.warehouse.base import Warehouse

_BOOKS = (
    "SELECT path, source, layout, verdict, row_count, observations, published, duplicates, "
    "refused, conflicts, reason FROM `ops.staging_files` ORDER BY path, source"
)


def staging_metadata(warehouse: Warehouse, spec: TableSpec) -> dict[str, Any]:
    """What a table that staging fills holds, and the books of the files behind it."""
    held = warehouse.query(f"SELECT COUNT(*) AS held FROM `{spec.id}`")["held"].item()
    books = [
        row
        for row in warehouse.query(_BOOKS).to_dicts()
        if (row["layout"] == "bridge") == (spec is YAHOO_BRIDGE)
    ]
    return {"dagster/row_count": held, "books": markdown_table(books)}


def _staging_table(spec: TableSpec, group: str) -> dg.AssetsDefinition:
    @dg.asset(
        key=table_key(spec.id),
        deps=[INVENTORY_KEY],
        automation_condition=dg.AutomationCondition.any_deps_updated().since_last_handled()
        & ~dg.AutomationCondition.in_progress(),
        group_name=group,
        kinds={WAREHOUSE, "table", "parquet"},
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
        for trouble in outcome.troubles:
            context.log.warning(trouble)
        return dg.MaterializeResult(metadata=metadata)

    return staging_table


MACRO_ASSET = _staging_table(MACRO_OBSERVATIONS, "raw_intelligence")
BRIDGE_ASSET = _staging_table(YAHOO_BRIDGE, "market_data")
STAGING_ASSETS = [MACRO_ASSET, BRIDGE_ASSET]
