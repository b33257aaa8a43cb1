"""Decode batches of records of any format into columns."""

from __future__ import annotations

import json
from typing import Any

import databento_dbn
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from cbi_assets.drive.batch import Decoded, Piece, assemble, numbered
from cbi_assets.drive.formats import FileFormat
from cbi_assets.drive.grammar import LIMITS, MAX_INT64
from cbi_assets.drive.text_records import decode_text
from cbi_assets.market.bars import PRICE_UNIT, PRICES, UNDEFINED_PRICE, prices_from_raw

_DBN_DTYPE = np.dtype(databento_dbn.OHLCVMsg._dtypes)


def dbn_records(ts_out: bool) -> np.dtype[Any]:
    """Return the layout of an OHLCV record in every DBN version: 56 bytes, 64 with ts_out."""
    return np.dtype([*_DBN_DTYPE.descr, ("ts_out", "<u8")]) if ts_out else _DBN_DTYPE


def decode(file_format: FileFormat, pieces: list[Piece]) -> Decoded:
    """Decode pieces of files of one format, in order."""
    if file_format.encoding == "dbn":
        return _decode_dbn(pieces)
    if file_format.encoding == "parquet":
        return _decode_parquet(pieces)
    assert file_format.text is not None
    return decode_text(file_format.encoding, file_format.text, pieces)


def _decode_dbn(pieces: list[Piece]) -> Decoded:
    records = np.concatenate([piece.payload for piece in pieces])
    columns: dict[str, Any] = dict(numbered(pieces))
    for name in ("rtype", "publisher_id", "instrument_id"):
        columns[name] = pl.Series(records[name])
    for target, source in (("ts_ns", "ts_event"), ("volume", "volume")):
        columns[target] = _int64_or_null(records[source])
    for name in PRICES:
        columns[name] = prices_from_raw(np.ascontiguousarray(records[name]))

    def raw(row: int) -> str:
        record = records[row]
        return json.dumps({name: int(record[name]) for name in _DBN_DTYPE.names or ()})

    return Decoded(assemble(columns, len(records)), raw)


def _int64_or_null(values: npt.NDArray[np.uint64]) -> pl.Series:
    unsigned = pl.Series(np.ascontiguousarray(values))
    return unsigned.cast(pl.Int64, strict=False)


def _decode_parquet(pieces: list[Piece]) -> Decoded:
    # One by one: files of one format may still differ in the types of their prices and times.
    frames = [_parquet_frame(piece) for piece in pieces]
    ends = np.cumsum([piece.count for piece in pieces])

    def raw(row: int) -> str:
        at = int(np.searchsorted(ends, row, side="right"))
        place = row - int(ends[at]) + pieces[at].count
        return json.dumps(pieces[at].payload.slice(place, 1).to_pylist()[0], default=str)

    return Decoded(pl.concat(frames), raw)


def _parquet_frame(piece: Piece) -> pl.DataFrame:
    table = piece.payload
    columns: dict[str, Any] = dict(numbered([piece]))
    for name, limit in LIMITS.items():
        values = pl.Series(name, table[name]).cast(pl.Int64, strict=False)
        columns[name] = values.set(~values.is_between(0, limit), None)
    columns["ts_ns"] = _nanoseconds(table["ts_event"])
    for name in PRICES:
        price = table[name]
        if pa.types.is_int64(price.type):
            columns[name] = prices_from_raw(pc.fill_null(price, UNDEFINED_PRICE).to_numpy())
        elif pa.types.is_decimal(price.type):
            columns[name] = _defined(price.cast(pa.string()))
        else:
            columns[name] = _defined(price)
    columns["volume"] = pl.Series("volume", table["volume"]).cast(pl.Int64, strict=False)
    if "symbol" in table.column_names:
        columns["symbol"] = pl.Series("symbol", table["symbol"].cast(pa.string()))
    return assemble(columns, table.num_rows)


def _nanoseconds(timestamps: pa.ChunkedArray) -> pl.Series:
    """Return nanoseconds since 1970, UTC; null where 64 bits cannot hold them."""
    if not pa.types.is_timestamp(timestamps.type):
        return pl.Series("ts_ns", timestamps).cast(pl.Int64, strict=False)
    per_unit = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[timestamps.type.unit]
    counts = pl.Series("ts_ns", timestamps.cast(pa.int64()))
    limit = MAX_INT64 // per_unit
    return counts.set(~counts.is_between(-limit, limit), None) * per_unit


def _defined(prices: pa.ChunkedArray) -> pl.Series:
    """Return prices as Float64; null for NaN and for what no raw price can express."""
    floats = pl.Series("price", prices.cast(pa.float64()))
    limit = MAX_INT64 / PRICE_UNIT
    return floats.set(~floats.is_between(-limit, limit), None)
