"""Take inventory of the raw tables by symbol and trade date, and find what matches it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from cbi_assets.build.build_slices import spans_of, within
from cbi_assets.market.bars import TIMEFRAMES, Timeframe
from cbi_assets.tables import RAW, SESSIONS
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.warehouse.sql_files import load_sql

SESSION_KEY: Final = ("symbol", "trade_date", "built_from")

INVENTORY: Final = pl.Schema(
    SESSIONS.schema_of("root", *SESSION_KEY, "contract", "bars", "volume", "load_ids")
    | {"kind": pl.String(), "reaches_its_day": pl.Boolean()}
)
"""One row per symbol, trade date and timeframe (`built_from`): number of bars, their volume in
contracts, and the loads that published them, sorted. `reaches_its_day` is true if a bar starts on
the trade date's own UTC day. A file ends at midnight UTC, inside the next trade date's session, so
without such a bar only the evening before the session is there."""

_EVIDENCE: Final = ("bars", "volume", "load_ids", "contract")


def read_inventory(
    warehouse: Warehouse, windows: pl.DataFrame, timeframes: Sequence[Timeframe] = TIMEFRAMES
) -> pl.DataFrame:
    """Return INVENTORY of the outrights and continuous symbols of rank 0 in these WINDOWS."""
    parts = [pl.DataFrame(schema=_BY_LOAD)]
    for query in inventory_queries(windows, timeframes):
        part = warehouse.query(query.sql, query.params)
        parts.append(part.select(pl.col(name).cast(kind) for name, kind in _BY_LOAD.items()))
    return (
        within(pl.concat(parts), windows)
        .sort("load_id")
        .group_by("root", *SESSION_KEY, maintain_order=True)
        .agg(
            pl.col("bars", "volume").sum(),
            pl.col("load_id").alias("load_ids"),
            pl.col("kind").first(),
            pl.col("contract").sort_by("last_ts").last(),
            pl.col("reaches_its_day").any(),
        )
        .select(*INVENTORY)
    )


def inventory_queries(
    windows: pl.DataFrame, timeframes: Sequence[Timeframe] = TIMEFRAMES
) -> list[Statement]:
    """Return what `read_inventory` asks."""
    sql = " UNION ALL ".join(
        f"({load_sql('build/bar_inventory', table=RAW[timeframe].id, timeframe=timeframe)})"
        for timeframe in timeframes
    )
    return [Statement(sql, span) for span in spans_of(windows)]


def up_to_date(existing: pl.DataFrame, wanted: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of `existing` that were built from what `wanted` (INVENTORY) has now.

    `existing` has SESSION_KEY, contract and load_ids, and volume, bars or both. Of a load's bars
    only the contract may change in place: an unload deletes them, and new ones carry a new load ID.
    So equal loads, counts, volumes and contracts mean equal bars.
    """
    evidence = [name for name in _EVIDENCE if name in existing.columns]
    return existing.join(wanted, on=[*SESSION_KEY, *evidence], how="semi", nulls_equal=True)


_BY_LOAD: Final = {name: kind for name, kind in INVENTORY.items() if name != "load_ids"} | {
    "load_id": pl.String(),
    "last_ts": pl.Datetime("us", "UTC"),
}
