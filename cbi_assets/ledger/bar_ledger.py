"""What the ledger says of the bars of each month of each root.

A published bar never changes in place: an unload removes it with its ledger entry, and a later load
publishes another one under an ID of its own. So where the ledger says the same, the bars are the
same, and whoever remembers what it said need not read them again.
"""

from __future__ import annotations

import hashlib

import polars as pl

from cbi_assets.market.bars import Timeframe
from cbi_assets.warehouse.base import Statement, Warehouse
from cbi_assets.warehouse.sql_files import load_sql


def read_bar_ledger(warehouse: Warehouse, timeframe: Timeframe | None = None) -> pl.DataFrame:
    """Return a hash of what the ledger says of each month's bars.

    Returns
    -------
    pl.DataFrame
        timeframe, root, month (first day, by ts_event in UTC), ledger; of one timeframe if given.
    """
    query = bar_ledger_query(timeframe)
    entries = warehouse.query(query.sql, query.params)
    names = ("source_file_id", "load_id", "published", "reopened")
    first, last = (
        pl.col(name).dt.convert_time_zone("UTC").dt.date().dt.month_start()
        for name in ("first_ts_event", "last_ts_event")
    )
    return (
        entries.select(
            "timeframe",
            "root",
            month=pl.date_ranges(first, last, "1mo"),
            text=pl.concat_str(pl.col(names).cast(pl.String), separator=" "),
        )
        .explode("month")
        .sort("text")
        .group_by("timeframe", "root", "month")
        .agg(pl.col("text").str.join("\n"))
        .sort("timeframe", "root", "month")
        .select(
            "timeframe",
            "root",
            "month",
            ledger=pl.col("text").map_elements(_hash, return_dtype=pl.String),
        )
    )


def bar_ledger_query(timeframe: Timeframe | None = None) -> Statement:
    """Return what `read_bar_ledger` asks."""
    return Statement(load_sql("ledger/bar_ledger"), {"timeframe": timeframe or ""})


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
