"""The days on which each series has published bars, from the slices that were checked."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import polars as pl

from cbi_assets.checks.slices import Slice, SliceBook, spans_of
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
    ledger = book.ledger(timeframe)
    current = {
        key: piece
        for key, piece in book.stored(table.id).items()
        if piece.published is not None and ledger.get(key) == piece.ledger
    }
    owed = ledger.keys() - current.keys()
    frames = [_known(list(current.values()))]
    for span in spans_of({month for _, month in owed}):
        found = warehouse.query(
            load_sql("downloads/published_days", table=table.id),
            {
                "roots": sorted({root for root, month in owed if span.contains(month)}),
                "first": span.first,
                "end": span.end,
            },
        )
        keys = pl.DataFrame(
            list(owed), schema={"root": pl.String(), "month": pl.Date()}, orient="row"
        )
        month = pl.col("utc_day").dt.truncate("1mo")
        frames.append(
            found.with_columns(month=month)
            .join(keys, on=["root", "month"], how="semi")
            .select(_SCHEMA.names())
        )
    days = pl.concat(frames).filter(pl.col("dataset").is_in(list(datasets)))
    grain = ["root", "series", "trade_date", "utc_day"]
    return days.group_by(grain).agg(pl.col("bars").sum()).sort(grain)


def _known(slices: Collection[Slice]) -> pl.DataFrame:
    """Return the days that slices keep, as columns: there are 100,000 of them in a large home."""
    rows = [row for piece in slices for row in piece.published or ()]
    counts = [len(piece.published or ()) for piece in slices]
    kept = pl.DataFrame(
        dict(zip(_KEPT, zip(*rows, strict=True), strict=True)) if rows else None, schema=_KEPT
    )
    pieces = pl.DataFrame(
        [(piece.root, piece.month) for piece in slices],
        schema={"root": pl.String(), "month": pl.Date()},
        orient="row",
    )
    return pl.concat(
        [kept, pieces.select(pl.all().repeat_by(pl.Series(counts)).explode())], how="horizontal"
    ).select(
        "dataset",
        "root",
        "series",
        (pl.col("trade_date", "utc_day") + pl.col("month").cast(pl.Int32())).cast(pl.Date()),
        "bars",
    )
