"""Symbol mappings: the symbol that an instrument id stands for, by UTC date.

A job asked for by symbol maps each symbol to ids, one asked for by id maps each id to symbols.
"""

from __future__ import annotations

import csv
import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from cbi_assets.drive.grammar import cut_symbol
from cbi_assets.market.bars import Columns
from cbi_assets.market.symbology import parse_symbol

MAPPING_SCHEMA: Final[Columns] = {
    "instrument_id": pl.Int64,
    "d0": pl.Date,
    "d1": pl.Date,
    "mapped_symbol": pl.String,
}
"""Columns of mappings, one row per interval; d0 to before d1, UTC."""

SYMBOLOGIES: Final = ("symbology.json", "symbology.csv")
"""The sidecars that map symbols, the better one first."""

SYMBOLOGY_COLUMNS: Final = ("raw_symbol", "instrument_id", "date")
"""The columns of the vendor's symbology.csv, which has a row per symbol and UTC date."""

NAME_SCHEMA: Final[Columns] = {
    "instrument_id": pl.Int64,
    "from_date": pl.Date,
    "to_date": pl.Date,
    "raw_symbol": pl.String,
}
"""Columns of names: an instrument's raw symbol, from_date to before to_date, UTC."""

_ID = re.compile(r"[0-9]{1,10}")

Interval = tuple[str, str, dt.date, dt.date]
"""What was asked for, what it stands for, and from when to before when."""


def mappings_of_metadata(mappings: Mapping[str, Iterable[Mapping[str, Any]]]) -> pl.DataFrame:
    """Return the mappings of a DBN header (`Metadata.mappings`)."""
    return _mappings(
        (asked, str(interval["symbol"]), interval["start_date"], interval["end_date"])
        for asked, intervals in mappings.items()
        for interval in intervals
    )


def mappings_of_json(result: Mapping[str, Iterable[Mapping[str, Any]]]) -> pl.DataFrame:
    """Return the mappings of the `result` of a symbology.json. Raises if it is malformed."""
    date = dt.date.fromisoformat
    return _mappings(
        (asked, _text(interval["s"]), date(interval["d0"]), date(interval["d1"]))
        for asked, intervals in result.items()
        for interval in intervals
    )


def mappings_of_csv(text: str) -> pl.DataFrame:
    """Return the mappings of a symbology.csv. Raises ValueError if it is malformed."""
    rows = csv.reader(text.splitlines(), strict=True)
    columns = next(rows, [])
    if sorted(columns) != sorted(SYMBOLOGY_COLUMNS):
        raise ValueError(f"its columns are {', '.join(columns) or 'missing'}")
    intervals: list[Interval] = []
    for row in rows:
        record = dict(zip(columns, row, strict=True))
        day = dt.date.fromisoformat(record["date"])
        if not _ID.fullmatch(record["instrument_id"]):
            raise ValueError(f"instrument_id {record['instrument_id']!r}")
        end = day + dt.timedelta(days=1)
        intervals.append((record["instrument_id"], record["raw_symbol"], day, end))
    return _mappings(intervals)


@dataclass(frozen=True)
class FileNames:
    """The names that one source gives instruments: `names` has the columns of NAME_SCHEMA.

    `source` is `dbn`, or a sidecar's name. A sidecar may not state its dataset.
    """

    source_file_id: str
    source: str
    path: str
    dataset: str | None
    names: pl.DataFrame


def names_of(mappings: pl.DataFrame) -> pl.DataFrame:
    """Return the names in mappings: of outrights and spreads, adjoining intervals joined."""
    symbols = mappings["mapped_symbol"].unique().to_list()
    raw = [name for name in symbols if parse_symbol(name).kind in ("outright", "spread")]
    if not raw:  # spares milliseconds per file of continuous symbols
        return pl.DataFrame(schema=NAME_SCHEMA)
    found = mappings.filter(pl.col("mapped_symbol").is_in(raw), pl.col("d0") < pl.col("d1"))
    return join_intervals(
        found.select("instrument_id", from_date="d0", to_date="d1", raw_symbol="mapped_symbol")
    )


def join_intervals(names: pl.DataFrame, *more: str) -> pl.DataFrame:
    """Join intervals of a name that overlap or adjoin; `more` columns are part of the name."""
    key = [*more, "instrument_id", "raw_symbol"]
    reached = pl.col("to_date").cum_max().shift(1).over(key)
    return (
        names.sort(*key, "from_date")
        .with_columns(run=(pl.col("from_date") > reached).fill_null(False).cum_sum().over(key))
        .group_by(*key, "run", maintain_order=True)
        .agg(pl.col("from_date").min(), pl.col("to_date").max())
        .select(*more, *NAME_SCHEMA)
    )


def _mappings(intervals: Iterable[Interval]) -> pl.DataFrame:
    """Return mappings; what stands for nothing, or an id that stands for an id, names nothing."""
    rows = []
    for asked, answer, d0, d1 in intervals:
        is_by_id = _ID.fullmatch(asked) is not None
        if not answer or is_by_id == (_ID.fullmatch(answer) is not None):
            continue
        number, symbol = (asked, answer) if is_by_id else (answer, asked)
        rows.append((int(number), d0, d1, cut_symbol(symbol)))
    return pl.DataFrame(rows, schema=MAPPING_SCHEMA, orient="row")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text is needed, not {type(value).__name__}")
    value.encode()  # Raises for half a surrogate pair.
    return value
