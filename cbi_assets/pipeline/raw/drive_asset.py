"""The asset drive/inventory: what is on the drive, detected from content."""

import dagster as dg

from cbi_assets.load.load import inventory as take_inventory
from cbi_assets.pipeline.asset_keys import INVENTORY_KEY
from cbi_assets.pipeline.metadata import inventory_metadata
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.pipeline.warehouse_pool import POOL


@dg.asset(
    key=INVENTORY_KEY,
    group_name="drive",
    kinds={"databento", "parquet"},
    owners=["team:market-data"],
    pool=POOL,
    description="Files on the external drive and in staging: schema, symbols, range and encoding "
    "detected from content, next to what the folders' names claim. New files are verified and "
    "landed as Parquet; a file that has not changed is not opened again.",
)
def inventory(
    context: dg.AssetExecutionContext, project: ProjectResource, clock: Clock
) -> dg.MaterializeResult[None]:
    """Scan the drive and staging."""
    with project.session(clock.now()) as session:
        survey = take_inventory(session)
    return dg.MaterializeResult(metadata=inventory_metadata(survey))
