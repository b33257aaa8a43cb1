"""Read bars from bytes by the grammar, record by record, sharing no code with the product.

It is slow and strict: what it does not return, no bytes prove, so the product must not publish it.
It knows only soybean oil's bars of one hour, which is all that the fuzz writes.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import re
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

import databento_dbn
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from cbi_assets_tests.fuzz.good_jobs import DAYS, IDS, Row

_MOST = 64 << 20  # no mutated file decompresses to more, unless it is a bomb
_HOUR = 3_600 * 10**9
_TICK = Decimal("0.01")
_RTYPE, _PUBLISHER = 34, 1
_UNDEFINED = 2**63 - 1
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_WHOLE = re.compile(r"-?[0-9]+")
_POINTED = re.compile(r"-?[0-9]+\.[0-9]+")
_ISO = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?Z")
_SYMBOL = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_COLUMNS = ("ts_event", "rtype", "publisher_id", "instrument_id", "open", "high", "low", "close",
            "volume")  # fmt: skip

Interval = tuple[dt.date, dt.date, str]
Names = Mapping[int, list[Interval]]
NAMES: Names = {number: [(*DAYS, symbol)] for symbol, number in IDS.items()}


@dataclass
class Reading:
    """The valid rows of a file, and how many records it has, valid or not."""

    rows: list[Row] = field(default_factory=list)
    records: int = 0


class _NotABarError(Exception):
    """A record that breaks the grammar."""


def read(data: bytes, names: Names = NAMES) -> Reading:
    """Read a file's bars. `names` is what its job says of the instruments, by id."""
    try:
        return _read(data, names)
    except (_NotABarError, ValueError, OSError, EOFError, zlib.error, struct.error, KeyError,
            zstandard.ZstdError, zipfile.BadZipFile, NotImplementedError, RuntimeError,
            databento_dbn.DBNError, pa.ArrowException, csv.Error):  # fmt: skip
        return Reading()


def _read(data: bytes, names: Names) -> Reading:
    if data[:4] == b"\x28\xb5\x2f\xfd" or (data[1:4] == b"\x2a\x4d\x18" and data[0] >> 4 == 5):
        return _read(_unzstd(data), names)
    if data[:2] == b"\x1f\x8b":
        return _read(gzip.decompress(data), names)
    if data[:3] == b"DBN":
        return _read_dbn(data)
    if data[:2] == b"PK":
        return _read_zip(data, names)
    if data[:4] == b"PAR1":
        return _read_parquet(data, names)
    return _read_text(data.removeprefix(b"\xef\xbb\xbf"), names)


def _unzstd(data: bytes) -> bytes:
    parts, size = [], 0
    while data:
        if data[1:4] == b"\x2a\x4d\x18" and data[0] >> 4 == 5:  # a skippable frame
            end = 8 + int.from_bytes(data[4:8], "little")
            if end > len(data):
                raise _NotABarError
            data = data[end:]
            continue
        frame = zstandard.ZstdDecompressor().decompressobj()
        for at in range(0, len(data), 1 << 16):
            parts.append(frame.decompress(data[at : at + (1 << 16)]))
            size += len(parts[-1])
            if size > _MOST:
                raise _NotABarError
            if frame.eof:
                data = frame.unused_data + data[at + (1 << 16) :]
                break
        else:
            raise _NotABarError  # it ends inside a frame
    return b"".join(parts)


def _read_dbn(data: bytes) -> Reading:
    start = 8 + int.from_bytes(data[4:8], "little")
    metadata = databento_dbn.Metadata.decode(data[:start])
    if metadata.dataset != "GLBX.MDP3" or str(metadata.schema) != "ohlcv-1h" or metadata.ts_out:
        raise _NotABarError
    if (len(data) - start) % 56 or start > len(data):
        raise _NotABarError
    names: dict[int, list[Interval]] = {}
    for symbol, intervals in metadata.mappings.items():
        for item in intervals:
            if item["symbol"].isdigit():
                named = (item["start_date"], item["end_date"], symbol)
                names.setdefault(int(item["symbol"]), []).append(named)
    found = Reading()
    for at in range(start, len(data), 56):
        length, rtype, publisher, instrument, ts, o, h, low, c, volume = struct.unpack_from(
            "<BBHIQqqqqQ", data, at
        )
        if length != 14:
            raise _NotABarError  # where the next record starts is unknown
        prices = [
            None if price == _UNDEFINED else Decimal(price) / 10**9 for price in (o, h, low, c)
        ]
        fields = (rtype, publisher, instrument, ts, prices, volume, None, names)
        _add(found, partial(_row, *fields))
    return found


def _read_zip(data: bytes, names: Names) -> Reading:
    found = Reading()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            if info.file_size > _MOST:
                continue
            member = read(archive.read(info), names)
            found.rows += member.rows
            found.records += member.records
    return found


def _read_parquet(data: bytes, names: Names) -> Reading:
    table = pq.read_table(io.BytesIO(data))
    if any(table.column_names.count(name) != 1 for name in _COLUMNS):
        raise _NotABarError
    ts = table.schema.field("ts_event").type
    if not (pa.types.is_integer(ts) or (pa.types.is_timestamp(ts) and ts.tz)):
        raise _NotABarError
    instants = table["ts_event"]
    if pa.types.is_timestamp(ts):
        instants = instants.cast(pa.timestamp("ns", "UTC"))
    columns = {
        name: table[name].to_pylist()
        for name in (*_COLUMNS, "symbol")
        if name in table.column_names
    }
    columns["ts_event"] = instants.cast(pa.int64()).to_pylist()
    found = Reading()
    for values in zip(*columns.values(), strict=True):
        record = dict(zip(columns, values, strict=True))
        _add(found, partial(_row_of_parquet, record, names))
    return found


def _row_of_parquet(record: dict[str, Any], names: Names) -> Row:
    prices = [_price_of_parquet(record[name]) for name in ("open", "high", "low", "close")]
    numbers = [record[name] for name in ("rtype", "publisher_id", "instrument_id", "ts_event")]
    if not all(type(number) is int for number in (*numbers, record["volume"])):
        raise _NotABarError
    return _row(*numbers, prices, record["volume"], record.get("symbol"), names)


def _price_of_parquet(value: object) -> Decimal | None:
    if value is None or value == _UNDEFINED:
        return None
    if type(value) is int:
        return Decimal(value) / 10**9
    if isinstance(value, float):
        price = Decimal(repr(value))
        if not price.is_finite():
            raise _NotABarError
        return price
    if isinstance(value, Decimal):
        return value
    raise _NotABarError


def _read_text(data: bytes, names: Names) -> Reading:
    lines = [line for line in data.split(b"\n") if line.strip()]
    found = Reading(records=len(lines))
    parsed: list[dict[str, str | None]] = []
    as_json = [record for record in map(_json_record, lines) if record is not None]
    if as_json:
        parsed = as_json
    elif lines:
        found.records -= 1
        columns = next(csv.reader([lines[0].decode().rstrip("\r")]))
        if any(columns.count(name) != 1 for name in _COLUMNS) or columns.count("symbol") > 1:
            raise _NotABarError
        parsed = [record for record in (_csv_record(line, columns) for line in lines[1:]) if record]
    are_pointed = Counter("." in (record.get("close") or "") for record in parsed)
    price = _POINTED if are_pointed[True] >= are_pointed[False] else _WHOLE
    for record in parsed:
        try:
            found.rows.append(_row_of_text(record, price, names))
        except (_NotABarError, ValueError):
            continue
    return found


def _json_record(line: bytes) -> dict[str, str | None] | None:
    """Return a JSON record with numbers as text, None if it breaks the grammar of JSON."""
    try:
        record = json.loads(
            line.decode(), object_pairs_hook=_unique, parse_float=str, parse_int=str,
            parse_constant=_refuse,
        )  # fmt: skip
        header = record.pop("hd")
        if set(header) & set(record):
            return None
        record |= header
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError, _NotABarError):
        return None
    wanted = {name: record.get(name) for name in (*_COLUMNS, "symbol")}
    is_text = all(isinstance(value, str | None) for value in wanted.values())
    if not is_text or ("symbol" in record and record["symbol"] == ""):
        return None
    return wanted


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise _NotABarError
    return dict(pairs)


def _refuse(text: str) -> Any:
    raise _NotABarError(text)


def _csv_record(line: bytes, columns: list[str]) -> dict[str, str | None] | None:
    try:
        values = next(csv.reader([line.decode().removesuffix("\r")], strict=True))
    except (csv.Error, UnicodeDecodeError):
        return None
    if len(values) != len(columns):
        return None
    return {name: value or None for name, value in zip(columns, values, strict=True)}


def _row_of_text(record: Mapping[str, str | None], price: re.Pattern[str], names: Names) -> Row:
    def whole(name: str) -> int:
        text = record[name]
        if text is None or not _WHOLE.fullmatch(text):
            raise _NotABarError
        return int(text)

    def decimal(name: str) -> Decimal | None:
        text = record[name]
        if text is None:
            return None
        if not price.fullmatch(text):
            raise _NotABarError
        if price is _POINTED:
            return Decimal(text)
        return None if int(text) == _UNDEFINED else Decimal(int(text)) / 10**9

    prices = [decimal(name) for name in ("open", "high", "low", "close")]
    ts = record["ts_event"] or ""
    ids = (whole("rtype"), whole("publisher_id"), whole("instrument_id"))
    return _row(*ids, _nanoseconds(ts), prices, whole("volume"), record["symbol"], names)


def _nanoseconds(text: str) -> int:
    if _WHOLE.fullmatch(text):
        return int(text)
    match = _ISO.fullmatch(text)
    if not match:
        raise _NotABarError
    instant = dt.datetime.fromisoformat(f"{match[1]}+00:00")
    return int((instant - _EPOCH).total_seconds()) * 10**9 + int((match[2] or "0").ljust(9, "0"))


def _add(found: Reading, parse: Callable[[], Row]) -> None:
    found.records += 1
    try:
        found.rows.append(parse())
    except (_NotABarError, ValueError, OverflowError):
        return


def _row(
    rtype: int,
    publisher: int,
    instrument: int,
    ts: int,
    prices: list[Decimal | None],
    volume: int,
    symbol: object,
    names: Names,
) -> Row:
    """Return a record as a row. Raises _NotABarError for whatever a bar cannot be."""
    if rtype != _RTYPE or publisher != _PUBLISHER or not 0 <= instrument < 2**32:
        raise _NotABarError
    if ts % _HOUR or not 0 <= ts < 2**63 or not 0 <= volume < 2**63:
        raise _NotABarError
    start = _EPOCH + dt.timedelta(seconds=ts // 10**9)
    if symbol is None:
        named = {name for d0, d1, name in names.get(instrument, []) if d0 <= start.date() < d1}
        if len(named) != 1:
            raise _NotABarError
        [symbol] = named
    if not isinstance(symbol, str) or not _SYMBOL.fullmatch(symbol):
        raise _NotABarError
    known = [price for price in prices if price is not None]
    if len(known) != 4:
        raise _NotABarError
    o, h, low, c = known
    if not low <= min(o, c) <= max(o, c) <= h:
        raise _NotABarError
    if symbol.startswith("ZL") and any(price % _TICK for price in known):
        raise _NotABarError
    return Row(symbol, start, *(float(price) for price in known), volume, instrument, publisher)
