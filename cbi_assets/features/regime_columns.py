"""The user's market regime of each trade date."""

from __future__ import annotations

import polars as pl

from cbi_assets.config.regimes import Regimes


def name_regimes(rows: pl.DataFrame, regimes: Regimes) -> pl.DataFrame:
    """Return the regime of each trade date in `rows`.

    If several regimes cover a date, the first of `regimes.by_precedence()` wins.

    Parameters
    ----------
    rows : pl.DataFrame
        trade_date, in any order, with repeats.
    regimes : Regimes
        The user's regimes.

    Returns
    -------
    pl.DataFrame
        trade_date, regime_name and weight (the user's, without unit), one row per date, sorted.
        Both are null if no regime covers the date, not even the baseline.
    """
    covering = [
        pl.when(pl.col("trade_date").is_between(regime.start_date, regime.end_date)).then(
            pl.struct(
                pl.lit(regime.name).alias("regime_name"),
                pl.lit(regime.weight, pl.Float64).alias("weight"),
            )
        )
        for regime in regimes.by_precedence()
    ]
    return (
        rows.select(pl.col("trade_date").unique().sort())
        .with_columns(pl.coalesce(covering).alias("regime"))
        .unnest("regime")
    )
