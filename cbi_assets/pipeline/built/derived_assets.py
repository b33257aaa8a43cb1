"""market_data/futures_ohlcv_5m, _15m, _30m, _4h: bars made of the raw ones, a partition a root."""

from typing import Any

import dagster as dg

from cbi_assets.build.derive import derive
from cbi_assets.config.universe import load_universe
from cbi_assets.market.bars import DERIVED_TIMEFRAMES, DerivedTimeframe, Timeframe
from cbi_assets.pipeline.asset_keys import table_key
from cbi_assets.pipeline.metadata import table_metadata
from cbi_assets.pipeline.plots import plot_bars
from cbi_assets.pipeline.raw.drive_asset import POOL, WAREHOUSE
from cbi_assets.pipeline.resources import Clock, ProjectResource
from cbi_assets.tables import DERIVED, RAW, TableSpec
from cbi_assets.warehouse.base import Warehouse
from cbi_assets.warehouse.sql_files import load_sql

ROOTS = dg.StaticPartitionsDefinition(list(load_universe().roots))
"""A partition a root."""


def _derived_table(timeframe: DerivedTimeframe) -> dg.AssetsDefinition:
    spec = DERIVED[timeframe]
    sources: tuple[Timeframe, ...] = ("1m", "1h") if timeframe == "4h" else ("1m",)

    @dg.asset(
        key=table_key(spec.id),
        partitions_def=ROOTS,
        deps=[
            dg.AssetDep(
                table_key(RAW[source].id),
                partition_mapping=dg.MultiToSingleDimensionPartitionMapping("symbol"),
            )
            for source in sources
        ],
        group_name="market_data",
        kinds={WAREHOUSE, "table", "polars"},
        owners=["team:market-data"],
        pool=POOL,
        description=spec.description,
        metadata=table_metadata(spec),
    )
    def derived_table(
        context: dg.AssetExecutionContext, project: ProjectResource, clock: Clock
    ) -> dg.MaterializeResult[None]:
        root = context.partition_key
        with project.session(clock.now()) as session:
            outcome = derive(session, (root,), timeframes=(timeframe,))
            held = _profile(session.warehouse, spec, root)
        for reason in outcome.skipped.get(root, []):
            context.log.warning(f"{root} was left as it was: {reason}")
        return dg.MaterializeResult(
            metadata={
                **held,
                "sessions derived": outcome.sessions[timeframe],
                "bars derived": outcome.rows[timeframe],
                "left as it was": "; ".join(outcome.skipped.get(root, [])) or "no",
            }
        )

    return derived_table


def _profile(warehouse: Warehouse, spec: TableSpec, root: str) -> dict[str, Any]:
    rows = warehouse.query(
        load_sql("build/derived_profile", table=spec.id), {"roots": [root]}
    ).to_dicts()
    if not rows:
        return {
            "dagster/partition_row_count": 0,
            "note": "No bars of this root are held that these could be made of.",
        }
    (row,) = rows
    return {
        "dagster/partition_row_count": row["row_count"],
        "first bar": row["first_ts_event"].isoformat(),
        "last bar": row["last_ts_event"].isoformat(),
        "trade dates": f"{row['first_trade_date']} to {row['last_trade_date']}",
        "symbols": row["symbols"],
        "made of 1m bars": row["from_minutes"],
        "made of 1h bars": row["from_hours"],
        **plot_bars(warehouse, spec.id, [root])[root],
    }


DERIVED_TABLES = {timeframe: _derived_table(timeframe) for timeframe in DERIVED_TIMEFRAMES}
"""The assets of the derived tables, by timeframe."""
