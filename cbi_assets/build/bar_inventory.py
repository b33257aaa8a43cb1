"""Stock: what the raw tables hold of each symbol and trade date, and what was built from it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

import polars as pl

from cbi_assets.market.bars import TIMEFRAMES, Timeframe
from cbi_assets.tables import RAW, SESSIONS
from cbi_assets.warehouse.base import Warehouse
from cbi_assets.warehouse.sql_files import load_sql

FAR: Final = dt.date(2200, 1, 1)

SESSION_KEY: Final = ("symbol", "trade_date", "built_from")

STOCK: Final = pl.Schema(
    SESSIONS.schema_of("root", *SESSION_KEY, "bars", "volume", "load_ids")
    | {"reaches_its_day": pl.Boolean()}
)
"""One row a symbol, trade date and timeframe (`built_from`): its bars, their volume in contracts
and the loads that published them, in order. `reaches_its_day` says that a bar starts on the trade
date's own UTC day: a file ends at midnight UTC, in the middle of the next trade date's session, and
what lacks such a bar is the evening before it alone."""

_EVIDENCE: Final = ("bars", "volume", "load_ids")


def read_stock(
    warehouse: Warehouse,
    roots: Sequence[str],
    timeframes: Sequence[Timeframe] = TIMEFRAMES,
    until: dt.date = FAR,
) -> pl.DataFrame:
    """What the raw tables hold of these roots' outrights and continuous symbols of rank 0, up to
    the trade date `until`: STOCK."""
    params = {"roots": list(roots), "until": until}
    parts = [
        warehouse.query(load_sql("stock", table=RAW[timeframe].id, timeframe=timeframe), params)
        for timeframe in timeframes
    ]
    by_load = pl.concat(
        part.select(pl.col(name).cast(kind) for name, kind in _BY_LOAD.items()) for part in parts
    )
    return (
        by_load.sort("load_id")
        .group_by("root", *SESSION_KEY, maintain_order=True)
        .agg(
            pl.col("bars", "volume").sum(),
            pl.col("load_id").alias("load_ids"),
            pl.col("reaches_its_day").any(),
        )
        .select(*STOCK)
    )


def unchanged(held: pl.DataFrame, wanted: pl.DataFrame) -> pl.DataFrame:
    """The rows of `held` that were built from what `wanted` (STOCK) has now.

    `held` has SESSION_KEY and load_ids, and volume, bars or both. Rows of one load never change in
    place: they go, and others come with a load of their own. So equal loads, counts and volumes
    mean equal bars.
    """
    evidence = [name for name in _EVIDENCE if name in held.columns]
    return held.join(wanted, on=[*SESSION_KEY, *evidence], how="semi", nulls_equal=True)


_BY_LOAD: Final = {name: kind for name, kind in STOCK.items() if name != "load_ids"} | {
    "load_id": pl.String()
}
