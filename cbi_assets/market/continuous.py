"""The active session of each root and trade date, and the continuous series made of these sessions.

Every choice and every adjustment for a trade date uses only what was known at that session's close.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import polars as pl

from cbi_assets.market.bars import PRICES
from cbi_assets.market.session_bars import INTRADAY, contract_sessions
from cbi_assets.market.symbology import is_continuous

CHAIN_RULE: Final = "own_chain"
VENDOR_RULES: Final = {"v": "vendor_v0", "n": "vendor_n0", "c": "vendor_c0"}
"""Roll rule by the letter of Databento's continuous symbol, best first: `v` rolls by volume, `n` by
open interest, `c` by the calendar."""
YAHOO_RULE: Final = "yahoo"

YAHOO_ROOT: Final = "ZL"
YAHOO_BEFORE: Final = dt.date(2010, 6, 6)
"""First date without Yahoo rows: Databento's history starts on it."""

_KEY: Final = ["root", "trade_date"]


def choose_active(sessions: pl.DataFrame, front_months: pl.DataFrame) -> pl.DataFrame:
    """Choose one session per root and trade date, and state the rule that chose it.

    The first that exists wins:

    1. the front month's session of 1m or 1h bars (`own_chain`)
    2. the vendor's continuous symbol of rank 0, of 1m or 1h bars: `ROOT.v.0` (`vendor_v0`), then
       `.n.0`, then `.c.0`
    3. the front month's session of 1d bars
    4. the vendor's symbol of 1d bars

    Parameters
    ----------
    sessions : pl.DataFrame
        Columns as from `session_bars`, others allowed: outrights and continuous symbols. At most
        one session per symbol and trade date is of 1m or 1h bars, and at most one of 1d bars.
    front_months : pl.DataFrame
        FRONT_MONTH_COLUMNS of the root's chain.

    Returns
    -------
    pl.DataFrame
        The columns of `sessions`, and `roll_rule`; sorted by root and trade date. A date on which
        none of the above has a session has no row.
    """
    return (
        rank_candidates(sessions, front_months)
        .with_columns(is_daily=~pl.col("built_from").is_in(INTRADAY))
        .sort(*_KEY, "is_daily", "rank")
        .unique(_KEY, keep="first", maintain_order=True)
        .drop("is_daily", "rank")
    )


def rank_candidates(sessions: pl.DataFrame, front_months: pl.DataFrame) -> pl.DataFrame:
    """Return the sessions that may be active, with `roll_rule` and `rank`: 0 is preferred.

    Takes what `choose_active` takes: the front month's sessions (0), then those of the vendor's
    symbols of rank 0 by volume, open interest and calendar (1 to 3).
    """
    outrights = sessions.filter(~is_continuous())
    ours = outrights.join(front_months, on=[*_KEY, "contract"], how="semi").with_columns(
        roll_rule=pl.lit(CHAIN_RULE), rank=pl.lit(0, pl.Int8)
    )
    letter = pl.col("symbol").str.extract(r"\.([vnc])\.0$")
    ranks = {name: rank for rank, name in enumerate(VENDOR_RULES, start=1)}
    vendor = sessions.filter(letter.is_not_null()).with_columns(
        roll_rule=letter.replace_strict(VENDOR_RULES, return_dtype=pl.String),
        rank=letter.replace_strict(ranks, return_dtype=pl.Int8),
    )
    return pl.concat([ours, vendor])


def continuous_series(
    active: pl.DataFrame,
    sessions: pl.DataFrame,
    rolls: pl.DataFrame,
    yahoo: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Build the continuous daily series of each root: `none`, `difference` and `ratio`.

    `none` has every active row, unadjusted. `difference` and `ratio` have the front-month chain's
    rows only, adjusted by the rolls up to their own date and by no later one, so that a published
    row never changes. The first contract is unadjusted. A roll adds `from_close - to_close` to
    what is added to the prices, or multiplies their factor by `from_close / to_close`
    (`back_adj`); both closes are of the trade date before the roll. So the move on the roll date
    is the new contract's own.

    The two closes must be of sessions of the same kind: both of 1m or 1h bars, else both of 1d
    bars. A root has no adjusted row from a roll without such closes on, and no `ratio` row from the
    first price that is not positive on, in a row or in a roll.

    Parameters
    ----------
    active, sessions : pl.DataFrame
        What `choose_active` returned, and what it chose from. Prices in native units.
    rolls : pl.DataFrame
        `Chain.rolls` of the same roots.
    yahoo : pl.DataFrame, optional
        ZL's date, open, high, low, close (native units), volume. Its rows before 2010-06-06 come
        first in `ZL.none`.

    Returns
    -------
    pl.DataFrame
        The columns of market_data.databento_futures_continuous_1d, in any order; sorted by
        cont_id and date. Volume in contracts, never adjusted. `roll_flag` is whether the contract
        differs from the row before: false on a series' first row, and null if the two rows name
        their contracts in different ways (the chain, one of the vendor's symbols) or not at all
        (Yahoo).
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
    unadjusted = (
        plain.filter(pl.col("roll_rule") == CHAIN_RULE).drop("back_adj").sort("root", "date")
    )
    legs = _legs(unadjusted, sessions, rolls)
    series = {
        "none": plain if yahoo is None else pl.concat([_bridge(yahoo), plain], how="diagonal"),
        "difference": _by_difference(unadjusted, legs),
        "ratio": _by_ratio(unadjusted, legs),
    }
    return (
        pl.concat(
            (rows.with_columns(method=pl.lit(method)) for method, rows in series.items()),
            how="diagonal",
        )
        .with_columns(cont_id=pl.format("{}.{}", "root", "method"))
        .sort("cont_id", "date")
        .with_columns(roll_flag=_roll_flag())
    )


def _bridge(yahoo: pl.DataFrame) -> pl.DataFrame:
    return yahoo.filter(pl.col("date") < YAHOO_BEFORE).select(
        "date",
        pl.lit(YAHOO_ROOT).alias("root"),
        *(pl.col(name).cast(pl.Float64) for name in PRICES),
        pl.col("volume").cast(pl.Int64),
        pl.lit(YAHOO_RULE).alias("roll_rule"),
        pl.lit("1d").alias("built_from"),
        pl.lit("yahoo").alias("source"),
        pl.lit("settlement").alias("close_kind"),
    )


def _legs(unadjusted: pl.DataFrame, sessions: pl.DataFrame, rolls: pl.DataFrame) -> pl.DataFrame:
    """Return each roll after a root's first row: root, date, from_close, to_close."""
    is_intraday = pl.col("built_from").is_in(INTRADAY)
    decided = rolls.select("root", trade_date="decided_on")
    closes = (
        contract_sessions(sessions.join(decided, on=_KEY, how="semi"))
        .group_by("root", pl.col("trade_date").alias("decided_on"), "contract")
        # at most one session of each contract and kind
        .agg(
            pl.col("close").filter(is_intraday).max().alias("intraday"),
            pl.col("close").filter(~is_intraday).max().alias("daily"),
        )
    )
    first = unadjusted.group_by("root").agg(pl.col("date").min().alias("first"))
    found = (
        rolls.select("root", "decided_on", "from_contract", "to_contract", date="roll_date")
        .join(first, on="root")
        .filter(pl.col("date") > pl.col("first"))
    )
    for leg in ("from", "to"):
        found = found.join(
            closes.rename(
                {
                    "contract": f"{leg}_contract",
                    "intraday": f"{leg}_intraday",
                    "daily": f"{leg}_daily",
                }
            ),
            on=["root", "decided_on", f"{leg}_contract"],
            how="left",
        )
    both_intraday = pl.col("from_intraday").is_not_null() & pl.col("to_intraday").is_not_null()
    return found.select(
        "root",
        "date",
        *(
            pl.when(both_intraday)
            .then(f"{leg}_intraday")
            .otherwise(f"{leg}_daily")
            .alias(f"{leg}_close")
            for leg in ("from", "to")
        ),
    ).sort("root", "date")


def _by_difference(unadjusted: pl.DataFrame, legs: pl.DataFrame) -> pl.DataFrame:
    steps = legs.with_columns(step=pl.col("from_close") - pl.col("to_close"))
    return (
        _adjustments(unadjusted, steps, pl.col("step").cum_sum(), 0.0)
        .filter(~pl.col("is_broken"))
        .drop("is_broken")
        .with_columns(pl.col(name) + pl.col("back_adj") for name in PRICES)
    )


def _by_ratio(unadjusted: pl.DataFrame, legs: pl.DataFrame) -> pl.DataFrame:
    is_positive = (pl.col("from_close") > 0) & (pl.col("to_close") > 0)
    steps = legs.with_columns(
        step=pl.when(is_positive).then(pl.col("from_close") / pl.col("to_close"))
    )
    has_been_nonpositive = (
        (pl.min_horizontal(*PRICES) <= 0).fill_null(False).cum_sum().over("root", order_by="date")
    ) > 0
    return (
        _adjustments(unadjusted, steps, pl.col("step").cum_prod(), 1.0)
        .filter(~pl.col("is_broken") & ~has_been_nonpositive)
        .drop("is_broken")
        .with_columns(pl.col(name) * pl.col("back_adj") for name in PRICES)
    )


def _adjustments(
    unadjusted: pl.DataFrame, steps: pl.DataFrame, accumulated: pl.Expr, start: float
) -> pl.DataFrame:
    """Add `back_adj`, accumulated over the rolls up to each date, and `is_broken`: a step of them
    is unknown."""
    adjustments = steps.select(
        "root",
        "date",
        accumulated.over("root", order_by="date").alias("back_adj"),
        (pl.col("step").is_null().cum_sum().over("root", order_by="date") > 0).alias("is_broken"),
    )
    return unadjusted.join_asof(
        adjustments, on="date", by="root", strategy="backward", check_sortedness=False
    ).with_columns(
        # Null before the first roll, and in a broken row, which is dropped.
        pl.col("back_adj").fill_null(start),
        pl.col("is_broken").fill_null(False),
    )


def _roll_flag() -> pl.Expr:
    """Whether the contract differs from the row before, of rows sorted by cont_id and date."""
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
