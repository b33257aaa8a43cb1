"""Which contract's bars stand for a root on a trade date, and its session's bar.

Every choice for a trade date uses only what was known at that session's close.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from cbi_assets.market.bars import Columns

VENDOR_RULES: Final = {"v": "vendor_v0", "n": "vendor_n0", "c": "vendor_c0"}
OUTRIGHT_RULE: Final = "most_traded_prior_trade_date"

SESSION_COLUMNS: Final[Columns] = {
    "root": pl.String,
    "trade_date": pl.Date,
    "symbol": pl.String,
    "contract_key": pl.String,
    "is_pure": pl.Boolean,
    "open": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "volume": pl.Int64,
    "vwap": pl.Float64,
    "realized_vol_1h": pl.Float64,
    "load_ids": pl.List(pl.String),
}


def session_bars(bars: pl.DataFrame, hourly: bool) -> pl.DataFrame:
    """Aggregate bars to one a symbol and trade date (SESSION_COLUMNS), sorted by both.

    `bars` has root, symbol, contract, instrument_id, trade_date, ts_event, open, high, low, close,
    volume, load_id. Prices in native units, volume in contracts. `contract_key` is the contract of
    the session's last bar (for a continuous symbol, its instrument id), and `is_pure` says that all
    of the session's bars are of it. vwap = sum((H+L+C)/3 V) / sum(V) and realized_vol_1h =
    sqrt(sum(r^2)) of the session's hourly log returns, the first from the session's open; both
    only where `hourly`, else null. A return over a price that is not positive has no logarithm:
    realized_vol_1h is null there.
    """
    key = pl.coalesce(
        "contract", pl.format("{}#{}", pl.col("symbol"), pl.col("instrument_id"))
    ).alias("contract_key")
    # not `/ 3`: Polars divides a column by a number another way than a single row, an ulp apart
    typical = pl.mean_horizontal("high", "low", "close")
    start = pl.col("close").shift(1).over("symbol", "trade_date", order_by="ts_event")
    ratio = pl.col("close") / pl.coalesce(start, "open")
    positive = (pl.col("close") > 0) & (pl.coalesce(start, "open") > 0)
    by_bar = bars.sort("symbol", "ts_event").with_columns(
        key,
        typical.alias("typical"),
        pl.when(positive).then(ratio.log().pow(2)).alias("squared_return"),
    )
    measured: dict[str, pl.Expr] = {
        "vwap": pl.when(pl.col("volume").sum() > 0).then(
            (pl.col("typical") * pl.col("volume")).sum() / pl.col("volume").sum()
        ),
        "realized_vol_1h": pl.when(pl.col("squared_return").null_count() == 0).then(
            pl.col("squared_return").sum().sqrt()
        ),
    }
    if not hourly:
        measured = {name: pl.lit(None, pl.Float64) for name in measured}
    return (
        by_bar.group_by("root", "symbol", "trade_date", maintain_order=True)
        .agg(
            pl.col("contract_key").last(),
            (pl.col("contract_key").n_unique() == 1).alias("is_pure"),
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
            pl.col("load_id").unique().sort().alias("load_ids"),
            **measured,
        )
        .select(pl.col(name).cast(dtype) for name, dtype in SESSION_COLUMNS.items())
        .sort("symbol", "trade_date")
    )


def choose_active(sessions: pl.DataFrame) -> pl.DataFrame:
    """One session a root and trade date: that of the active contract, with its `roll_rule`.

    `sessions` has SESSION_COLUMNS for outrights and continuous symbols of rank 0. The vendor's
    continuous symbol stands as it is, by volume (`v`) before open interest (`n`) before calendar
    (`c`). Without one, the outright that traded most on the root's prior trade date stands, among
    those that traded on this one; the first date, where nobody knows yet, has no row.
    """
    letter = pl.col("symbol").str.extract(r"\.([vnc])\.0$")
    named = sessions.with_columns(letter=letter)
    rank = {name: place for place, name in enumerate(VENDOR_RULES)}
    vendor = (
        named.filter(pl.col("letter").is_not_null())
        .with_columns(
            place=pl.col("letter").replace_strict(rank, return_dtype=pl.Int8),
            roll_rule=pl.col("letter").replace_strict(VENDOR_RULES, return_dtype=pl.String),
        )
        .sort("root", "trade_date", "place")
        .unique(["root", "trade_date"], keep="first", maintain_order=True)
    )
    outright = named.filter(
        pl.col("letter").is_null() & ~pl.col("contract_key").str.contains("#", literal=True)
    )
    dates = (
        outright.select("root", "trade_date")
        .unique()
        .sort("root", "trade_date")
        .with_columns(prior=pl.col("trade_date").shift(1).over("root"))
    )
    volumes = outright.select("root", "contract_key", prior="trade_date", prior_volume="volume")
    chosen = (
        outright.join(dates, on=["root", "trade_date"])
        .join(volumes, on=["root", "contract_key", "prior"], how="inner")
        .with_columns(
            roll_rule=pl.lit(OUTRIGHT_RULE),
            month=pl.col("contract_key").str.tail(4) + pl.col("contract_key").str.slice(-5, 1),
        )
        .sort(
            ["root", "trade_date", "prior_volume", "month"],
            descending=[False, False, True, False],
        )
        .unique(["root", "trade_date"], keep="first", maintain_order=True)
    )
    columns = [*SESSION_COLUMNS, "roll_rule"]
    return (
        pl.concat([vendor.select(columns), chosen.select(columns)])
        .unique(["root", "trade_date"], keep="first", maintain_order=True)
        .sort("root", "trade_date")
    )
