"""A batch of records: the bytes it is decoded from, and the columns it becomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl

from cbi_assets.errors import SourceError
from cbi_assets.market.bars import PRICES, Columns

DECODED: Final[Columns] = {
    "file_no": pl.Int32,
    "record_no": pl.Int64,
    "rtype": pl.Int16,
    "publisher_id": pl.Int64,
    "instrument_id": pl.Int64,
    "ts_ns": pl.Int64,
    **dict.fromkeys(PRICES, pl.Float64),
    "volume": pl.Int64,
    "symbol": pl.String,
    "fault": pl.String,
    "raw": pl.String,
}
"""Columns of a decoded batch; `ts_ns` is UTC, prices are in native units."""


@dataclass(frozen=True)
class Piece:
    """Consecutive records of one file: bytes of whole lines, DBN records, or an Arrow table.

    `first` is the number of its first record, from 1; in a text file, its line number.
    """

    file_no: int
    first: int
    count: int
    payload: Any


@dataclass(frozen=True)
class Decoded:
    """A decoded batch. `raw(row)` returns the record of a row as it was read.

    `refused` is why a file must not load at all, by its number.
    """

    frame: pl.DataFrame
    raw: Callable[[int], str]
    refused: dict[int, SourceError] = field(default_factory=dict)


def numbered(pieces: list[Piece]) -> dict[str, pl.Series]:
    """Return the columns file_no and record_no of the pieces' records."""
    counts = [piece.count for piece in pieces]
    file_no = np.repeat(np.array([p.file_no for p in pieces], dtype=np.int32), counts)
    record_no = np.concatenate(
        [np.arange(p.first, p.first + p.count, dtype=np.int64) for p in pieces]
    )
    return {"file_no": pl.Series(file_no), "record_no": pl.Series(record_no)}


def assemble(columns: dict[str, Any], length: int) -> pl.DataFrame:
    """Return the columns as a frame of DECODED; those that are absent are null."""
    nothing = {name: pl.Series([None] * 0, dtype=dtype) for name, dtype in DECODED.items()}
    for name, empty in nothing.items():
        if name not in columns:
            columns[name] = empty.extend_constant(None, length)
    return pl.DataFrame(columns).select(pl.col(name).cast(dtype) for name, dtype in DECODED.items())
