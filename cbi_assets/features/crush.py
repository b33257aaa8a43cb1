"""The soybean board crush and oil's share of it, on the rows of soybean oil.

Formulas (CME's board crush, 44 lb of meal and 11 lb of oil from a bushel of 60 lb):
board_crush = 2.2 ZM + 11 ZL - ZS, oil_share = 11 ZL / (11 ZL + 2.2 ZM).
"""

from __future__ import annotations

from typing import Final

import polars as pl

from cbi_assets.tables.matrix_table import DAILY_ML_MATRIX

CRUSH_ROOT: Final = "ZL"
"""The root whose rows carry the crush."""

CRUSH_LEGS: Final = ("ZL", "ZM", "ZS")
"""The roots that it is made of."""

CRUSH_COLUMNS: Final = DAILY_ML_MATRIX.field_names("crush")

MEAL: Final = 2.2
"""A bushel's meal in cents for each dollar a short ton: 44 lb of 2,000, times 100 cents."""

OIL: Final = 11.0
"""A bushel's oil in cents for each cent a pound: 11 lb."""


def crush(closes: pl.DataFrame) -> pl.DataFrame:
    """The crush on each trade date of CRUSH_ROOT.

    `closes` has root, trade_date and close, one row a root and trade date: the active contracts'
    closes, ZM in $/short ton, ZL in ¢/lb, ZS in ¢/bu; other roots do no harm. Gives root,
    trade_date and CRUSH_COLUMNS for the rows of CRUSH_ROOT: `board_crush` in ¢/bu, `oil_share` a
    fraction of the products' value. Each is null where a leg of its formula has no close on that
    very date, and `oil_share` also where the products are worth nothing or less.
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
