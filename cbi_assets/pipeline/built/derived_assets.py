"""The assets of market_data/futures_ohlcv_5m, _15m, _30m and _4h, one partition per root."""

from typing import Any

import dagster as dg

from cbi_assets.build.build_slices import BuildSlices
from cbi_assets.build.derive import SOURCES, derive
from cbi_assets.market.bars import DERIVED_TIMEFRAMES, DerivedTimeframe
from cbi_assets.pipeline.asset_keys import table_key
from cbi_assets.pipeline.metadata import table_metadata
from cbi_assets.pipeline.partitions import FEW_RUNS, ROOTS
from cbi_assets.pipeline.plots import plot_bars
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.pipeline.to_dagster import lights_metadata
from cbi_assets.pipeline.warehouse_pool import POOL, WAREHOUSE_KIND
from cbi_assets.tables import DERIVED, RAW, TableSpec
from cbi_assets.warehouse.base import Warehouse
from cbi_assets.warehouse.sql_files import load_sql


def _derived_table(timeframe: DerivedTimeframe) -> dg.AssetsDefinition:
    spec = DERIVED[timeframe]

    @dg.asset(
        key=table_key(spec.id),
        partitions_def=ROOTS,
        backfill_policy=FEW_RUNS,
        deps=[
            dg.AssetDep(
                table_key(RAW[source].id),
                partition_mapping=dg.MultiToSingleDimensionPartitionMapping("symbol"),
            )
            for source in SOURCES[timeframe]
        ],
        group_name=spec.dataset,
        kinds={WAREHOUSE_KIND, "table", "polars"},
        owners=["team:market-data"],
        pool=POOL,
        description=spec.description,
        metadata=table_metadata(spec),
    )
    def derived_table(
        context: dg.AssetExecutionContext, project: ProjectResource, clock: Clock
    ) -> dg.MaterializeResult[None]:
        with project.session(clock.now()) as session:
            slices = BuildSlices.read(session.warehouse, [spec], context.partition_keys)
            lights = lights_metadata(project.read_lights(session))
            for root in context.partition_keys:
                outcome = derive(session, (root,), timeframes=(timeframe,), slices=slices)
                reasons = "; ".join(outcome.skipped.get(root, []))
                if reasons:
                    context.log.warning("%s was skipped: %s", root, reasons)
                metadata = {
                    **_profile(session.warehouse, spec, root),
                    "sessions derived": outcome.sessions[timeframe],
                    "skipped": reasons or "no",
                    **lights,
                }
                context.add_asset_metadata(metadata, partition_key=root)
        return dg.MaterializeResult()

    return derived_table


def _profile(warehouse: Warehouse, spec: TableSpec, root: str) -> dict[str, Any]:
    """Return what the table contains of a root."""
    rows = warehouse.query(
        load_sql("build/derived_profile", table=spec.id), {"roots": [root]}
    ).to_dicts()
    if not rows:
        return {
            "dagster/partition_row_count": 0,
            "note": "The raw tables have no bars of this root to derive these from.",
        }
    (row,) = rows
    return {
        "dagster/partition_row_count": row["row_count"],
        "first bar": row["first_ts_event"].isoformat(),
        "last bar": row["last_ts_event"].isoformat(),
        "trade dates": f"{row['first_trade_date']} to {row['last_trade_date']}",
        "symbols": row["symbols"],
        "from 1m bars": row["from_minutes"],
        "from 1h bars": row["from_hours"],
        **plot_bars(warehouse, spec.id, [root])[root],
    }


DERIVED_TABLES = {timeframe: _derived_table(timeframe) for timeframe in DERIVED_TIMEFRAMES}
"""The derived tables' assets, by timeframe."""
