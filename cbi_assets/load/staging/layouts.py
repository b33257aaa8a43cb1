"""Tell a staging file's layout from its columns, and turn its rows into observations.

An observation is one value of one row: row_no (1 is the file's first row), item (the series' name
in the file), source (as the row states it, null where it states none), reference_date, value, fault
(null where it is sound as far as the layout goes).
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
NO_NUMBER: Final = "its value is missing or no number"
NO_DATE: Final = "its date is missing or no date"
NOT_A_DAY: Final = (
    "its time is the instant of a reading, not a date: the day that the value describes isn't told"
)
NOT_MEASURED: Final = (
    "its column is zero in every row while the open interest is not: it was not measured"
)
UNKNOWN_LAYOUT: Final = "its columns fit no layout that is known"

_INDICATORS: Final = {"time", "indicator", "value", "source_name"}
_CURRENCY: Final = {"date", "from_currency", "to_currency", "rate", "source_name"}
_COT: Final = {"report_date", "contract_code", "open_interest", "source_name"}
_POSITIONS: Final = re.compile(r"(.+)_(long|short|net)|open_interest")
_PRICE: Final = "open|high|low|close|adj_close|settle|settlement|last|price|volume|vwap"
_OHLC: Final = {"open", "high", "low", "close"}
_NAMES_A_PRODUCT: Final = ("symbol", "ticker", "root", "contract", "contract_code", "instrument")


def prices_of(frame: pl.DataFrame, roots: Collection[str]) -> str | None:
    """Why a file is a price table of the universe, told from its content; None where it is none.

    It is one where a column is called after a root and a price or a volume (`zl_close`), or where
    open, high, low or close stand beside a symbol of the universe (`ZL`, `ZLZ5`, `ZL=F`).
    """
    called = re.compile(rf"(?:^|.*_)({'|'.join(map(re.escape, roots))})_(?:{_PRICE})$", re.I)
    found = [name for name in frame.columns if called.match(name)]
    if found:
        shown = ", ".join(found)
        return f"it holds prices or volumes of futures of the universe ({shown})"
    if not _OHLC & {name.lower() for name in frame.columns}:
        return None
    symbol = rf"(?i)^(?:{'|'.join(map(re.escape, roots))})(?:[FGHJKMNQUVXZ]\d{{1,4}}|[=.].*|)$"
    for name in frame.columns:
        if name.lower() in _NAMES_A_PRODUCT and frame.schema[name] == pl.String:
            hits = frame[name].drop_nulls().unique().sort()
            hits = hits.filter(hits.str.contains(symbol))
            if len(hits):
                return f"it holds prices of futures of the universe ({name} {hits[0]})"
    return None


def is_bridge(frame: pl.DataFrame, stitch: Stitch | None) -> bool:
    """Whether the file has the columns of the stitch."""
    return stitch is not None and set(stitch.columns.model_dump().values()) <= set(frame.columns)


def observe(
    name: str, frame: pl.DataFrame, declared: Collection[DeclaredFile]
) -> tuple[str, pl.DataFrame]:
    """The layout of a file that is no price table, and its observations (OBSERVATION_SCHEMA)."""
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
    """One observation a row."""
    return _observations(rows, date, item.cast(pl.String).fill_null(""), pl.col(value))


def _wide(rows: pl.DataFrame, date: str, items: list[str]) -> pl.DataFrame:
    """One observation a row and item."""
    if not items:
        return pl.DataFrame(schema=OBSERVATION_SCHEMA)
    parts = [_observations(rows, date, pl.lit(name), pl.col(name)) for name in items]
    return pl.concat(parts).sort("row_no", maintain_order=True)


def _positions(rows: pl.DataFrame) -> pl.DataFrame:
    """One observation a row and position column, called contract.column."""
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
    sound = number.is_finite().fill_null(False)
    found = rows.select(
        "row_no",
        item=item,
        source=pl.col("source_name").cast(pl.String).str.strip_chars().replace("", None),
        reference_date=day,
        value=pl.when(sound).then(number),
        fault=pl.coalesce(
            misdated,
            pl.when(~sound).then(pl.lit(NO_NUMBER)),
            pl.lit(None, pl.String) if fault is None else fault,
        ),
    )
    return _in_shape(found)


def _reference(kind: pl.DataType, when: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """The date that a row describes, and what is wrong with it."""
    missing = pl.when(when.is_null()).then(pl.lit(NO_DATE))
    if kind == pl.Date:
        return when, missing
    if isinstance(kind, pl.Datetime):
        # a reference date stands at midnight; any other time is when somebody read the value
        whole = when == when.dt.truncate("1d")
        odd = pl.when(~whole).then(pl.lit(NOT_A_DAY))
        return pl.when(whole).then(when.dt.date()), pl.coalesce(missing, odd)
    if kind == pl.String:
        day = when.str.to_date("%Y-%m-%d", strict=False)
        return day, pl.when(day.is_null()).then(pl.lit(NO_DATE))
    return pl.lit(None, pl.Date), pl.lit(NO_DATE)


def _in_shape(found: pl.DataFrame) -> pl.DataFrame:
    return found.select(pl.col(name).cast(kind) for name, kind in OBSERVATION_SCHEMA.items())
