"""Features of a root and other markets: correlation, beta, spreads, each as known at the close.

Markets close at different times: HO's session ends hours after ZL's. A pair of returns, or a spread
of closes, is of one trade date, and counts from the moment at which the last of its sessions had
closed. So a row of ZL has HO's of the trade date before.
"""

from __future__ import annotations

import functools
import operator
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view

from cbi_assets.config.features import Feature

Floats = npt.NDArray[np.float64]

_PAIR: Final = ["trade_date", "prior_date"]


def correlation_and_beta(
    own: pl.DataFrame, leg: pl.DataFrame, features: list[Feature]
) -> pl.DataFrame:
    """Compute a root's correlation with a leg, and its beta.

    A pair is two returns over the same two trade dates. One that became known after a later one is
    left out.

    Parameters
    ----------
    own : pl.DataFrame
        trade_date, prior_date, log_return, known_at (UTC) of the root's rows: one per trade date.
    leg : pl.DataFrame
        The same of the leg.
    features : list of Feature
        Those with a PairMeasure and this leg.

    Returns
    -------
    pl.DataFrame
        trade_date and one Float64 column per feature, for the rows of `own`, in their order. Null
        before there are as many pairs as the window takes, if one of the two never moved in it, and
        if the newest known pair is more than `max_age_days` before the row.
    """
    pairs = own.join(leg, on=_PAIR, suffix="_leg").drop_nulls(["log_return", "log_return_leg"])
    pairs = _in_order(pairs.with_columns(_latest("known_at", "known_at_leg")))
    y, x = (pairs[name].to_numpy() for name in ("log_return", "log_return_leg"))
    computed = {
        window: _statistics(x, y, window)
        for window in sorted({f.window for f in features if f.window is not None})
    }
    values = {
        f.name: computed[f.window or 0][0 if f.measure == "correlation" else 1] for f in features
    }
    return _as_known(own, _with_values(pairs, values), features)


def spread(own: pl.DataFrame, closes: dict[str, pl.DataFrame], feature: Feature) -> pl.DataFrame:
    """Compute a spread or ratio of several roots' closes.

    Parameters
    ----------
    own : pl.DataFrame
        trade_date, known_at (UTC) of the rows that have the feature.
    closes : dict of str to pl.DataFrame
        trade_date, close (native units), known_at of each root in the feature's terms.
    feature : Feature
        One with a SpreadMeasure.

    Returns
    -------
    pl.DataFrame
        trade_date and the feature, for the rows of `own`, in their order. Null if no trade date of
        the last `max_age_days` has a close of every root by then.
    """
    joined: pl.DataFrame | None = None
    for root, _ in feature.terms:
        leg = closes[root].select(
            "trade_date",
            pl.col("close").alias(root),
            pl.col("known_at").alias(f"known_at_{root}"),
        )
        joined = leg if joined is None else joined.join(leg, on="trade_date")
    assert joined is not None
    terms = [weight * pl.col(root) for root, weight in feature.terms]
    if feature.measure == "ratio":
        value: pl.Expr = pl.when(pl.min_horizontal(terms) > 0).then(terms[0] / terms[1])
    else:
        value = functools.reduce(operator.add, terms) / feature.divisor
    known = _latest(*(f"known_at_{root}" for root, _ in feature.terms))
    dates = _in_order(joined.with_columns(known, value.alias(feature.name)))
    return _as_known(own, dates.select("trade_date", "known_at", feature.name), [feature])


def _latest(*columns: str) -> pl.Expr:
    return pl.max_horizontal(columns).alias("known_at")


def _in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Sort by when a row was known, without those that are of an earlier date than one before."""
    ordered = rows.sort("known_at", "trade_date")
    return ordered.filter(pl.col("trade_date") >= pl.col("trade_date").cum_max())


def _with_values(pairs: pl.DataFrame, values: dict[str, Floats]) -> pl.DataFrame:
    return pairs.select("trade_date", "known_at").with_columns(
        pl.Series(name, found, pl.Float64, nan_to_null=True) for name, found in values.items()
    )


def _as_known(own: pl.DataFrame, values: pl.DataFrame, features: list[Feature]) -> pl.DataFrame:
    """Return the newest values known at each row's close, unless they are too old."""
    rows = own.select("trade_date", "known_at").with_row_index("row").sort("known_at")
    found = rows.join_asof(
        values.rename({"trade_date": "value_date"}),
        on="known_at",
        strategy="backward",
        check_sortedness=False,
    ).sort("row")
    age = pl.col("trade_date") - pl.col("value_date")
    return found.select(
        "trade_date",
        *(
            pl.when(age <= pl.duration(days=f.max_age_days)).then(pl.col(f.name)).alias(f.name)
            for f in features
        ),
    )


def _statistics(x: Floats, y: Floats, window: int) -> tuple[Floats, Floats]:
    """Return correlation and slope of y on x over each `window` values, NaN before so many."""
    correlation, slope = np.full(len(x), np.nan), np.full(len(x), np.nan)
    if len(x) >= window:
        # copied into rows, so that each window is summed in the same order wherever it starts
        xs, ys = (np.ascontiguousarray(sliding_window_view(v, window)) for v in (x, y))
        dx, dy = (v - v.mean(axis=1, keepdims=True) for v in (xs, ys))
        xx, yy, xy = ((a * b).sum(axis=1) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
        nan = np.full(len(xx), np.nan)
        # a constant has deviations of a rounding error at most
        moves = np.ptp(xs, axis=1) > 0
        slope[window - 1 :] = np.divide(xy, xx, out=nan.copy(), where=moves)
        moves &= np.ptp(ys, axis=1) > 0
        share = np.divide(xy, np.sqrt(xx * yy), out=nan, where=moves)
        correlation[window - 1 :] = np.clip(share, -1, 1)
    return correlation, slope
