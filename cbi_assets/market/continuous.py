"""The active session of each root and trade date, and the continuous series made of these sessions.

Every choice and every adjustment for a trade date uses only what was known at that session's close.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import polars as pl

from cbi_assets.market.bars import PRICES
from cbi_assets.market.roll_steps import adjust, is_contract
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

    `none` has every active row, unadjusted. `difference` and `ratio` have the rows whose contract
    is known, adjusted by the rolls up to their own date and by no later one, so that a published
    row never changes. The first contract is unadjusted. A roll adds `from_close - to_close` to
    what is added to the prices, or multiplies their factor by `from_close / to_close`
    (`back_adj`); both closes are of one trade date before the roll. So the move on the roll date
    is the new contract's own. `market/roll_steps.py` says which closes these are.

    A row has no adjusted row while the step to its contract is unknown, and no `ratio` row from
    the first price that is not positive on. If its session has bars of two contracts, those of the
    new one alone count; without such a session only the close is known.

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
        differs from the row before: false on a series' first row, and null if one of the two is
        not known by its name (the vendor's symbols of different letters, Yahoo).
    """
    plain = _as_series(active)
    known = _as_series(_of_one_contract(active, sessions)).sort("root", "date")
    series = {
        "none": plain if yahoo is None else pl.concat([_bridge(yahoo), plain], how="diagonal"),
        "difference": _by_difference(known, sessions, rolls),
        "ratio": _by_ratio(known, sessions, rolls),
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


def _as_series(active: pl.DataFrame) -> pl.DataFrame:
    """Return active rows with the columns of the `none` series."""
    return active.select(
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


def _of_one_contract(active: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """Return the active rows of known contracts, without bars of any other contract.

    A row of two contracts becomes the session of its own one, whatever symbol has it. If none has,
    its close stays, which is of its contract.
    """
    named = active.filter(is_contract(pl.col("contract_key")))
    mixed = named.filter(~pl.col("is_pure"))
    if mixed.is_empty():
        return named
    values = [*PRICES, "volume"]
    own = (
        contract_sessions(sessions.filter("is_pure").join(mixed.select(_KEY), on=_KEY, how="semi"))
        .with_columns(pl.col("built_from").is_in(INTRADAY).alias("is_intraday"))
        .select(
            *_KEY, "contract_key", "is_intraday", *(pl.col(n).alias(f"own_{n}") for n in values)
        )
    )
    close = pl.coalesce("own_close", "close").alias("close")
    replaced = (
        mixed.with_columns(is_intraday=pl.col("built_from").is_in(INTRADAY))
        .join(own, on=[*_KEY, "contract_key", "is_intraday"], how="left")
        .with_columns(close, *(pl.col(f"own_{n}").alias(n) for n in values if n != "close"))
    )
    return pl.concat([named.filter("is_pure"), replaced.select(named.columns)])


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


def _by_difference(
    known: pl.DataFrame, sessions: pl.DataFrame, rolls: pl.DataFrame
) -> pl.DataFrame:
    return adjust(known, sessions, rolls, "difference").with_columns(
        pl.col(name) + pl.col("back_adj") for name in PRICES
    )


def _by_ratio(known: pl.DataFrame, sessions: pl.DataFrame, rolls: pl.DataFrame) -> pl.DataFrame:
    has_been_nonpositive = (
        (pl.min_horizontal(*PRICES) <= 0).fill_null(False).cum_sum().over("root", order_by="date")
    ) > 0
    return adjust(known.filter(~has_been_nonpositive), sessions, rolls, "ratio").with_columns(
        pl.col(name) * pl.col("back_adj") for name in PRICES
    )


def _roll_flag() -> pl.Expr:
    """Whether the contract differs from the row before, of rows sorted by cont_id and date."""
    rule, contract = pl.col("roll_rule"), pl.col("active_contract")
    rule_before, contract_before = (e.shift(1).over("cont_id") for e in (rule, contract))
    is_comparable = (rule_before == rule) | (is_contract(contract) & is_contract(contract_before))
    return (
        pl.when(contract.is_null())
        .then(None)
        .when(rule_before.is_null())
        .then(False)
        .when(is_comparable)
        .then(contract != contract_before)
    )
