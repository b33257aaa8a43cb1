"""drive/inventory: what lies on the drive, told from content."""

import dagster as dg

from cbi_assets.drive.listing import by_folder
from cbi_assets.ingest.load import inventory as take_inventory
from cbi_assets.pipeline.metadata import markdown_table
from cbi_assets.pipeline.resources import ProjectResource

POOL = "duckdb"


@dg.asset(
    key=["drive", "inventory"],
    group_name="drive",
    kinds={"databento", "parquet"},
    owners=["team:market-data"],
    pool=POOL,
    description="What lies on the external drive and in staging: schema, symbols, range and "
    "encoding told from content, beside what the folders' names claim. New files are verified and "
    "landed as Parquet; a file that has not changed is not opened again.",
)
def inventory(
    context: dg.AssetExecutionContext, project: ProjectResource
) -> dg.MaterializeResult[None]:
    """Survey the drive."""
    opened = project.get()
    with opened.hold(told=context.log.info):
        survey = take_inventory(opened)
    rows = by_folder(survey)
    troubles = [{"path": f.path, "why": f.reason} for f in survey.files if f.verdict == "refused"]
    return dg.MaterializeResult(
        metadata={
            "files": len(survey.files),
            "files read": survey.read,
            "bars on the drive": sum(content.records for content in survey.contents.values()),
            "folders": markdown_table([row.shown() for row in rows]),
            "refused": markdown_table(troubles[:50]),
        }
    )
