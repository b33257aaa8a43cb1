"""Parse Databento symbols: kind, root and, for an outright, contract month.

Month codes and one-digit years follow CME Globex; the continuous notation (`ZL.v.0`) is
Databento's symbology documentation.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import polars as pl

MONTH_CODES = "FGHJKMNQUVXZ"
"""Contract month codes, January to December."""

Kind = Literal["outright", "spread", "continuous", "other"]

_OUTRIGHT = re.compile(rf"^([A-Z0-9]+?)([{MONTH_CODES}])(\d{{1,2}})$")
_SLASHED = re.compile(rf"^([A-Z0-9]+)/([{MONTH_CODES}])(\d{{1,2}})(?=$|:)")
_CONTINUOUS = re.compile(r"^([A-Z0-9]+)\.[vnc]\.\d+$")
_USER_DEFINED = re.compile(r"^UD:([A-Z0-9]+):")
_LEADING_ROOT = re.compile(r"^[A-Z0-9]+")


@dataclass(frozen=True)
class Symbol:
    """A parsed symbol. `month` (1-12) and `year_digits` (as written) are None unless outright."""

    kind: Kind
    root: str
    month: int | None = None
    year_digits: str | None = None


@lru_cache(maxsize=65_536)
def parse_symbol(symbol: str) -> Symbol:
    """Parse one of the vendor's symbols.

    Outrights look like `ESZ5` or `CLZ30`; spreads like `CLM5-CLU6`, `RB:HO G6-H6`,
    `CL:BF Z4-M5-Z5` or, user-defined, `UD:CL: GN 2540925`; continuous contracts like `ZL.v.0`.
    Cboe's outrights look like `VX/M6`, its spreads like `VX/N6:1:S - VX/Q6:1:B`. A spread's root is
    that of its first leg. Anything else, such as the parent `ZL.FUT`, is `other`.
    """
    if match := _CONTINUOUS.match(symbol):
        return Symbol("continuous", match[1])
    if match := _SLASHED.match(symbol):
        if match.end() < len(symbol):
            return Symbol("spread", match[1])
        return Symbol("outright", match[1], MONTH_CODES.index(match[2]) + 1, match[3])
    if match := _OUTRIGHT.match(symbol):
        return Symbol("outright", match[1], MONTH_CODES.index(match[2]) + 1, match[3])
    if match := _USER_DEFINED.match(symbol):
        return Symbol("spread", match[1])
    first_leg = symbol.partition("-")[0]
    if first_leg != symbol and (match := _OUTRIGHT.match(first_leg)):
        return Symbol("spread", match[1])
    leading = _LEADING_ROOT.match(symbol)
    root = leading[0] if leading else symbol
    return Symbol("spread" if ":" in symbol or "-" in symbol else "other", root)


def contract_year(digits: str, month: int, on: dt.date, months_after: int = 0) -> int:
    """Return the four-digit year of an outright seen in a bar of the UTC date `on`.

    Two `digits` are a year of this century. One digit is the first matching year in which the
    contract (`month`, 1 to 12) may still trade in the bar's month: in its contract month, or so
    many `months_after` it.
    """
    if len(digits) == 2:
        return 2000 + int(digits)
    earliest = on.year * 12 + on.month - 1 - months_after
    first_year = earliest // 12
    year = first_year + (int(digits) - first_year) % 10
    return year + 10 if year * 12 + month - 1 < earliest else year


def contract_name(symbol: str, on: dt.date, months_after: Mapping[str, int]) -> str | None:
    """Return the contract with a four-digit year (`ZLZ2025`) that `symbol` means on a UTC date.

    `months_after` has the roots whose contracts trade past their contract month, and for how many
    months. None if the symbol is not an outright.
    """
    parsed = parse_symbol(symbol)
    if parsed.month is None or parsed.year_digits is None:
        return None
    year = contract_year(parsed.year_digits, parsed.month, on, months_after.get(parsed.root, 0))
    return f"{parsed.root}{MONTH_CODES[parsed.month - 1]}{year}"


def is_continuous() -> pl.Expr:
    """Return whether `symbol` is a continuous one, for frames without its kind."""
    return pl.col("symbol").str.contains(r"\.[vnc]\.\d+$")


def describe_symbols(symbols: Iterable[str]) -> pl.DataFrame:
    """Parse symbols into a frame, one row each, in the order given.

    Columns: symbol, root, kind, and for outrights month (1 to 12) and year_digits, else null.
    """
    rows = [(s, p.root, p.kind, p.month, p.year_digits) for s in symbols for p in [parse_symbol(s)]]
    schema = {
        "symbol": pl.String,
        "root": pl.String,
        "kind": pl.String,
        "month": pl.Int16,
        "year_digits": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def name_contracts(on: pl.Expr, months_after: Mapping[str, int]) -> pl.Expr:
    """Return `contract_name` as an expression, named `contract`.

    For frames with the columns of `describe_symbols`. `on` is a UTC date (`pl.Date`); the result is
    null for rows that are not outrights.
    """
    year, month = on.dt.year().cast(pl.Int32), on.dt.month().cast(pl.Int32)
    if months_after:
        after = pl.col("root").replace_strict(months_after, default=0, return_dtype=pl.Int32)
        earliest = year * 12 + month - 1 - after
        year, month = earliest // 12, earliest % 12 + 1
    digits = pl.col("year_digits").cast(pl.Int32)
    one_digit = year + (digits - year) % 10
    passed = (one_digit == year) & (pl.col("month") < month)
    full = (
        pl.when(pl.col("year_digits").str.len_bytes() == 2)
        .then(2000 + digits)
        .otherwise(one_digit + 10 * passed.cast(pl.Int32))
    )
    code = pl.col("month").replace_strict(
        {i + 1: code for i, code in enumerate(MONTH_CODES)}, default=None, return_dtype=pl.String
    )
    return pl.concat_str(pl.col("root"), code, full.cast(pl.String)).alias("contract")
