"""The days on which each series has published bars, from the slices that were checked."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import polars as pl

from cbi_assets.checks.slices import SliceBook, spans_of
from cbi_assets.market.bars import Timeframe
from cbi_assets.tables import RAW
from cbi_assets.warehouse.base import Warehouse
from cbi_assets.warehouse.sql_files import load_sql

_SCHEMA: Final = pl.Schema(
    {
        "dataset": pl.String(),
        "root": pl.String(),
        "series": pl.String(),
        "trade_date": pl.Date(),
        "utc_day": pl.Date(),
        "bars": pl.Int64(),
    }
)

_KEY: Final = ["root", "month"]

_KEPT: Final = pl.Schema(
    {
        "dataset": pl.String(),
        "series": pl.String(),
        "trade_date": pl.Int32(),
        "utc_day": pl.Int32(),
        "bars": pl.Int64(),
    }
)
"""What a slice keeps of each of its days, which are numbers of days from its month's first."""


def read_published_days(
    warehouse: Warehouse, book: SliceBook, timeframe: Timeframe, datasets: Collection[str]
) -> pl.DataFrame:
    """Return the published bars of each series of these datasets, by trade date and UTC day.

    Months whose bars were checked since they last changed are not read again.

    Returns
    -------
    pl.DataFrame
        One row per root, series, trade date and UTC day, sorted; the series is `outright` or a
        continuous symbol, and `bars` is how many it has there.
    """
    table = RAW[timeframe]
    ledger = book.bar_ledger.filter(timeframe=timeframe).select(*_KEY, "ledger")
    stored = book.rows(table.id).filter(pl.col("published") != "null")  # of an earlier version
    current = stored.join(ledger, on=[*_KEY, "ledger"], how="semi")
    owed = ledger.join(current, on=_KEY, how="anti").select(_KEY)
    frames = [_known(current)]
    for span in spans_of(set(owed["month"])):
        is_inside = pl.col("month").is_between(span.first.date(), span.end.date(), closed="left")
        found = warehouse.query(
            load_sql("downloads/published_days", table=table.id),
            {
                "roots": owed.filter(is_inside)["root"].unique().sort().to_list(),
                "first": span.first,
                "end": span.end,
            },
        )
        month = pl.col("utc_day").dt.truncate("1mo")
        frames.append(
            found.with_columns(month=month).join(owed, on=_KEY, how="semi").select(_SCHEMA.names())
        )
    days = pl.concat(frames).filter(pl.col("dataset").is_in(list(datasets)))
    grain = ["root", "series", "trade_date", "utc_day"]
    return days.group_by(grain).agg(pl.col("bars").sum()).sort(grain)


def _known(slices: pl.DataFrame) -> pl.DataFrame:
    """Return the days that slices keep as JSON: there are 100,000 of them in a large home."""
    row = pl.col("published").str.json_decode(pl.List(pl.List(pl.String())))
    values = [pl.col("row").list.get(place).alias(name) for place, name in enumerate(_KEPT)]
    rows = slices.select(*_KEY, row=row).explode("row").drop_nulls("row")
    days = rows.select(*_KEY, *values).cast(_KEPT)
    return days.select(
        "dataset",
        "root",
        "series",
        (pl.col("trade_date", "utc_day") + pl.col("month").cast(pl.Int32())).cast(pl.Date()),
        "bars",
    )
