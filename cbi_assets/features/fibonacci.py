"""Fibonacci levels of a root's last confirmed leg.

Formulas (the usual definition; H the swing high, L the swing low): on an up-leg, from L to H, the
retracement x is H - x(H-L) and the extension y is L + y(H-L); on a down-leg, from H to L, they are
L + x(H-L) and H - y(H-L).
"""

from __future__ import annotations

from typing import Final

import polars as pl

from cbi_assets.features.zigzag import join_last_leg
from cbi_assets.tables.matrix_table import DAILY_ML_MATRIX, EXTENSIONS, RETRACEMENTS

THRESHOLD: Final = 0.06
"""Reversal that confirms a swing of daily sessions, a fraction of its price."""

FIBONACCI_COLUMNS: Final = DAILY_ML_MATRIX.field_names("fibonacci")


def fibonacci(active: pl.DataFrame, threshold: float = THRESHOLD) -> pl.DataFrame:
    """Compute the levels of the last two swings confirmed on or before each row's date.

    The series is used as given: over unadjusted sessions, the step between two contracts at a roll
    is part of the swing, and may confirm one. A date without positive prices moves no swing; its
    row has the levels already known.

    Parameters
    ----------
    active : pl.DataFrame
        root, trade_date, high, low (native units): one row per root and trade date, the whole
        history, in any order.
    threshold : float
        Reversal that confirms a swing, a fraction of its price.

    Returns
    -------
    pl.DataFrame
        root, trade_date and FIBONACCI_COLUMNS, sorted by root and trade date; levels in native
        units. `direction` is `up` if the swing high is the later of the two, else `down`;
        `confirmed_on` is the trade date that confirmed the later one. All are null before two
        swings are confirmed. An extension of a long down-leg may be below zero.
    """
    return (
        join_last_leg(active.select("root", "trade_date", "high", "low"), "trade_date", threshold)
        .rename({"swing_high_on": "swing_high_date", "swing_low_on": "swing_low_date"})
        .with_columns(
            *(retracement(x).alias(name) for name, x in RETRACEMENTS.items()),
            *(extension(y).alias(name) for name, y in EXTENSIONS.items()),
        )
        .select("root", "trade_date", *FIBONACCI_COLUMNS)
    )


def retracement(x: float) -> pl.Expr:
    """Return the price at which a leg (swing_high, swing_low, direction) has retraced `x`."""
    high, low = pl.col("swing_high"), pl.col("swing_low")
    span = high - low
    return pl.when(pl.col("direction") == "up").then(high - x * span).otherwise(low + x * span)


def extension(y: float) -> pl.Expr:
    """Return the price at `y` times a leg's range from its origin."""
    high, low = pl.col("swing_high"), pl.col("swing_low")
    span = high - low
    return pl.when(pl.col("direction") == "up").then(low + y * span).otherwise(high - y * span)
