"""Ticks: the smallest price move of each root, which the exchange changes now and then."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Final, NamedTuple

import polars as pl

from cbi_assets.market.bars import PRICE_UNIT, PRICES, Columns

TICKS: Final[Columns] = {
    "root": pl.String,
    "first_date": pl.Date,
    "last_date": pl.Date,
    "tick_nanos": pl.Int64,
}
"""Columns of a frame of Tick."""


class Tick(NamedTuple):
    """The tick of a root on these trade dates, both included, in 1e-9 of its native unit."""

    root: str
    first_date: dt.date
    last_date: dt.date
    tick_nanos: int


def is_off_tick(frame: pl.DataFrame, ticks: Iterable[Tick]) -> pl.Series:
    """Return whether a price of each row cannot be one of its root's. Never null.

    The price of an outright or a continuous symbol is a multiple of the tick; that of a spread is
    at least a hundredth of it, or 0. The frame has open, high, low, close, root, kind and
    trade_date. Undefined prices, and roots without a tick, are not off it.
    """
    current: dict[str, int] = {}
    earlier: list[Tick] = []
    for era in sorted(ticks, key=lambda era: era.first_date, reverse=True):
        if era.root in current:
            earlier.append(era)
        else:
            current[era.root] = era.tick_nanos
    tick = pl.col("root").replace_strict(current, default=None, return_dtype=pl.Int64)
    for era in earlier:
        is_earlier = (pl.col("root") == era.root) & (pl.col("trade_date") <= era.last_date)
        tick = pl.when(is_earlier).then(era.tick_nanos).otherwise(tick)
    # As columns, they are computed once and not again for each price.
    on_grid = pl.col("kind").is_in(["outright", "continuous"]).fill_null(False)
    found = frame.select(*PRICES, tick=tick, on_grid=on_grid)
    nanos = (pl.col(PRICES) * PRICE_UNIT).round().cast(pl.Int64, strict=False)
    is_off = pl.any_horizontal((nanos % pl.col("tick") != 0).fill_null(False))
    if found["on_grid"].all():
        return found.select(is_off).to_series()
    is_tiny = (nanos != 0) & (nanos.abs() * 100 < pl.col("tick"))
    any_tiny = pl.any_horizontal(is_tiny.fill_null(False))
    return found.select(pl.when("on_grid").then(is_off).otherwise(any_tiny)).to_series()
