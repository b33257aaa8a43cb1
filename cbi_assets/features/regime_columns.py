"""Which of the user's regimes a trade date lies in."""

from __future__ import annotations

from typing import Final

import polars as pl

from cbi_assets.config.regimes import Regimes

REGIME_COLUMNS: Final = ("regime_name", "weight")


def name_regimes(rows: pl.DataFrame, regimes: Regimes) -> pl.DataFrame:
    """The regime of each trade date in `rows`: trade_date and REGIME_COLUMNS, one row a date.

    A date's regime is the first of `regimes.by_precedence()` that covers it, both its ends
    included. `weight` is the user's, without unit. Both are null where nothing covers the date, not
    even the baseline.
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
