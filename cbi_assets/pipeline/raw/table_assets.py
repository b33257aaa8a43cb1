"""The assets of the raw tables: they profile what is published; raw/databento_ohlcv loads it."""

import dagster as dg

from cbi_assets.checks import CheckContext
from cbi_assets.checks.profiles import profile_partitions
from cbi_assets.market.bars import TIMEFRAMES, Timeframe
from cbi_assets.pipeline.asset_keys import RAW_KEY, table_key
from cbi_assets.pipeline.metadata import partition_metadata, table_metadata
from cbi_assets.pipeline.partitions import FEW_RUNS, parse_partition_key, partitions_of
from cbi_assets.pipeline.plots import plot_profiles
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.pipeline.to_dagster import lights_metadata
from cbi_assets.pipeline.warehouse_pool import POOL, WAREHOUSE_KIND
from cbi_assets.tables import RAW


def _raw_table(timeframe: Timeframe) -> dg.AssetsDefinition:
    spec = RAW[timeframe]

    @dg.asset(
        key=table_key(spec.id),
        partitions_def=partitions_of((timeframe,)),
        backfill_policy=FEW_RUNS,
        deps=[dg.AssetDep(RAW_KEY, partition_mapping=dg.IdentityPartitionMapping())],
        group_name=spec.dataset,
        kinds={WAREHOUSE_KIND, "table"},
        owners=["team:market-data"],
        pool=POOL,
        description=spec.description,
        metadata=table_metadata(spec),
    )
    def raw_table(
        context: dg.AssetExecutionContext, project: ProjectResource, clock: Clock
    ) -> dg.MaterializeResult[None]:
        roots = {key: parse_partition_key(key)[0] for key in context.partition_keys}
        with project.session(clock.now()) as session:
            found = profile_partitions(
                CheckContext(session, full=False), timeframe, list(roots.values())
            )
            lights = project.read_lights(session)
        profiles = {profile.root: profile for profile in found}
        plots = plot_profiles(found)
        for key, root in roots.items():
            metadata = partition_metadata(
                profiles.get(root), None, plots.get((root, timeframe), {})
            ) | lights_metadata(lights)
            context.add_asset_metadata(metadata, partition_key=key)
        return dg.MaterializeResult()

    return raw_table


RAW_TABLES = {timeframe: _raw_table(timeframe) for timeframe in TIMEFRAMES}
"""The raw tables' assets, by timeframe."""
