"""The asset raw/databento_ohlcv: materializing a root and timeframe loads just that partition."""

import dagster as dg

from cbi_assets.ledger.pending_events import PendingEvents
from cbi_assets.pipeline.asset_keys import INVENTORY_KEY, RAW_KEY
from cbi_assets.pipeline.metadata import column_schema, refused_files, trust_metadata
from cbi_assets.pipeline.partitions import BARS, FEW_RUNS, parse_partition_key
from cbi_assets.pipeline.plots import plot_profiles
from cbi_assets.pipeline.reporting import metadata_by_partition, raise_if_stopped, report_tables
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.pipeline.to_dagster import lights_metadata
from cbi_assets.pipeline.warehouse_pool import POOL, WAREHOUSE_KIND
from cbi_assets.tables import RAW
from cbi_assets.verbs import load


@dg.asset(
    key=RAW_KEY,
    partitions_def=BARS,
    backfill_policy=FEW_RUNS,
    deps=[INVENTORY_KEY],
    group_name="raw",
    kinds={"databento", WAREHOUSE_KIND},
    owners=["team:market-data"],
    pool=POOL,
    metadata={"dagster/column_schema": column_schema(RAW["1h"])},
    description="Databento bars of one root in one timeframe. Materializing `ZL|1h` lands what is "
    "new on the drive, audits its bars and publishes them with their books in one transaction; "
    "then the table's checks run. A partition without a file on the drive succeeds, with a note. A "
    "backfill is one run per timeframe and range of roots. The job load_drive loads whatever is "
    "new on the drive in a single run.",
)
def databento_ohlcv(
    context: dg.AssetExecutionContext,
    project: ProjectResource,
    clock: Clock,
) -> dg.MaterializeResult[None]:
    """Load the run's partitions: one, or those of a backfill."""
    partitions = {key: parse_partition_key(key) for key in context.partition_keys}
    with project.session(clock.now()) as session:
        PendingEvents(session.home).add(partitions.values())  # checked even if nothing is new
        outcome = load(session, partitions.values())
        raise_if_stopped(outcome)
        plots = plot_profiles(outcome.profiles)
        lights = project.read_lights(session, outcome.survey)
        report_tables(context, session, outcome, plots, lights, own=partitions.values())
    for key, partition in partitions.items():
        context.add_asset_metadata(
            metadata_by_partition(outcome, partition, plots) | lights_metadata(lights),
            partition_key=key,
        )
    return dg.MaterializeResult(
        metadata={**trust_metadata(outcome.survey), "refused": refused_files(outcome.survey)}
    )
