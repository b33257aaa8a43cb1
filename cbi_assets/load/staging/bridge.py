"""Validate the rows of the Yahoo bridge file: before the boundary, one row per date."""

from __future__ import annotations

from typing import Final

import polars as pl

from cbi_assets.config.sources import Stitch
from cbi_assets.market.yahoo_stitch import bridge_bars
from cbi_assets.tables import YAHOO_BRIDGE

BARS: Final = YAHOO_BRIDGE.schema_of("date", "open", "high", "low", "close", "volume")
PUBLISHED_BARS: Final = YAHOO_BRIDGE.schema_of(*BARS, "close_only")


def read_bridge(frame: pl.DataFrame, stitch: Stitch) -> pl.DataFrame:
    """Return the file's rows: row_no (from 1), date, open, high, low, close, volume, native units.

    A value of another type is null.
    """
    named: dict[str, str] = stitch.columns.model_dump()
    return frame.with_row_index("row_no", offset=1).select(
        pl.col("row_no").cast(pl.Int64),
        *(pl.col(named[name]).cast(kind, strict=False).alias(name) for name, kind in BARS.items()),
    )


def validate_bridge(
    rows: pl.DataFrame, stitch: Stitch, existing: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Validate rows of `read_bridge` against the published bars (PUBLISHED_BARS).

    Returns the observations (row_no, item, source, series_id, verdict, reason) and the bars to
    publish (PUBLISHED_BARS). Of equal rows of a date, the first is published. Different rows of a
    date are all in conflict, and so is a row that differs from the published bar, which stays.
    """
    prices = ["open", "high", "low", "close", "volume"]
    boundary = stitch.boundary
    close = pl.col("close")
    faults = rows.with_columns(
        reason=pl.coalesce(
            pl.when(pl.col("date").is_null()).then(pl.lit("its date is missing or is not a date")),
            pl.when(pl.col("date") >= boundary).then(
                pl.lit(f"from {boundary} on, prices come from Databento alone")
            ),
            pl.when(~(close.is_finite() & (close > 0)).fill_null(False)).then(
                pl.lit("its close is missing or not positive")
            ),
        )
    )
    refused = faults.filter(pl.col("reason").is_not_null()).with_columns(verdict=pl.lit("refused"))
    valid = bridge_bars(
        faults.filter(pl.col("reason").is_null()),
        boundary,
        stitch.close_only_before,
        stitch.scale,
    )
    known = existing.select("date", *(pl.col(name).alias(f"existing_{name}") for name in prices))
    differs = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(f"existing_{name}")) for name in prices
    )
    settled = (
        valid.join(
            known.with_columns(is_published=True), on="date", how="left", maintain_order="left"
        )
        .with_columns(
            versions=pl.struct(prices).n_unique().over("date"),
            is_first=pl.col("row_no") == pl.col("row_no").min().over("date"),
            is_published=pl.col("is_published").fill_null(False),
        )
        .with_columns(
            reason=pl.when(pl.col("versions") > 1)
            .then(pl.format("{} different bars for one date in this file", "versions"))
            .when(pl.col("is_published") & differs)
            .then(pl.lit("another bar of this date was published from an earlier file"))
        )
        .with_columns(
            verdict=pl.when(pl.col("reason").is_not_null())
            .then(pl.lit("conflict"))
            .when(pl.col("is_published") | ~pl.col("is_first"))
            .then(pl.lit("duplicate"))
            .otherwise(pl.lit("published"))
        )
    )
    columns = ["row_no", "verdict", "reason"]
    observations = pl.concat([refused.select(columns), settled.select(columns)]).select(
        "row_no",
        item=pl.lit(stitch.root),
        source=pl.lit(stitch.source),
        series_id=pl.lit(None, pl.String),
        verdict="verdict",
        reason="reason",
    )
    bars = settled.filter(pl.col("verdict") == "published").select(*PUBLISHED_BARS)
    return observations.sort("row_no"), bars
