"""20-day volatility of the active contract, and its rank among the last 252 values.

Every window is computed from its own values only. Polars' rolling sums depend in their last bits on
what came before the window, so that the same 20 days would have another value in a history that
starts elsewhere.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view

from cbi_assets.market.session_bars import contract_sessions

DAYS: Final = 20
"""Daily returns in vol20."""

YEAR: Final = 252
"""Values of vol20 that today's is compared with, its own included."""

K_RANGE: Final = (0.5, 3.0)
"""Bounds that k_vol is clipped to."""

VOLATILITY_COLUMNS: Final = ("vol20", "vol_percentile", "k_vol")

Floats = npt.NDArray[np.float64]


def log_returns(
    active: pl.DataFrame, sessions: pl.DataFrame, calendar: pl.DataFrame
) -> pl.DataFrame:
    """Compute close / prior close of each active session, and its logarithm.

    Both closes are the active contract's own, the prior one from its session on the root's prior
    trade date, whatever symbol has it.

    Parameters
    ----------
    active : pl.DataFrame
        root, trade_date, symbol, contract_key, close: one row per root and trade date.
    sessions : pl.DataFrame
        root, trade_date, symbol, contract_key, close: the sessions that `active` was chosen from.
    calendar : pl.DataFrame
        root, trade_date: the trade dates of each root.

    Returns
    -------
    pl.DataFrame
        root, trade_date, prior_date (the prior trade date), growth (close / prior close) and
        log_return, in the order of `active`. The latter two are null if no symbol has a close of
        the contract on the prior trade date (a roll inside a continuous symbol whose contract is
        unknown or has no bars of its own, a gap), or if either close is not positive.
    """
    dates = calendar.sort("root", "trade_date").with_columns(
        prior=pl.col("trade_date").shift(1).over("root")
    )
    keys = ["root", "contract_key"]
    # A session of two contracts is usable: its close is that of its contract_key.
    own = contract_sessions(sessions).select(*keys, prior="trade_date", prior_close="close")
    positive = (pl.col("close") > 0) & (pl.col("prior_close") > 0)
    return (
        active.select(*keys, "trade_date", "close")
        .join(dates, on=["root", "trade_date"], how="left", maintain_order="left")
        .join(own, on=[*keys, "prior"], how="left", maintain_order="left")
        .select(
            "root",
            "trade_date",
            prior_date="prior",
            growth=pl.when(positive).then(pl.col("close") / pl.col("prior_close")),
        )
        .with_columns(log_return=pl.col("growth").log())
    )


def volatility(returns: pl.DataFrame) -> pl.DataFrame:
    """Compute the volatility of each row of `returns`, and its rank.

    Windows are of values that exist, today's included: a date without a return is left out and does
    not restart the count.

    Parameters
    ----------
    returns : pl.DataFrame
        root, trade_date, log_return: one row per root and trade date, in any order.

    Returns
    -------
    pl.DataFrame
        root, trade_date and VOLATILITY_COLUMNS, sorted by root and trade date. `vol20` is the
        standard deviation (n - 1) of the root's last 20 log returns, not annualised; null if today
        has none, and before 20. `vol_percentile` is the share, above 0 and up to 1, of the last 252
        values of vol20 that are at most today's; `k_vol` is today's over their median, clipped to
        [0.5, 3], and null if the median is 0. Both are null if vol20 is, and before 252 values.
    """
    by_root = returns.sort("root", "trade_date").partition_by("root", maintain_order=True)
    return pl.concat([_of_root(rows) for rows in by_root])


def _of_root(rows: pl.DataFrame) -> pl.DataFrame:
    returns = rows["log_return"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    exist = np.flatnonzero(~np.isnan(returns))
    vol20 = np.full(len(returns), np.nan)
    vol20[exist] = _deviation(returns[exist])
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
    """Return, of each YEAR values, the share that is at most the last of them, and their median."""
    days: list[float] = values.tolist()
    # Updating the sorted window from day to day takes a tenth of the time of sorting each one.
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
    """Return the standard deviation of each DAYS values; NaN before there are so many."""
    found = np.full(len(returns), np.nan)
    if len(returns) >= DAYS:
        # Copied into rows, so that each window is summed in the same order wherever it starts.
        windows = np.ascontiguousarray(sliding_window_view(returns, DAYS))
        found[DAYS - 1 :] = np.std(windows, axis=1, ddof=1)
    return found
