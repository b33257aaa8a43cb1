"""A causal zigzag: swing highs and lows that exist only from the bar that confirms them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import inf, nan
from typing import Final, Literal

import polars as pl

Kind = Literal["high", "low"]

LEG_COLUMNS: Final = (
    "swing_high",
    "swing_low",
    "swing_high_on",
    "swing_low_on",
    "direction",
    "confirmed_on",
)


def zigzag(
    bars: pl.DataFrame, at: str, threshold: float, by: Sequence[str] = ("root",)
) -> pl.DataFrame:
    """Find the confirmed swing highs and lows of each series, in order of confirmation.

    A swing high is confirmed by the first later bar with low ≤ price × (1 − threshold), a swing
    low by the first later bar with high ≥ price × (1 + threshold). Until then a higher high (lower
    low) moves the extreme; an equal one does not. Highs and lows alternate, at most one per bar.

    The order of prices inside a bar is unknown. So a bar that makes a new extreme moves it and
    confirms nothing, even if its other end is beyond the threshold; and the next extreme is sought
    in later bars only. At the start both ends are followed from the first bar on, and the first one
    confirmed sets the direction; while both extremes are of the same wide bar, a bar that would
    confirm both confirms neither.

    A bar whose high or low is null, NaN or not positive is skipped: a fraction of such a price is
    meaningless.

    Parameters
    ----------
    bars : pl.DataFrame
        `by`, `at`, high, low (native units), in any order.
    at : str
        Column with the bar's date or time, unique within a series.
    threshold : float
        Reversal that confirms a swing, a fraction of its price.
    by : Sequence[str]
        Columns that name a series.

    Returns
    -------
    pl.DataFrame
        `by`, extreme_on (`at` of the extreme), price (native units), kind (`high` or `low`),
        confirmed_on (`at` of the confirming bar).

    Raises
    ------
    ValueError
        If `threshold` is not between 0 and 1.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold {threshold}: must be a fraction between 0 and 1")
    series = bars.select(*by, at, "high", "low").sort(*by, at)
    highs, lows = (series[name].fill_null(nan).to_list() for name in ("high", "low"))
    ends = accumulate(series.group_by(*by, maintain_order=True).len()["len"].to_list())
    found: list[tuple[int, int, Kind]] = []
    start = 0
    for end in ends:
        turns = _turns(highs[start:end], lows[start:end], threshold)
        found += [(start + extreme, start + confirmed, kind) for extreme, confirmed, kind in turns]
        start = end
    rows = pl.DataFrame(
        found, schema={"extreme": pl.Int64, "confirmed": pl.Int64, "kind": pl.String}, orient="row"
    )
    return (
        series.select(pl.all().gather(rows["extreme"]))
        .with_columns(kind=rows["kind"], confirmed_on=series[at].gather(rows["confirmed"]))
        .select(
            *by,
            pl.col(at).alias("extreme_on"),
            pl.when(pl.col("kind") == "high").then("high").otherwise("low").alias("price"),
            "kind",
            "confirmed_on",
        )
    )


def join_last_leg(
    bars: pl.DataFrame, at: str, threshold: float, by: Sequence[str] = ("root",)
) -> pl.DataFrame:
    """Add LEG_COLUMNS to each bar: the last two swings confirmed at it or before.

    Parameters
    ----------
    bars, at, threshold, by
        As for `zigzag`. `bars` may have other columns, which are kept.

    Returns
    -------
    pl.DataFrame
        `bars` sorted by `by` and `at`, and LEG_COLUMNS. swing_high_on and swing_low_on are `at` of
        the extremes; direction is `up` if the high is the later of the two, else `down`;
        confirmed_on is `at` of the bar that confirmed the later one. All are null before two swings
        are confirmed.
    """
    swings = zigzag(bars, at, threshold, by)
    up = pl.col("kind") == "high"
    before = {
        name: pl.col(name).shift(1).over(*by, order_by="confirmed_on")
        for name in ("price", "extreme_on")
    }
    legs = (
        swings.with_columns(prior_price=before["price"], prior_on=before["extreme_on"])
        .filter(pl.col("prior_on").is_not_null())
        .select(
            *by,
            pl.when(up).then("price").otherwise("prior_price").alias("swing_high"),
            pl.when(up).then("prior_price").otherwise("price").alias("swing_low"),
            pl.when(up).then("extreme_on").otherwise("prior_on").alias("swing_high_on"),
            pl.when(up).then("prior_on").otherwise("extreme_on").alias("swing_low_on"),
            pl.when(up).then(pl.lit("up")).otherwise(pl.lit("down")).alias("direction"),
            "confirmed_on",
            pl.col("confirmed_on").alias(at),
        )
    )
    return (
        bars.sort(*by, at)
        .join(legs, on=[*by, at], how="left", maintain_order="left")
        .with_columns(pl.col(LEG_COLUMNS).forward_fill().over(*by))
    )


def _turns(
    highs: list[float], lows: list[float], threshold: float
) -> Iterator[tuple[int, int, Kind]]:
    """Yield the swings of one series: row of the extreme, row of its confirmation, kind."""
    fallen, risen = 1 - threshold, 1 + threshold
    seeking: Kind | None = None
    high, low = -inf, inf
    high_row = low_row = -1
    # The lowest low after the high, and the highest high after the low: where the next leg starts.
    low_after, high_after = inf, -inf
    low_after_row = high_after_row = -1
    for row, (top, bottom) in enumerate(zip(highs, lows, strict=True)):
        if not (top > 0 and bottom > 0):
            continue
        falls = rises = False
        if seeking != "low":
            if top > high:
                high, high_row, low_after = top, row, inf
            else:
                falls = bottom <= high * fallen
                if bottom < low_after:
                    low_after, low_after_row = bottom, row
        if seeking != "high":
            if bottom < low:
                low, low_row, high_after = bottom, row, -inf
            else:
                rises = top >= low * risen
                if top > high_after:
                    high_after, high_after_row = top, row
        if falls and not rises:
            yield high_row, row, "high"
            seeking = "low"
            low, low_row, high_after = low_after, low_after_row, -inf
        elif rises and not falls:
            yield low_row, row, "low"
            seeking = "high"
            high, high_row, low_after = high_after, high_after_row, inf
