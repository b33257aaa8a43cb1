"""Floor pivots of the prior trade date and week, on the active contract's own bars.

Formulas (the classic floor trader's pivots): P = (H+L+C)/3, R1 = 2P-L, S1 = 2P-H, R2 = P+(H-L),
S2 = P-(H-L).
"""

from __future__ import annotations

from typing import Final

import polars as pl

from cbi_assets.market.session_bars import contract_sessions
from cbi_assets.tables.matrix_table import DAILY_ML_MATRIX

LEVELS: Final = ("P", "R1", "R2", "S1", "S2")

PIVOT_COLUMNS: Final = DAILY_ML_MATRIX.field_names("pivots")


def pivots(active: pl.DataFrame, sessions: pl.DataFrame, calendar: pl.DataFrame) -> pl.DataFrame:
    """Compute the pivots of each active session.

    A row's pivots come from the root's prior trade date, on the contract that is active on the
    row's date: from that contract's session, whatever symbol has it.

    Parameters
    ----------
    active : pl.DataFrame
        root, trade_date, symbol, contract_key, close: one row per root and trade date.
    sessions : pl.DataFrame
        root, trade_date, symbol, contract_key, is_pure, high, low, close: the sessions that
        `active` was chosen from. Prices in native units.
    calendar : pl.DataFrame
        root, trade_date: the trade dates of each root.

    Returns
    -------
    pl.DataFrame
        root, trade_date and PIVOT_COLUMNS, in the order of `active`; native units. `distance_to_P`
        = close - P; `distance_to_nearest_pivot` is the smallest absolute distance to the five
        levels; `weekly_pivot_distance` = |close - P| of the prior Monday-to-Friday week. Null if
        no symbol has a pure session of the contract on the prior trade date (a roll inside a
        continuous symbol whose contract is unknown or has no bars of its own, a gap); weekly,
        unless it has one on every trade date of the prior week.
    """
    dates = calendar.sort("root", "trade_date").with_columns(
        prior=pl.col("trade_date").shift(1).over("root"),
        week=pl.col("trade_date").dt.truncate("1w"),
    )
    keys = ["root", "contract_key"]
    own = contract_sessions(sessions.filter("is_pure")).select(
        *keys, "trade_date", "high", "low", "close"
    )
    rows = active.select(*keys, "trade_date", "close").join(
        dates, on=["root", "trade_date"], how="left", maintain_order="left"
    )
    daily = rows.join(
        own.rename({"trade_date": "prior", "high": "H", "low": "L", "close": "C"}),
        on=[*keys, "prior"],
        how="left",
        maintain_order="left",
    )
    weekly = _weekly(own, dates, keys)
    # Not `/ 3`: Polars divides one row differently from many, and the results differ by an ulp.
    p = pl.mean_horizontal("H", "L", "C")
    span = pl.col("H") - pl.col("L")
    distances = [(pl.col("close") - pl.col(level)).abs() for level in LEVELS]
    return (
        daily.with_columns(P=p)
        .with_columns(
            R1=2 * pl.col("P") - pl.col("L"),
            S1=2 * pl.col("P") - pl.col("H"),
            R2=pl.col("P") + span,
            S2=pl.col("P") - span,
        )
        .with_columns(prior_week=pl.col("week").dt.offset_by("-1w"))
        .join(weekly, on=[*keys, "prior_week"], how="left", maintain_order="left")
        .with_columns(
            distance_to_P=pl.col("close") - pl.col("P"),
            distance_to_nearest_pivot=pl.min_horizontal(distances),
            weekly_pivot_distance=(pl.col("close") - pl.col("weekly_P")).abs(),
            price_above_P=pl.col("close") > pl.col("P"),
        )
        .select("root", "trade_date", *PIVOT_COLUMNS)
    )


def _weekly(own: pl.DataFrame, dates: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Return P of each contract's complete weeks: the keys, prior_week (its Monday), weekly_P."""
    weeks = dates.group_by("root", "week").agg(pl.len().alias("trade_dates"))
    return (
        own.sort("trade_date")
        .with_columns(week=pl.col("trade_date").dt.truncate("1w"))
        .group_by(*keys, "week", maintain_order=True)
        .agg(
            pl.len().alias("sessions"),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
        )
        .with_columns(weekly_P=pl.mean_horizontal("high", "low", "close"))
        .join(weeks, on=["root", "week"])
        .filter(pl.col("sessions") == pl.col("trade_dates"))
        .select(*keys, pl.col("week").alias("prior_week"), "weekly_P")
    )
