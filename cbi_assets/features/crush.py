"""The soybean board crush and oil's share of the products' value, for the rows of soybean oil.

Formulas (CME's board crush, 44 lb of meal and 11 lb of oil from a bushel of 60 lb):
board_crush = 2.2 ZM + 11 ZL - ZS, oil_share = 11 ZL / (11 ZL + 2.2 ZM).
"""

from __future__ import annotations

from typing import Final

import polars as pl

from cbi_assets.tables.matrix_table import DAILY_ML_MATRIX

CRUSH_ROOT: Final = "ZL"
"""The root whose rows have a crush."""

CRUSH_LEGS: Final = ("ZL", "ZM", "ZS")
"""The roots whose closes it is computed from."""

CRUSH_COLUMNS: Final = DAILY_ML_MATRIX.field_names("crush")

MEAL: Final = 2.2
"""Cents of meal per bushel for each USD per short ton: 44 lb of 2,000, times 100 cents."""

OIL: Final = 11.0
"""Cents of oil per bushel for each cent per pound: 11 lb."""


def crush(closes: pl.DataFrame) -> pl.DataFrame:
    """Compute the crush on each trade date of CRUSH_ROOT.

    Parameters
    ----------
    closes : pl.DataFrame
        root, trade_date, close of the active contracts, one row per root and trade date, in any
        order: ZM in USD per short ton, ZL in cents per pound, ZS in cents per bushel. Other roots
        are ignored.

    Returns
    -------
    pl.DataFrame
        root, trade_date and CRUSH_COLUMNS for the rows of CRUSH_ROOT, in input order. `board_crush`
        in cents per bushel; `oil_share` is a fraction. Each is null if a leg of its formula has no
        close on that date, and `oil_share` also if the products' value is not positive.
    """
    rows = closes.filter(pl.col("root") == CRUSH_ROOT).select("root", "trade_date", ZL="close")
    for leg in CRUSH_LEGS:
        if leg != CRUSH_ROOT:
            other = closes.filter(pl.col("root") == leg).select(
                "trade_date", pl.col("close").alias(leg)
            )
            rows = rows.join(other, on="trade_date", how="left", maintain_order="left")
    oil, meal = OIL * pl.col("ZL"), MEAL * pl.col("ZM")
    products = meal + oil
    return rows.select(
        "root",
        "trade_date",
        (products - pl.col("ZS")).alias("board_crush"),
        pl.when(products > 0).then(oil / products).alias("oil_share"),
    )
