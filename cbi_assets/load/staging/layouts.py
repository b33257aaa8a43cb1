"""Detect a staging file's layout from its columns, and turn its rows into observations.

An observation is one value of one row: row_no (from 1), item (the series' name in the file), source
(as the row states it, or null), reference_date, value, and fault (null if the layout finds none).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

import polars as pl

from cbi_assets.config.sources import DeclaredFile, Stitch

OBSERVATION_SCHEMA: Final = {
    "row_no": pl.Int64,
    "item": pl.String,
    "source": pl.String,
    "reference_date": pl.Date,
    "value": pl.Float64,
    "fault": pl.String,
}

NO_SOURCE: Final = "it names no source"
NO_NUMBER: Final = "its value is missing or is not a number"
NO_DATE: Final = "its date is missing or is not a date"
NOT_A_DAY: Final = (
    "its time is when somebody read it, not a date: the day that the value describes is unknown"
)
NOT_MEASURED: Final = (
    "its column is zero in every row while the open interest is not: it was not measured"
)
UNKNOWN_LAYOUT: Final = "its columns match no known layout"

_INDICATORS: Final = {"time", "indicator", "value", "source_name"}
_CURRENCY: Final = {"date", "from_currency", "to_currency", "rate", "source_name"}
_COT: Final = {"report_date", "contract_code", "open_interest", "source_name"}
_POSITIONS: Final = re.compile(r"(.+)_(long|short|net)|open_interest")
_PRICE: Final = "open|high|low|close|adj_close|settle|settlement|last|price|volume|vwap"
_OHLC: Final = {"open", "high", "low", "close"}
_NAMES_A_PRODUCT: Final = ("symbol", "ticker", "root", "contract", "contract_code", "instrument")


def prices_of(frame: pl.DataFrame, roots: Collection[str]) -> str | None:
    """Return why a file is a price table of the universe by its content; None if it is not.

    It is one if a column is named after a root and a price or volume (`zl_close`), or if it has
    open, high, low or close next to a symbol of the universe (`ZL`, `ZLZ5`, `ZL=F`).
    """
    called = re.compile(rf"(?:^|.*_)({'|'.join(map(re.escape, roots))})_(?:{_PRICE})$", re.I)
    found = [name for name in frame.columns if called.match(name)]
    if found:
        shown = ", ".join(found)
        return f"it contains prices or volumes of futures of the universe ({shown})"
    if not _OHLC & {name.lower() for name in frame.columns}:
        return None
    symbol = rf"(?i)^(?:{'|'.join(map(re.escape, roots))})(?:[FGHJKMNQUVXZ]\d{{1,4}}|[=.].*|)$"
    for name in frame.columns:
        if name.lower() in _NAMES_A_PRODUCT and frame.schema[name] == pl.String:
            hits = frame[name].drop_nulls().unique().sort()
            hits = hits.filter(hits.str.contains(symbol))
            if len(hits):
                return f"it contains prices of futures of the universe ({name} {hits[0]})"
    return None


def is_bridge(frame: pl.DataFrame, stitch: Stitch | None) -> bool:
    """Return whether the file has the columns of the stitch."""
    return stitch is not None and set(stitch.columns.model_dump().values()) <= set(frame.columns)


def observe(
    name: str, frame: pl.DataFrame, declared: Collection[DeclaredFile]
) -> tuple[str, pl.DataFrame]:
    """Return the layout and the observations (OBSERVATION_SCHEMA) of a file that has no prices."""
    columns = set(frame.columns)
    numbered = frame.with_row_index("row_no", offset=1)
    if columns >= _INDICATORS:
        return "indicators", _long(numbered, "time", pl.col("indicator"), "value")
    if columns >= _CURRENCY:
        pair = pl.concat_str("from_currency", "to_currency", separator="/")
        return "currency", _long(numbered, "date", pair, "rate")
    if columns >= _COT:
        return "cot", _positions(numbered)
    for known in declared:
        if known.matches(name, tuple(frame.columns)):
            items = [n for n in frame.columns if n != known.date and frame.schema[n].is_numeric()]
            stated = numbered.with_columns(source_name=pl.lit(known.source))
            return known.id, _wide(stated, known.date, items)
    fault = UNKNOWN_LAYOUT if "source_name" in columns else NO_SOURCE
    source = pl.col("source_name") if "source_name" in columns else pl.lit(None)
    return "unknown", _in_shape(
        numbered.select(
            "row_no",
            item=pl.lit(""),
            source=source.cast(pl.String),
            reference_date=pl.lit(None, pl.Date),
            value=pl.lit(None, pl.Float64),
            fault=pl.lit(fault),
        )
    )


def _long(rows: pl.DataFrame, date: str, item: pl.Expr, value: str) -> pl.DataFrame:
    """Make one observation per row."""
    return _observations(rows, date, item.cast(pl.String).fill_null(""), pl.col(value))


def _wide(rows: pl.DataFrame, date: str, items: list[str]) -> pl.DataFrame:
    """Make one observation per row and item."""
    if not items:
        return pl.DataFrame(schema=OBSERVATION_SCHEMA)
    parts = [_observations(rows, date, pl.lit(name), pl.col(name)) for name in items]
    return pl.concat(parts).sort("row_no", maintain_order=True)


def _positions(rows: pl.DataFrame) -> pl.DataFrame:
    """Make one observation per row and position column, named contract.column."""
    items = [name for name in rows.columns if _POSITIONS.fullmatch(name)]
    found = []
    for name in items:
        value = pl.col(name).cast(pl.Float64, strict=False)
        traded = (pl.col("open_interest").cast(pl.Float64, strict=False) > 0).any()
        zero = ((value == 0).all() & traded).over("source_name", "contract_code")
        part = _observations(
            rows.with_columns(_unmeasured=zero),
            "report_date",
            pl.concat_str(pl.col("contract_code").fill_null(""), pl.lit(f".{name}")),
            pl.col(name),
            pl.when("_unmeasured").then(pl.lit(NOT_MEASURED)),
        )
        found.append(part)
    return pl.concat(found).sort("row_no", maintain_order=True)


def _observations(
    rows: pl.DataFrame, date: str, item: pl.Expr, value: pl.Expr, fault: pl.Expr | None = None
) -> pl.DataFrame:
    day, misdated = _reference(rows.schema[date], pl.col(date))
    number = value.cast(pl.Float64, strict=False)
    valid = number.is_finite().fill_null(False)
    found = rows.select(
        "row_no",
        item=item,
        source=pl.col("source_name").cast(pl.String).str.strip_chars().replace("", None),
        reference_date=day,
        value=pl.when(valid).then(number),
        fault=pl.coalesce(
            misdated,
            pl.when(~valid).then(pl.lit(NO_NUMBER)),
            pl.lit(None, pl.String) if fault is None else fault,
        ),
    )
    return _in_shape(found)


def _reference(kind: pl.DataType, when: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """Return the date that a row describes, and what is wrong with it."""
    missing = pl.when(when.is_null()).then(pl.lit(NO_DATE))
    if kind == pl.Date:
        return when, missing
    if isinstance(kind, pl.Datetime):
        # A reference date is at midnight; any other time is when somebody read the value.
        is_midnight = when == when.dt.truncate("1d")
        odd = pl.when(~is_midnight).then(pl.lit(NOT_A_DAY))
        return pl.when(is_midnight).then(when.dt.date()), pl.coalesce(missing, odd)
    if kind == pl.String:
        day = when.str.to_date("%Y-%m-%d", strict=False)
        return day, pl.when(day.is_null()).then(pl.lit(NO_DATE))
    return pl.lit(None, pl.Date), pl.lit(NO_DATE)


def _in_shape(found: pl.DataFrame) -> pl.DataFrame:
    return found.select(pl.col(name).cast(kind) for name, kind in OBSERVATION_SCHEMA.items())
