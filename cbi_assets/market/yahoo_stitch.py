"""Stitch an older daily series before Databento's: the usable bars, and how well the two agree."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import polars as pl

from cbi_assets.market.bars import PRICES

SEAM_DAYS = 7
"""Calendar days from the boundary in which Databento's first close must be, to measure the seam."""


@dataclass(frozen=True)
class OverlapStatistics:
    """Agreement of two daily series on the same dates.

    Differences are in native units, moves are fractions (-0.009 is -0.9%). A figure without data is
    None.
    """

    overlap_days: int
    first_day: dt.date | None = None
    last_day: dt.date | None = None
    median_abs_difference: float | None = None
    max_abs_difference: float | None = None
    median_ratio: float | None = None
    share_equal: float | None = None
    seam_move: float | None = None
    inside_move: float | None = None
    typical_move: float | None = None


def bridge_bars(
    rows: pl.DataFrame, boundary: dt.date, close_only_before: dt.date, scale: float
) -> pl.DataFrame:
    """Return the bars of an older series that may precede `boundary`, with scaled prices.

    Parameters
    ----------
    rows : pl.DataFrame
        date, open, high, low, close, volume; in any order.
    boundary : dt.date
        First date not to return.
    close_only_before : dt.date
        Rows before this date keep their close only.
    scale : float
        Factor applied to all prices.

    Returns
    -------
    pl.DataFrame
        The columns of `rows`, and `close_only`; in input order. Open, high, low and volume are null
        if `close_only`: before `close_only_before`, and on rows that lack a price or whose open or
        close is outside [low, high].
    """
    is_complete = (
        (pl.col("date") >= close_only_before)
        & pl.col("close").is_between("low", "high")
        & pl.col("open").is_between("low", "high")
    ).fill_null(False)
    return (
        rows.filter(pl.col("date") < boundary)
        .with_columns(*(pl.col(name) * scale for name in PRICES), close_only=~is_complete)
        .with_columns(
            pl.when("close_only").then(None).otherwise(pl.col(name)).alias(name)
            for name in ("open", "high", "low", "volume")
        )
    )


def overlap_statistics(
    yahoo: pl.DataFrame, databento: pl.DataFrame, boundary: dt.date, tick: float
) -> OverlapStatistics:
    """Compare an older daily series with Databento's.

    Parameters
    ----------
    yahoo, databento : pl.DataFrame
        date and close (native units, not null), one row per date, in any order.
    boundary : dt.date
        First date of Databento's part of the stitched series.
    tick : float
        The root's tick, in native units. Closes less than half a tick apart count as equal.

    Returns
    -------
    OverlapStatistics
        Ratios are Databento's close over Yahoo's, so that their median is the scale. `seam_move` is
        the move from Yahoo's last close before the boundary to Databento's first close on or after
        it, if that is within SEAM_DAYS; `inside_move` is Yahoo's own move between these dates, and
        `typical_move` Yahoo's median absolute daily move before the boundary.
    """
    both = (
        yahoo.select("date", "close")
        .join(databento.select("date", other="close"), on="date")
        .sort("date")
    )
    before = yahoo.filter(pl.col("date") < boundary).sort("date")
    moves = before.select((pl.col("close") / pl.col("close").shift(1) - 1).abs()).to_series()
    typical = _number(moves.median())
    seam, inside = _seam(before, yahoo, databento, boundary)
    if both.is_empty():
        return OverlapStatistics(0, seam_move=seam, inside_move=inside, typical_move=typical)
    distance = (both["other"] - both["close"]).abs()
    days = both["date"].to_list()
    return OverlapStatistics(
        overlap_days=both.height,
        first_day=days[0],
        last_day=days[-1],
        median_abs_difference=_number(distance.median()),
        max_abs_difference=_number(distance.max()),
        median_ratio=_number((both["other"] / both["close"]).median()),
        share_equal=float((distance < tick / 2).sum()) / both.height,
        seam_move=seam,
        inside_move=inside,
        typical_move=typical,
    )


def _seam(
    before: pl.DataFrame, yahoo: pl.DataFrame, databento: pl.DataFrame, boundary: dt.date
) -> tuple[float | None, float | None]:
    """Return the move across the boundary, and Yahoo's own between the same dates."""
    limit = boundary + dt.timedelta(days=SEAM_DAYS)
    after = databento.filter(pl.col("date").is_between(boundary, limit, closed="left")).sort("date")
    if before.is_empty() or after.is_empty():
        return None, None
    last, (day, first) = before["close"][-1], after.select("date", "close").row(0)
    own = yahoo.filter(pl.col("date") == day)["close"]
    return first / last - 1, own[0] / last - 1 if len(own) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
