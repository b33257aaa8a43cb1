"""Compute targets again, row by row, from closes and the roll ledger."""

from __future__ import annotations

import datetime as dt
from typing import Final

import polars as pl

from cbi_assets.features.targets import UTC_DAY
from cbi_assets.market.continuous import CHAIN_RULE

Closes = dict[tuple[str, str, dt.date], float]
"""A close by its kind (of a session or a UTC day), contract and trade date."""

Rolls = list[tuple[dt.date, dt.date, str, str]]
"""Roll date, date of the decision, and the contracts rolled from and to."""

_TOLERANCE: Final = 1e-9


def same(left: pl.Expr, right: pl.Expr) -> pl.Expr:
    """Return whether two numbers are equal within a billionth, or both missing."""
    close = (left - right).abs() <= _TOLERANCE
    return close.fill_null(False) | (left.is_null() & right.is_null())


def rolled_by_ledger(rows: pl.DataFrame, matrix: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with a target whose window has no roll, or rolls of our own chain only.

    The ledger does not have the rolls of a vendor's symbol, which has other dates. A window
    may end in a month that is not among `rows`, but it is in the `matrix`.
    """
    others = matrix.select(
        "data_date",
        others=(pl.col("source_roll_rule") != CHAIN_RULE).fill_null(True).cum_sum(),
    )
    ends = others.rename({"data_date": "target_date", "others": "others_by_end"})
    in_window = rows.join(others, on="data_date").join(ends, on="target_date", how="left")
    is_chain = (pl.col("source_roll_rule") == CHAIN_RULE) & (
        pl.col("others") == pl.col("others_by_end")
    )
    is_known = pl.col("target").is_not_null()
    no_roll, is_day = pl.col("rolls_between") == 0, pl.col("target_closes") == UTC_DAY
    return in_window.filter(is_known & (no_roll | is_day | is_chain)).select(rows.columns)


def recompute(row: dict[str, object], closes: Closes, rolls: Rolls) -> float | None:
    """Return a row's target by the ledger's rolls; None if a close or a roll is missing."""
    start, end, kind = row["data_date"], row["target_date"], row["target_closes"]
    contract, last = row["entry_contract"], row["exit_contract"]
    ratio, count = 1.0, 0
    if contract != last:
        for roll_date, decided_on, from_contract, to_contract in rolls:
            if not start < roll_date <= end:  # type: ignore[operator]
                continue
            legs = (closes.get((kind, name, decided_on)) for name in (from_contract, to_contract))  # type: ignore[arg-type]
            from_close, to_close = legs
            if from_contract != contract or not from_close or not to_close:
                return None
            ratio, count, contract = ratio * from_close / to_close, count + 1, to_contract
    entry = closes.get((kind, row["entry_contract"], start))  # type: ignore[arg-type]
    exit_close = closes.get((kind, last, end))  # type: ignore[arg-type]
    if contract != last or count != row["rolls_between"] or not entry or exit_close is None:
        return None
    return exit_close / entry * ratio - 1


def inconsistent_bars(rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Return rows of bars whose target is not the move to the close of the bar named by it."""
    later = rows.select(
        pl.col("bar_end").alias("target_known_at"),
        pl.col("close").alias("later_close"),
        pl.col("trade_date").alias("later_date"),
        pl.col("entry_contract").alias("later_contract"),
    )
    joined = known.join(later, on="target_known_at", how="left", maintain_order="left")
    is_one_contract = pl.col("later_contract") == pl.col("entry_contract")
    is_one_session = pl.col("later_date") == pl.col("trade_date")
    return joined.with_columns(
        recomputed=pl.when(is_one_contract & is_one_session).then(
            pl.col("later_close") / pl.col("close") - 1
        )
    ).filter(~same(pl.col("target"), pl.col("recomputed")))
