"""Which session stands for a root on a trade date, and the continuous series made of these.

Every choice and every adjustment for a trade date uses only what was known at that session's close.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import polars as pl

from cbi_assets.market.bars import PRICES, Columns
from cbi_assets.market.session_bars import FINE

OWN_RULE: Final = "own_chain"
VENDOR_RULES: Final = {"v": "vendor_v0", "n": "vendor_n0", "c": "vendor_c0"}
YAHOO_RULE: Final = "yahoo"

YAHOO_ROOT: Final = "ZL"
YAHOO_BEFORE: Final = dt.date(2010, 6, 6)
"""The first date that Yahoo's bridge may not give: Databento's history starts on it."""

CONTINUOUS_COLUMNS: Final[Columns] = {
    "date": pl.Date,
    "root": pl.String,
    "cont_id": pl.String,
    "open": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "volume": pl.Int64,
    "active_contract": pl.String,
    "roll_flag": pl.Boolean,
    "back_adj": pl.Float64,
    "method": pl.String,
    "source": pl.String,
    "close_kind": pl.String,
    "roll_rule": pl.String,
    "built_from": pl.String,
}

_KEY: Final = ["root", "trade_date"]


def choose_active(sessions: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """One session a root and trade date, with its `roll_rule`, sorted by both.

    `sessions` has at least SESSION_COLUMNS, for outrights and the vendor's continuous symbols; of a
    symbol and trade date at most one built from 1m or 1h bars and one from 1d bars. `held` is the
    own chain's (HELD_COLUMNS). The columns of `sessions` come out, and `roll_rule`.

    The first of these that there is stands: the held contract's session of 1m or 1h bars; the
    vendor's continuous symbol of rank 0, by volume (`v`) before open interest (`n`) before calendar
    (`c`), of 1m or 1h bars; then the same two of 1d bars. A date on which none of them has a
    session has no row.
    """
    own = sessions.join(held, on=[*_KEY, "contract"], how="semi").with_columns(
        roll_rule=pl.lit(OWN_RULE), place=pl.lit(0, pl.Int8)
    )
    letter = pl.col("symbol").str.extract(r"\.([vnc])\.0$")
    places = {name: place for place, name in enumerate(VENDOR_RULES, start=1)}
    vendor = sessions.filter(letter.is_not_null()).with_columns(
        roll_rule=letter.replace_strict(VENDOR_RULES, return_dtype=pl.String),
        place=letter.replace_strict(places, return_dtype=pl.Int8),
    )
    return (
        pl.concat([own, vendor])
        .with_columns(is_coarse=~pl.col("built_from").is_in(FINE))
        .sort(*_KEY, "is_coarse", "place")
        .unique(_KEY, keep="first", maintain_order=True)
        .drop("is_coarse", "place")
    )


def continuous_series(
    active: pl.DataFrame,
    sessions: pl.DataFrame,
    rolls: pl.DataFrame,
    yahoo: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """The continuous daily series (CONTINUOUS_COLUMNS), sorted by series and date.

    `active` is `choose_active`'s frame, `sessions` what it chose from, `rolls` the own chain's
    (ROLL_COLUMNS). `yahoo` has date, open, high, low, close, volume of ZL, scaled as it is to be
    shown; its rows before 2010-06-06 stand before ZL's. Prices in native units, volume in
    contracts, never adjusted.

    `none`: every active row as it is. `difference` and `ratio`: the rows of the own chain alone,
    adjusted by the rolls up to their own date and by no later one, so that no row ever changes.
    The first contract stays as it traded; a roll adds `from close - to close` to what is added to
    the prices, or multiplies their factor by `from close / to close` (`back_adj`), both closes of
    the trade date before the roll. So the move on the roll's date is the new contract's own.

    The two closes must be of like sessions: both of 1m or 1h bars, else both of 1d bars. From a
    roll without such closes on, a root has no adjusted row. It has none of `ratio` either from the
    first price on that is not positive, in a row or in a roll.

    `roll_flag` says whether the contract is another one than on the row before: false on a series'
    first row, and null where that is not known, because the rows name their contracts in different
    ways (the chain, one of the vendor's symbols) or not at all (Yahoo).
    """
    plain = active.select(
        pl.col("trade_date").alias("date"),
        "root",
        *PRICES,
        "volume",
        pl.col("contract_key").alias("active_contract"),
        "roll_rule",
        "built_from",
        pl.lit(None, pl.Float64).alias("back_adj"),
        pl.lit("databento").alias("source"),
        pl.lit("last_trade").alias("close_kind"),
    )
    own = plain.filter(pl.col("roll_rule") == OWN_RULE).drop("back_adj").sort("root", "date")
    legs = _legs(own, sessions, rolls)
    parts = {
        "none": [plain] if yahoo is None else [_bridge(yahoo), plain],
        "difference": [_by_difference(own, legs)],
        "ratio": [_by_ratio(own, legs)],
    }
    named = [
        part.with_columns(method=pl.lit(method)) for method, few in parts.items() for part in few
    ]
    return (
        pl.concat(named, how="diagonal")
        .with_columns(cont_id=pl.format("{}.{}", "root", "method"))
        .sort("cont_id", "date")
        .with_columns(roll_flag=_is_another())
        .select(pl.col(name).cast(dtype) for name, dtype in CONTINUOUS_COLUMNS.items())
    )


def _bridge(yahoo: pl.DataFrame) -> pl.DataFrame:
    return yahoo.filter(pl.col("date") < YAHOO_BEFORE).select(
        "date",
        pl.lit(YAHOO_ROOT).alias("root"),
        *(pl.col(name).cast(pl.Float64) for name in PRICES),
        pl.col("volume").cast(pl.Int64),
        pl.lit(None, pl.String).alias("active_contract"),
        pl.lit(YAHOO_RULE).alias("roll_rule"),
        pl.lit("1d").alias("built_from"),
        pl.lit(None, pl.Float64).alias("back_adj"),
        pl.lit("yahoo").alias("source"),
        pl.lit("settlement").alias("close_kind"),
    )


def _legs(own: pl.DataFrame, sessions: pl.DataFrame, rolls: pl.DataFrame) -> pl.DataFrame:
    """Each roll after a root's first own row: root, date, from_close, to_close (like sessions')."""
    is_fine = pl.col("built_from").is_in(FINE)
    decided = rolls.select("root", trade_date="decided_on")
    closes = sessions.join(decided, on=_KEY, how="semi").select(
        "root",
        pl.col("trade_date").alias("decided_on"),
        "contract",
        pl.when(is_fine).then("close").alias("fine"),
        pl.when(~is_fine).then("close").alias("coarse"),
    )
    # at most one of each kind
    closes = closes.group_by("root", "decided_on", "contract").agg(pl.col("fine", "coarse").max())
    first = own.group_by("root").agg(pl.col("date").min().alias("first"))
    found = (
        rolls.select("root", "decided_on", "from_contract", "to_contract", date="roll_date")
        .join(first, on="root")
        .filter(pl.col("date") > pl.col("first"))
    )
    for leg in ("from", "to"):
        found = found.join(
            closes.rename(
                {"contract": f"{leg}_contract", "fine": f"{leg}_fine", "coarse": f"{leg}_coarse"}
            ),
            on=["root", "decided_on", f"{leg}_contract"],
            how="left",
        )
    are_fine = pl.col("from_fine").is_not_null() & pl.col("to_fine").is_not_null()
    return found.select(
        "root",
        "date",
        *(
            pl.when(are_fine).then(f"{leg}_fine").otherwise(f"{leg}_coarse").alias(f"{leg}_close")
            for leg in ("from", "to")
        ),
    ).sort("root", "date")


def _by_difference(own: pl.DataFrame, legs: pl.DataFrame) -> pl.DataFrame:
    gap = pl.col("from_close") - pl.col("to_close")
    return (
        _in_force(own, legs.with_columns(step=gap), pl.col("step").cum_sum(), 0.0)
        .filter(~pl.col("is_broken"))
        .drop("is_broken")
        .with_columns(pl.col(name) + pl.col("back_adj") for name in PRICES)
    )


def _by_ratio(own: pl.DataFrame, legs: pl.DataFrame) -> pl.DataFrame:
    is_positive = (pl.col("from_close") > 0) & (pl.col("to_close") > 0)
    steps = legs.with_columns(
        step=pl.when(is_positive).then(pl.col("from_close") / pl.col("to_close"))
    )
    fell_below = (
        (pl.min_horizontal(*PRICES) <= 0).fill_null(False).cum_sum().over("root", order_by="date")
    ) > 0
    return (
        _in_force(own, steps, pl.col("step").cum_prod(), 1.0)
        .filter(~pl.col("is_broken") & ~fell_below)
        .drop("is_broken")
        .with_columns(pl.col(name) * pl.col("back_adj") for name in PRICES)
    )


def _in_force(
    own: pl.DataFrame, steps: pl.DataFrame, accumulated: pl.Expr, start: float
) -> pl.DataFrame:
    """The own rows with `back_adj`, accumulated over the rolls up to each date, and `is_broken`."""
    adjustments = steps.select(
        "root",
        "date",
        accumulated.over("root", order_by="date").alias("back_adj"),
        (pl.col("step").is_null().cum_sum().over("root", order_by="date") > 0).alias("is_broken"),
    )
    return own.join_asof(
        adjustments, on="date", by="root", strategy="backward", check_sortedness=False
    ).with_columns(
        # only before the first roll is there nothing to join
        pl.col("back_adj").fill_null(start),
        pl.col("is_broken").fill_null(False),
    )


def _is_another() -> pl.Expr:
    """Whether the contract is another than on the row before, of rows sorted by series and date."""
    rule, contract = pl.col("roll_rule"), pl.col("active_contract")
    rule_before, contract_before = (e.shift(1).over("cont_id") for e in (rule, contract))
    return (
        pl.when(contract.is_null())
        .then(None)
        .when(rule_before.is_null())
        .then(False)
        .when(rule_before == rule)
        .then(contract != contract_before)
    )
