"""Decode lines of JSON or CSV into columns.

The fast path decodes a whole block of lines: JSON by Databento's template, CSV with Arrow's reader,
which is laxer than the grammar. A block that is not proven to follow the grammar in every record is
decoded again line by line, so that each line becomes a record or a fault with its line number. Both
ways accept the same records.
"""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from cbi_assets.drive.batch import DECODED, Decoded, Piece, assemble, numbered
from cbi_assets.drive.formats import Encoding, TextFormat
from cbi_assets.drive.grammar import (
    DECIMAL,
    FRAME_DECIMAL,
    FRAME_TIMESTAMP,
    INTEGER,
    LIMITS,
    TIMESTAMP,
    UNSIGNED,
    DuplicateKeyError,
    all_match,
    cut_symbols,
    parse_decimal,
    parse_id,
    parse_int64,
    parse_json,
    parse_symbol,
    parse_timestamp,
)
from cbi_assets.drive.json_template import TemplateError, read_records
from cbi_assets.drive.streams import DOWNLOAD_AGAIN
from cbi_assets.errors import SourceError
from cbi_assets.market.bars import PRICES, UNDEFINED_PRICE, prices_from_raw


def decode_text(encoding: Encoding, text: TextFormat, pieces: list[Piece]) -> Decoded:
    """Decode pieces of text files of one format, in order."""
    block = b"".join(piece.payload for piece in pieces)
    total = sum(piece.count for piece in pieces)
    lines: list[bytes] = []

    def raw(row: int) -> str:
        if not lines:
            lines.extend(block.split(b"\n"))
        return _shown(lines[row])

    try:
        plain = _plain(block)
        if encoding == "json":
            columns = read_records(plain, total, text)
        else:
            columns = _convert(_read_csv(plain, total, text), text)
        return Decoded(assemble(columns | numbered(pieces), total), raw)
    except (TemplateError, _NotPlainError, pa.ArrowException):
        return decode_lines(encoding, text, pieces)


class _NotPlainError(Exception):
    """A block that has to be decoded line by line: it is not written as Databento writes it."""


def _require(condition: bool) -> None:
    if not condition:
        raise _NotPlainError


def _plain(block: bytes) -> bytes:
    """Return a block of ASCII, its lines ended by a line feed alone."""
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
    _require(block.isascii() and b"\r" not in block and b"\0" not in block)
    return block


def _read_csv(block: bytes, total: int, text: TextFormat) -> dict[str, pa.ChunkedArray]:
    _require(b'"' not in block)
    table = pa.csv.read_csv(
        pa.BufferReader(block),
        read_options=pa.csv.ReadOptions(
            use_threads=False, block_size=len(block) + 1, column_names=list(text.columns)
        ),
        parse_options=pa.csv.ParseOptions(ignore_empty_lines=False),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(text.columns, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
        ),
    )
    columns = {name: table[name] for name in text.columns}
    if "symbol" not in columns:
        columns["symbol"] = pa.chunked_array([pa.nulls(table.num_rows, pa.string())])
    _require(
        table.num_rows == total
        and not any(columns[name].null_count for name in ("ts_event", *LIMITS, "volume"))
    )
    return columns


def _convert(columns: dict[str, pa.ChunkedArray], text: TextFormat) -> dict[str, Any]:
    """Convert columns that follow the grammar in every value."""
    pretty_ts = FRAME_TIMESTAMP if text.is_frame else TIMESTAMP
    pretty_px = FRAME_DECIMAL if text.is_frame else DECIMAL
    _require_grammar(columns["ts_event"], pretty_ts if text.pretty_ts else INTEGER)
    timestamp_type = pa.timestamp("ns", "UTC") if text.pretty_ts else pa.int64()
    ts_ns = columns["ts_event"].cast(timestamp_type).cast(pa.int64())
    converted: dict[str, Any] = {"ts_ns": pl.Series("ts_ns", ts_ns)}
    for name in PRICES:
        _require_grammar(columns[name], pretty_px if text.pretty_px else INTEGER)
        if text.pretty_px:
            converted[name] = pl.Series(name, columns[name].cast(pa.float64()))
        else:
            raw = pc.fill_null(columns[name].cast(pa.int64()), UNDEFINED_PRICE)
            converted[name] = prices_from_raw(raw.to_numpy())
    _require_grammar(columns["volume"], INTEGER)
    converted["volume"] = pl.Series("volume", columns["volume"].cast(pa.int64()))
    for name, limit in LIMITS.items():
        if pa.types.is_string(columns[name].type):
            _require_grammar(columns[name], UNSIGNED)
        values = pl.Series(name, columns[name].cast(pa.int64()))
        _require(bool(values.is_between(0, limit).all()))
        converted[name] = values
    converted["symbol"] = pl.Series("symbol", cut_symbols(columns["symbol"]))
    return converted


def _require_grammar(column: pa.ChunkedArray, pattern: str) -> None:
    _require(all_match(pl.Series(column), pattern))


def decode_lines(encoding: Encoding, text: TextFormat, pieces: list[Piece]) -> Decoded:
    """Decode pieces line by line: the slow path."""
    rows: list[dict[str, Any]] = []
    refused: dict[int, SourceError] = {}
    for piece in pieces:
        for offset, line in enumerate(piece.payload.split(b"\n")[: piece.count]):
            if not line.strip():
                continue
            row: dict[str, Any] = {"file_no": piece.file_no, "record_no": piece.first + offset}
            try:
                fields = _json_fields(line) if encoding == "json" else _csv_fields(line, text)
                row |= _parse_fields(fields, text)
            except _UNREADABLE as error:
                row["fault"] = f"unreadable {encoding.upper()} record: {_reason(error)}"
                if isinstance(error, DuplicateKeyError):
                    problem = f"line {row['record_no']:,}: {error}"
                    refused.setdefault(piece.file_no, SourceError(problem, remedy=DOWNLOAD_AGAIN))
            row["raw"] = _shown(line)
            rows.append(row)
    frame = pl.DataFrame(rows, schema=DECODED, orient="row")
    raw = frame["raw"]
    frame = frame.with_columns(raw=pl.lit(None, pl.String))
    return Decoded(frame, lambda row: raw[row], refused)


def _json_fields(line: bytes) -> dict[str, Any]:
    record = parse_json(line.decode("utf-8"))
    header = {name: record["hd"][name] for name in ("ts_event", *LIMITS)}
    return {name: value for name, value in record.items() if name not in header} | header


def _csv_fields(line: bytes, text: TextFormat) -> dict[str, Any]:
    values = next(csv.reader([line.decode("utf-8").removesuffix("\r")], strict=True))
    if len(values) != len(text.columns):
        raise ValueError(f"{len(values)} columns where the header has {len(text.columns)}")
    fields: dict[str, Any] = dict(zip(text.columns, values, strict=True))
    return fields | {"symbol": fields.get("symbol") or None}


def _parse_fields(fields: dict[str, Any], text: TextFormat) -> dict[str, Any]:
    row: dict[str, Any] = {name: parse_id(name, fields[name]) for name in LIMITS}
    row["ts_ns"] = parse_timestamp(fields["ts_event"], text.is_frame)
    row |= {name: _parse_price(fields[name], text) for name in PRICES}
    row["volume"] = parse_int64(fields["volume"])
    row["symbol"] = parse_symbol(fields.get("symbol"))
    str(row["symbol"]).encode()  # Raises for half a surrogate pair, which JSON can contain.
    return row


_UNREADABLE = (ValueError, KeyError, TypeError, OverflowError, RecursionError, csv.Error)


def _parse_price(value: Any, text: TextFormat) -> float | None:
    if value is None or value == "":
        return None
    if text.pretty_px:
        return parse_decimal(value, text.is_frame)
    price: float | None = prices_from_raw(np.array([parse_int64(value)], dtype=np.int64)).item()
    return price


def _reason(error: Exception) -> str:
    return f"no field {error}" if isinstance(error, KeyError) else str(error)


def _shown(line: bytes) -> str:
    return line.rstrip(b"\r").decode("utf-8", errors="backslashreplace")
