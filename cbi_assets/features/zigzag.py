"""A causal zigzag: swing highs and lows that exist only from the bar that confirms them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, nan
from typing import Final, Literal, NamedTuple

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


_SWINGS: Final = {
    "extreme_on": pl.Int64,
    "price": pl.Float64,
    "kind": pl.String,
    "confirmed_on": pl.Int64,
}


class Swing(NamedTuple):
    """A confirmed swing; times are physical values of the column that a bar's time is in."""

    extreme_on: int
    price: float
    kind: Kind
    confirmed_on: int


@dataclass(frozen=True)
class ZigzagMemory:
    """All that the later swings of a series depend on; nothing, before its first bar.

    `high` and `low` are the extremes so far of what is sought, `low_after` and `high_after` those
    after them; `swings` are the last two confirmed. Times are physical values.
    """

    seeking: Kind | None = None
    high: float = -inf
    high_on: int = 0
    low: float = inf
    low_on: int = 0
    low_after: float = inf
    low_after_on: int = 0
    high_after: float = -inf
    high_after_on: int = 0
    swings: tuple[Swing, ...] = ()


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
    series = bars.select(*by, at, "high", "low").sort(*by, at)
    found: list[Swing] = []
    owners: list[int] = []
    start = 0
    for rows in series.partition_by(*by, maintain_order=True):
        swings, _ = _follow(rows, at, threshold, ZigzagMemory())
        found += swings
        owners += [start] * len(swings)
        start += rows.height
    return series.select(pl.col(by).gather(owners)).hstack(_swing_columns(found, series, at))


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
    return _with_legs(bars.sort(*by, at), zigzag(bars, at, threshold, by), at, by)


def resume_last_leg(
    bars: pl.DataFrame, at: str, threshold: float, memory: ZigzagMemory
) -> tuple[pl.DataFrame, ZigzagMemory]:
    """Add LEG_COLUMNS to the later bars of one series, and return its memory after them.

    Equal to the last rows of `join_last_leg` of the whole series, whose earlier bars `memory` is
    of.
    """
    series = bars.sort(at)
    swings, after = _follow(series, at, threshold, memory)
    found = _swing_columns([*memory.swings, *swings], series, at)
    return _with_legs(series, found, at, ()), after


def _swing_columns(swings: Sequence[Swing], series: pl.DataFrame, at: str) -> pl.DataFrame:
    rows = pl.DataFrame(swings, schema=_SWINGS, orient="row")
    when = series.schema[at]
    return rows.with_columns(
        pl.col("extreme_on", "confirmed_on").cast(pl.Int32 if when == pl.Date else pl.Int64)
    ).with_columns(
        pl.col("extreme_on", "confirmed_on").cast(when), pl.col("price").cast(series.schema["high"])
    )


def _with_legs(
    bars: pl.DataFrame, swings: pl.DataFrame, at: str, by: Sequence[str]
) -> pl.DataFrame:
    """Add LEG_COLUMNS to sorted bars."""
    up = pl.col("kind") == "high"
    swings = swings.sort(*by, "confirmed_on")
    before = {name: pl.col(name).shift(1) for name in ("price", "extreme_on")}
    if by:
        before = {name: shifted.over(*by) for name, shifted in before.items()}
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
    return bars.join_asof(
        legs, on=at, by=list(by) or None, strategy="backward", check_sortedness=False
    )


def _follow(
    series: pl.DataFrame, at: str, threshold: float, memory: ZigzagMemory
) -> tuple[list[Swing], ZigzagMemory]:
    """Follow one sorted series from where `memory` ends; return its swings, and what then is known.

    Raises ValueError if `threshold` is not between 0 and 1.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold {threshold}: must be a fraction between 0 and 1")
    highs, lows = (series[name].fill_null(nan).to_list() for name in ("high", "low"))
    times: list[int] = series[at].to_physical().to_list()
    fallen, risen = 1 - threshold, 1 + threshold
    swings: list[Swing] = []
    seeking = memory.seeking
    high, high_on, low, low_on = memory.high, memory.high_on, memory.low, memory.low_on
    # The lowest low after the high, and the highest high after the low: where the next leg starts.
    low_after, low_after_on = memory.low_after, memory.low_after_on
    high_after, high_after_on = memory.high_after, memory.high_after_on
    for now, top, bottom in zip(times, highs, lows, strict=True):
        if not (top > 0 and bottom > 0):
            continue
        falls = rises = False
        if seeking != "low":
            if top > high:
                high, high_on, low_after = top, now, inf
            else:
                falls = bottom <= high * fallen
                if bottom < low_after:
                    low_after, low_after_on = bottom, now
        if seeking != "high":
            if bottom < low:
                low, low_on, high_after = bottom, now, -inf
            else:
                rises = top >= low * risen
                if top > high_after:
                    high_after, high_after_on = top, now
        if falls and not rises:
            swings.append(Swing(high_on, high, "high", now))
            seeking = "low"
            low, low_on, high_after = low_after, low_after_on, -inf
        elif rises and not falls:
            swings.append(Swing(low_on, low, "low", now))
            seeking = "high"
            high, high_on, low_after = high_after, high_after_on, inf
    return swings, ZigzagMemory(
        seeking,
        high,
        high_on,
        low,
        low_on,
        low_after,
        low_after_on,
        high_after,
        high_after_on,
        (*memory.swings, *swings)[-2:],
    )
