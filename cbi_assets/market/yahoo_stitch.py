"""The stitch of an older daily series before Databento's: what may be used of it, and what
justifies it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import polars as pl

SEAM_DAYS = 7
"""How long after the boundary Databento's first session may lie for a seam to be measured."""


@dataclass(frozen=True)
class OverlapStatistics:
    """What two daily series say of the same dates. Differences in native units, moves as fractions
    (-0.009 is -0.9%); None where nothing can be said."""

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
    """The rows of an older series (date, open, high, low, close, volume) fit to stand before
    `boundary`, prices times `scale`, with `close_only`.

    Open, high, low and volume are null before `close_only_before`, and on rows whose close does
    not lie within [low, high] or whose open, high or low is missing: only the close is fit to use.
    """
    fit = (
        (pl.col("date") >= close_only_before)
        & pl.col("close").is_between("low", "high")
        & pl.col("open").is_between("low", "high")
    ).fill_null(False)
    prices = [pl.col(name) * scale for name in ("open", "high", "low", "close")]
    return (
        rows.filter(pl.col("date") < boundary)
        .with_columns(*prices, close_only=~fit)
        .with_columns(
            pl.when("close_only").then(None).otherwise(pl.col(name)).alias(name)
            for name in ("open", "high", "low", "volume")
        )
    )


def overlap_statistics(
    yahoo: pl.DataFrame, databento: pl.DataFrame, boundary: dt.date, tick: float
) -> OverlapStatistics:
    """Compare two daily series, each with date and close (native units, one row a date), sound
    closes only.

    The ratio is Databento's close over Yahoo's, whose median is the scale; closes are equal where
    they differ by less than half a tick. The seam is the move from Yahoo's last close before
    `boundary` to Databento's first close from it on, if that is within SEAM_DAYS; `inside_move` is
    the move between the same dates inside Yahoo, `typical_move` the median absolute daily move of
    Yahoo before the boundary.
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
        both.height,
        days[0],
        days[-1],
        _number(distance.median()),
        _number(distance.max()),
        _number((both["other"] / both["close"]).median()),
        float((distance < tick / 2).sum()) / both.height,
        seam,
        inside,
        typical,
    )


def _seam(
    before: pl.DataFrame, yahoo: pl.DataFrame, databento: pl.DataFrame, boundary: dt.date
) -> tuple[float | None, float | None]:
    """The move across the boundary, and between the same dates inside Yahoo."""
    limit = boundary + dt.timedelta(days=SEAM_DAYS)
    after = databento.filter(pl.col("date").is_between(boundary, limit, closed="left")).sort("date")
    if before.is_empty() or after.is_empty():
        return None, None
    last, (day, first) = before["close"][-1], after.select("date", "close").row(0)
    own = yahoo.filter(pl.col("date") == day)["close"]
    return first / last - 1, own[0] / last - 1 if len(own) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
