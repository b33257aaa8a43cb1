"""Decode batches of records of any format into columns.

The fast path decodes a whole block of lines with Arrow's readers. A block that they reject, or in
which they count anything but one record per line, is decoded again line by line, so that each line
becomes a record or a fault with its line number.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import databento_dbn
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json

from cbi_assets.drive.formats import Encoding, FileFormat, TextFormat
from cbi_assets.market.bars import PRICES, UNDEFINED_PRICE, Columns, prices_from_raw

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

_DBN_DTYPE = np.dtype(databento_dbn.OHLCVMsg._dtypes)
_MAX_INT64 = 2**63 - 1
_MAX_RTYPE = 255

_JSON_SCHEMA = pa.schema(
    [
        (
            "hd",
            pa.struct(
                [
                    ("ts_event", pa.string()),
                    ("rtype", pa.int16()),
                    ("publisher_id", pa.int64()),
                    ("instrument_id", pa.int64()),
                ]
            ),
        ),
        *((name, pa.string()) for name in (*PRICES, "volume", "symbol")),
    ]
)


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
    """A decoded batch. `raw(row)` returns the record of a row as it was read."""

    frame: pl.DataFrame
    raw: Callable[[int], str]


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
    return _decode_text(file_format.encoding, file_format.text, pieces)


def _numbered(pieces: list[Piece]) -> dict[str, pl.Series]:
    counts = [piece.count for piece in pieces]
    file_no = np.repeat(np.array([p.file_no for p in pieces], dtype=np.int32), counts)
    record_no = np.concatenate(
        [np.arange(p.first, p.first + p.count, dtype=np.int64) for p in pieces]
    )
    return {"file_no": pl.Series(file_no), "record_no": pl.Series(record_no)}


def _assemble(columns: dict[str, Any], length: int) -> pl.DataFrame:
    nothing = {name: pl.Series([None] * 0, dtype=dtype) for name, dtype in DECODED.items()}
    for name, empty in nothing.items():
        if name not in columns:
            columns[name] = empty.extend_constant(None, length)
    return pl.DataFrame(columns).select(pl.col(name).cast(dtype) for name, dtype in DECODED.items())


def _decode_dbn(pieces: list[Piece]) -> Decoded:
    records = np.concatenate([piece.payload for piece in pieces])
    columns: dict[str, Any] = dict(_numbered(pieces))
    for name in ("rtype", "publisher_id", "instrument_id"):
        columns[name] = pl.Series(records[name])
    for target, source in (("ts_ns", "ts_event"), ("volume", "volume")):
        columns[target] = _int64_or_null(records[source])
    for name in PRICES:
        columns[name] = prices_from_raw(np.ascontiguousarray(records[name]))

    def raw(row: int) -> str:
        record = records[row]
        return json.dumps({name: int(record[name]) for name in _DBN_DTYPE.names or ()})

    return Decoded(_assemble(columns, len(records)), raw)


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
    columns: dict[str, Any] = dict(_numbered([piece]))
    for name in ("rtype", "publisher_id", "instrument_id"):
        columns[name] = pl.Series(name, table[name]).cast(DECODED[name], strict=False)
    timestamps = table["ts_event"]
    if pa.types.is_timestamp(timestamps.type):
        columns["ts_ns"] = pl.Series("ts_ns", timestamps).dt.timestamp("ns")
    else:
        columns["ts_ns"] = pl.Series("ts_ns", timestamps).cast(pl.Int64, strict=False)
    for name in PRICES:
        price = table[name]
        if pa.types.is_integer(price.type):
            filled = pc.fill_null(price.cast(pa.int64()), UNDEFINED_PRICE)
            columns[name] = prices_from_raw(filled.to_numpy())
        elif pa.types.is_decimal(price.type):
            columns[name] = pl.Series(name, price.cast(pa.string()).cast(pa.float64()))
        else:
            floats = pl.Series(name, price.cast(pa.float64()))
            columns[name] = floats.replace([float("nan"), float("inf"), float("-inf")], None)
    columns["volume"] = pl.Series("volume", table["volume"]).cast(pl.Int64, strict=False)
    if "symbol" in table.column_names:
        columns["symbol"] = pl.Series("symbol", table["symbol"].cast(pa.string()))
    return _assemble(columns, table.num_rows)


def _decode_text(encoding: Encoding, text: TextFormat, pieces: list[Piece]) -> Decoded:
    block = b"".join(piece.payload for piece in pieces)
    total = sum(piece.count for piece in pieces)
    lines: list[bytes] = []

    def raw(row: int) -> str:
        if not lines:
            lines.extend(block.split(b"\n"))
        return _shown(lines[row])

    try:
        columns = _read_json(block) if encoding == "json" else _read_csv(block, text)
        if len(columns["rtype"]) == total and not columns["rtype"].null_count:
            converted = _convert(columns, text)
            return Decoded(_assemble(converted | _numbered(pieces), total), raw)
    except pa.ArrowException:
        pass
    return _decode_lines(encoding, text, pieces)


def _read_json(block: bytes) -> dict[str, pa.ChunkedArray]:
    table = pa.json.read_json(
        pa.BufferReader(block),
        read_options=pa.json.ReadOptions(use_threads=False, block_size=len(block) + 1),
        parse_options=pa.json.ParseOptions(
            explicit_schema=_JSON_SCHEMA, unexpected_field_behavior="ignore"
        ),
    )
    header = table["hd"].combine_chunks()
    columns = {name: table[name] for name in (*PRICES, "volume", "symbol")}
    for name in ("ts_event", "rtype", "publisher_id", "instrument_id"):
        columns[name] = pc.struct_field(header, name)
    return columns


def _read_csv(block: bytes, text: TextFormat) -> dict[str, pa.ChunkedArray]:
    types = dict.fromkeys(text.columns, pa.string())
    types |= {"rtype": pa.int16(), "publisher_id": pa.int64(), "instrument_id": pa.int64()}
    table = pa.csv.read_csv(
        pa.BufferReader(block),
        read_options=pa.csv.ReadOptions(
            use_threads=False, block_size=len(block) + 1, column_names=list(text.columns)
        ),
        parse_options=pa.csv.ParseOptions(ignore_empty_lines=False),
        convert_options=pa.csv.ConvertOptions(
            column_types=types, strings_can_be_null=True, null_values=[""]
        ),
    )
    columns = {name: table[name] for name in text.columns}
    if "symbol" not in columns:
        columns["symbol"] = pa.chunked_array([pa.nulls(table.num_rows, pa.string())])
    return columns


def _convert(columns: dict[str, pa.ChunkedArray], text: TextFormat) -> dict[str, Any]:
    timestamp_type = pa.timestamp("ns", "UTC") if text.pretty_ts else pa.int64()
    ts_ns = columns["ts_event"].cast(timestamp_type).cast(pa.int64())
    converted: dict[str, Any] = {"ts_ns": pl.Series("ts_ns", ts_ns)}
    columns["symbol"].validate(full=True)  # Arrow's JSON reader accepts bytes that are not UTF-8.
    for name in PRICES:
        if text.pretty_px:
            # A price without a point is a raw price or not a number: decode line by line.
            if pc.all(pc.match_substring(columns[name], ".")).as_py() is False:
                raise pa.ArrowInvalid(f"{name}: no decimal")
            converted[name] = pl.Series(name, columns[name].cast(pa.float64()))
        else:
            raw = pc.fill_null(columns[name].cast(pa.int64()), UNDEFINED_PRICE)
            converted[name] = prices_from_raw(raw.to_numpy())
    converted["volume"] = pl.Series("volume", columns["volume"].cast(pa.int64()))
    for name in ("rtype", "publisher_id", "instrument_id", "symbol"):
        converted[name] = pl.Series(name, columns[name])
    return converted


def _decode_lines(encoding: Encoding, text: TextFormat, pieces: list[Piece]) -> Decoded:
    rows: list[dict[str, Any]] = []
    for piece in pieces:
        for offset, line in enumerate(piece.payload.split(b"\n")[: piece.count]):
            if not line.strip():
                continue
            row: dict[str, Any] = {"file_no": piece.file_no, "record_no": piece.first + offset}
            try:
                fields = _json_fields(line) if encoding == "json" else _csv_fields(line, text)
                row |= _parse_fields(fields)
            except _UNREADABLE as error:
                row["fault"] = f"unreadable {encoding.upper()} record: {_reason(error)}"
            row["raw"] = _shown(line)
            rows.append(row)
    frame = pl.DataFrame(rows, schema=DECODED, orient="row")
    raw = frame["raw"]
    return Decoded(frame.with_columns(raw=pl.lit(None, pl.String)), lambda row: raw[row])


def _json_fields(line: bytes) -> dict[str, Any]:
    record = json.loads(line)
    return {**record["hd"], **{k: v for k, v in record.items() if k != "hd"}}


def _csv_fields(line: bytes, text: TextFormat) -> dict[str, Any]:
    values = next(csv.reader([line.decode("utf-8").rstrip("\r")]))
    if len(values) != len(text.columns):
        raise ValueError(f"{len(values)} columns where the header has {len(text.columns)}")
    return dict(zip(text.columns, values, strict=True))


def _parse_fields(fields: dict[str, Any]) -> dict[str, Any]:
    ids = ("rtype", "publisher_id", "instrument_id")
    row: dict[str, Any] = {name: _int64(fields[name]) for name in ids}
    if abs(row["rtype"]) > _MAX_RTYPE:
        raise ValueError(f"rtype {row['rtype']}")
    row["ts_ns"] = _parse_timestamp(str(fields["ts_event"]))
    row |= {name: _parse_price(fields[name]) for name in PRICES}
    row["volume"] = _int64(fields["volume"])
    symbol = fields.get("symbol")
    str(symbol).encode()  # Raises for half a surrogate pair, which JSON can contain.
    return row | {"symbol": str(symbol) if symbol else None}


_UNREADABLE = (ValueError, KeyError, TypeError, OverflowError, RecursionError, csv.Error)
_ISO = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)
_INTEGER = re.compile(r"-?\d+", re.ASCII)
_DECIMAL = re.compile(r"-?\d+\.\d+", re.ASCII)


def _int64(value: Any) -> int:
    text = str(value)
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{text!r} is no whole number")
    number = int(text)
    if abs(number) > _MAX_INT64:
        raise ValueError(f"{number} does not fit 64 bits")
    return number


def _parse_timestamp(text: str) -> int:
    if _INTEGER.fullmatch(text):
        return _int64(text)
    match = _ISO.fullmatch(text)
    if not match:
        raise ValueError(f"ts_event {text!r}")
    seconds = np.datetime64(match[1], "s").astype(np.int64)
    return _int64(int(seconds) * 1_000_000_000 + int((match[2] or "0").ljust(9, "0")))


def _parse_price(value: Any) -> float | None:
    if value is None or value == "":
        return None
    text = str(value)
    if _INTEGER.fullmatch(text):
        price: float | None = prices_from_raw(np.array([_int64(text)], dtype=np.int64)).item()
        return price
    if _DECIMAL.fullmatch(text):
        return float(text)
    raise ValueError(f"price {text!r}")


def _reason(error: Exception) -> str:
    return f"no field {error}" if isinstance(error, KeyError) else str(error)


def _shown(line: bytes) -> str:
    return line.rstrip(b"\r").decode("utf-8", errors="backslashreplace")
