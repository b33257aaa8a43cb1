"""drive/inventory: what lies on the drive, told from content."""

import os

import dagster as dg

from cbi_assets.load.load import inventory as take_inventory
from cbi_assets.pipeline.asset_keys import INVENTORY_KEY
from cbi_assets.pipeline.metadata import inventory_metadata
from cbi_assets.pipeline.resources import Clock, ProjectResource

POOL = "duckdb"

WAREHOUSE = "bigquery" if os.environ.get("CBI_WAREHOUSE") == "bigquery" else "duckdb"
"""The kind that assets in the warehouse show; `cbi ui` hands its settings over as variables."""


@dg.asset(
    key=INVENTORY_KEY,
    group_name="drive",
    kinds={"databento", "parquet"},
    owners=["team:market-data"],
    pool=POOL,
    description="What lies on the external drive and in staging: schema, symbols, range and "
    "encoding told from content, beside what the folders' names claim. New files are verified and "
    "landed as Parquet; a file that has not changed is not opened again.",
)
def inventory(
    context: dg.AssetExecutionContext, project: ProjectResource, clock: Clock
) -> dg.MaterializeResult[None]:
    """Survey the drive."""
    with project.session(clock.now()) as session:
        survey = take_inventory(session)
    return dg.MaterializeResult(metadata=inventory_metadata(survey))
