"""20-day volatility of the active contract, and how it ranks among the 252 values behind it.

Every window is worked out from its own values alone. The frame library's rolling sums carry what
came before the window along in their last bits, so that the same 20 days would give another value
where the history starts elsewhere.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view

DAYS: Final = 20
"""Daily returns in vol20."""

YEAR: Final = 252
"""Values of vol20 that today's is held against, its own included."""

K_RANGE: Final = (0.5, 3.0)
"""Where k_vol is clipped."""

VOLATILITY_COLUMNS: Final = ("vol20", "vol_percentile", "k_vol")

Floats = npt.NDArray[np.float64]


def log_returns(
    active: pl.DataFrame, sessions: pl.DataFrame, calendar: pl.DataFrame
) -> pl.DataFrame:
    """ln(close / prior close) of each row of `active`: root, trade_date, log_return.

    `active` and `sessions` have SESSION_COLUMNS; `active` is one row a root and trade date, and
    `sessions` are the sessions of every symbol that may stand behind it. `calendar` lists the trade
    dates of each root (root, trade_date).

    Both closes are the active contract's own, the prior one from the root's prior trade date. The
    return is null where that contract has no close there (a roll inside a continuous symbol, a gap)
    and where either close is not positive.
    """
    dates = calendar.sort("root", "trade_date").with_columns(
        prior=pl.col("trade_date").shift(1).over("root")
    )
    keys = ["root", "symbol", "contract_key"]
    # a session of two contracts will do: its close is of the one that names it
    own = sessions.select(*keys, prior="trade_date", prior_close="close")
    positive = (pl.col("close") > 0) & (pl.col("prior_close") > 0)
    return (
        active.select(*keys, "trade_date", "close")
        .join(dates, on=["root", "trade_date"], how="left", maintain_order="left")
        .join(own, on=[*keys, "prior"], how="left", maintain_order="left")
        .select(
            "root",
            "trade_date",
            pl.when(positive)
            .then((pl.col("close") / pl.col("prior_close")).log())
            .alias("log_return"),
        )
    )


def volatility(returns: pl.DataFrame) -> pl.DataFrame:
    """Volatility of each row of `returns`: root, trade_date and VOLATILITY_COLUMNS, sorted by both.

    `returns` has root, trade_date and log_return, one row a root and trade date.

    `vol20` is the standard deviation (n - 1) of the root's last 20 log returns that exist, today's
    included, not annualised; null where today has none, and before 20. `vol_percentile` is the
    share, above 0 and up to 1, of the last 252 values of vol20 that are at most today's; `k_vol` is
    today's over their median, clipped to [0.5, 3], and null where the median is 0. The 252 are
    values that exist, today's included: a gap leaves out dates and does not start the count anew.
    Both are null where vol20 is, and before 252 values.
    """
    by_root = returns.sort("root", "trade_date").partition_by("root", maintain_order=True)
    return pl.concat([_of_root(rows) for rows in by_root])


def _of_root(rows: pl.DataFrame) -> pl.DataFrame:
    returns = rows["log_return"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    there = np.flatnonzero(~np.isnan(returns))
    vol20 = np.full(len(returns), np.nan)
    vol20[there] = _deviation(returns[there])
    known = np.flatnonzero(~np.isnan(vol20))
    share, ratio = np.full(len(vol20), np.nan), np.full(len(vol20), np.nan)
    if len(known) >= YEAR:
        ranked = known[YEAR - 1 :]
        today = vol20[ranked]
        share[ranked], median = _rank(vol20[known])
        of_median = np.divide(today, median, out=np.full(len(today), np.nan), where=median > 0)
        ratio[ranked] = np.clip(of_median, *K_RANGE)
    values = zip(VOLATILITY_COLUMNS, (vol20, share, ratio), strict=True)
    return rows.select("root", "trade_date").with_columns(
        pl.Series(name, array, pl.Float64, nan_to_null=True) for name, array in values
    )


def _rank(values: Floats) -> tuple[Floats, Floats]:
    """Of each YEAR values: the share that is at most the last of them, and their median."""
    days: list[float] = values.tolist()
    # the window's values in order, kept so from day to day: a tenth of the time of sorting each
    ordered = sorted(days[:YEAR])
    share, median = [], []
    for place in range(YEAR - 1, len(days)):
        if place >= YEAR:
            del ordered[bisect_left(ordered, days[place - YEAR])]
            insort(ordered, days[place])
        share.append(bisect_right(ordered, days[place]) / YEAR)
        median.append((ordered[(YEAR - 1) // 2] + ordered[YEAR // 2]) / 2)
    return np.array(share), np.array(median)


def _deviation(returns: Floats) -> Floats:
    """The standard deviation of each DAYS values; NaN before there are so many."""
    found = np.full(len(returns), np.nan)
    if len(returns) >= DAYS:
        # copied into rows, so that each window is summed in the same order wherever it lies
        windows = np.ascontiguousarray(sliding_window_view(returns, DAYS))
        found[DAYS - 1 :] = np.std(windows, axis=1, ddof=1)
    return found
