"""Symbol mappings: the symbol that an instrument id stands for, by UTC date.

A job asked for by symbol maps each symbol to ids, one asked for by id maps each id to symbols.
"""

from __future__ import annotations

import csv
import datetime as dt
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import polars as pl

from cbi_assets.drive.grammar import cut_symbol
from cbi_assets.market.bars import Columns

MAPPING_SCHEMA: Final[Columns] = {
    "instrument_id": pl.Int64,
    "d0": pl.Date,
    "d1": pl.Date,
    "mapped_symbol": pl.String,
}
"""Columns of mappings, one row per interval; d0 to before d1, UTC."""

SYMBOLOGY_COLUMNS: Final = ("raw_symbol", "instrument_id", "date")
"""The columns of the vendor's symbology.csv, which has a row per symbol and UTC date."""

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
