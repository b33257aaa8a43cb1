"""Tell what a file is from its first bytes, never from its name or folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import databento_dbn

from cbi_assets.drive.streams import CHUNK, ZSTD_MAGIC, SourceStream, decompress
from cbi_assets.errors import SourceError
from cbi_assets.market.bars import PRICES, RTYPES, timeframe_of

Encoding = Literal["dbn", "json", "csv", "parquet"]
Compression = Literal["none", "zstd"]

BAR_COLUMNS = (
    "ts_event",
    "rtype",
    "publisher_id",
    "instrument_id",
    "open",
    "high",
    "low",
    "close",
    "volume",
)
"""The columns of a bar in Databento's CSV and Parquet; `symbol` may follow."""

FIRST_RECORDS = 20
"""How many records are tried for one that can be read, so that a bad first one does not decide."""

MAX_HEADER = 256 << 20


@dataclass(frozen=True)
class TextShape:
    """The form of a text file's records: its columns (CSV) and what is pretty-printed."""

    columns: tuple[str, ...]
    pretty_px: bool
    pretty_ts: bool
    has_symbol: bool


@dataclass(frozen=True)
class Bars:
    """A file of bars: how it is written and what its own content says it holds."""

    encoding: Encoding
    compression: Compression
    schema: str
    rtype: int
    dataset: str | None = None
    publisher_id: int | None = None
    shape: TextShape | None = None


@dataclass(frozen=True)
class NotBars:
    """A file that cannot load, and why. `verdict` is `foreign`, `refused`, `zip` or `other`."""

    verdict: Literal["foreign", "refused", "zip", "other"]
    reason: str
    encoding: str = ""
    compression: Compression = "none"
    schema: str | None = None
    dataset: str | None = None


@cache
def _publisher_datasets() -> dict[int, str]:
    # half a second, with the whole client behind it; only a text without metadata.json needs it
    from databento.common.publishers import Publisher

    return {publisher.to_int(): publisher.dataset.value for publisher in Publisher}


def dataset_of_publisher(publisher_id: int) -> str | None:
    """The dataset that a publisher id belongs to, by Databento's own list."""
    return _publisher_datasets().get(publisher_id)


def sniff_source(source: SourceStream) -> Bars | NotBars:
    """Tell a source's kind from its first chunk, or from all of a long DBN header."""
    head = source.head()
    if head.startswith(b"DBN") and len(head) >= 8:
        head = source.head(min(dbn_header_length(head), MAX_HEADER))
    return sniff(head)


def sniff(head: bytes) -> Bars | NotBars:
    """Tell a file's kind from its first bytes (up to a mebibyte of them)."""
    if not head:
        return NotBars("refused", "the file is empty. Fetch it again.")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return NotBars("zip", "a zip", "zip")
    if head.startswith(b"PAR1"):
        return NotBars("other", "Parquet", "parquet")
    compression: Compression = "none"
    if head.startswith(ZSTD_MAGIC):
        compression = "zstd"
        try:
            head = _decompressed(head)
        except SourceError as error:
            return NotBars("refused", str(error), compression=compression)
        if not head:
            return NotBars("refused", "the file is empty. Fetch it again.", compression="zstd")
    if head.startswith(b"DBN"):
        return _sniff_dbn(head, compression)
    if head.lstrip()[:1] in (b"{", b"["):
        return _sniff_json(head, compression)
    return _sniff_csv(head, compression)


def _decompressed(head: bytes) -> bytes:
    """What the first bytes of zstd frames hold. Raises SourceError where they give nothing."""
    parts: list[bytes] = []
    try:
        for part in decompress(iter([head])):
            parts.append(part)
            if sum(map(len, parts)) >= CHUNK:
                break
    except SourceError:
        if not parts:
            raise
    return b"".join(parts)


def dbn_metadata(head: bytes) -> databento_dbn.Metadata:
    """Decode a DBN header. Raises SourceError when `head` does not hold a whole valid one."""
    length = dbn_header_length(head)
    if len(head) < length:
        raise SourceError("truncated: it ends inside the DBN header. Fetch the file again.")
    try:
        return databento_dbn.Metadata.decode(head[:length])
    except databento_dbn.DBNError as error:
        raise SourceError(f"unreadable DBN header ({error}).") from None


def dbn_header_length(head: bytes) -> int:
    """The length in bytes of a DBN header, from its first 8 bytes."""
    return 8 + int.from_bytes(head[4:8], "little")


def _sniff_dbn(head: bytes, compression: Compression) -> Bars | NotBars:
    try:
        metadata = dbn_metadata(head)
    except SourceError as error:
        return NotBars("refused", str(error), "dbn", compression)
    schema = None if metadata.schema is None else str(metadata.schema)
    if schema is None:
        reason = "records of several schemas (a live capture); only ohlcv-1d, -1h and -1m load"
        return NotBars("foreign", reason, "dbn", compression, dataset=metadata.dataset)
    rtype = next((number for number, name in RTYPES.items() if name == schema), None)
    if rtype is None or timeframe_of(schema) is None:
        return _foreign_schema(schema, "dbn", compression, metadata.dataset)
    return Bars("dbn", compression, schema, rtype, dataset=metadata.dataset)


def _sniff_json(head: bytes, compression: Compression) -> Bars | NotBars:
    undecided: Bars | NotBars | None = None
    for line in head.split(b"\n", FIRST_RECORDS)[:FIRST_RECORDS]:
        try:
            record = json.loads(line)
            header = record["hd"]
            rtype, publisher_id = int(header["rtype"]), int(header["publisher_id"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue
        schema = RTYPES.get(rtype)
        if schema is None or timeframe_of(schema) is None:
            return _foreign_schema(
                schema or _rtype_name(rtype),
                "json",
                compression,
                dataset_of_publisher(publisher_id),
            )
        pretty_px = _is_pretty(record.get(name) for name in PRICES)
        shape = TextShape(
            columns=(),
            pretty_px=pretty_px is not False,
            pretty_ts="T" in str(header.get("ts_event")),
            has_symbol=isinstance(record.get("symbol"), str),
        )
        kind = Bars("json", compression, schema, rtype, None, publisher_id, shape)
        if pretty_px is not None:
            return kind
        undecided = undecided or kind
    return undecided or NotBars("other", "JSON, but not Databento's records", "json", compression)


def _sniff_csv(head: bytes, compression: Compression) -> Bars | NotBars:
    lines = head.split(b"\n", FIRST_RECORDS + 1)[: FIRST_RECORDS + 1]
    rows = [_csv_values(line) for line in lines]
    columns = tuple(rows[0])
    if len(set(columns) & set(BAR_COLUMNS)) < 3:
        return NotBars("other", "not a format of Databento's")
    missing = [name for name in BAR_COLUMNS if name not in columns]
    undecided: Bars | None = None
    for row in rows[1:]:
        if len(row) != len(columns):
            continue
        first = dict(zip(columns, row, strict=True))
        try:
            rtype, publisher_id = int(first["rtype"]), int(first["publisher_id"])
        except (KeyError, ValueError):
            continue
        schema = RTYPES.get(rtype)
        if schema is None or timeframe_of(schema) is None:
            return _foreign_schema(
                schema or _rtype_name(rtype), "csv", compression, dataset_of_publisher(publisher_id)
            )
        if missing:
            break
        pretty_px = _is_pretty(first[name] for name in PRICES)
        shape = TextShape(
            columns=columns,
            pretty_px=pretty_px is not False,
            pretty_ts="T" in first["ts_event"],
            has_symbol=bool(first.get("symbol")),
        )
        kind = Bars("csv", compression, schema, rtype, None, publisher_id, shape)
        if pretty_px is not None:
            return kind
        undecided = undecided or kind
    if missing:
        names = ", ".join(missing)
        return NotBars(
            "refused", f"the CSV has no column {names}. Fetch the file again.", "csv", compression
        )
    return undecided or NotBars(
        "refused", "a CSV header without a record that can be read.", "csv", compression
    )


def _is_pretty(prices: Iterable[object]) -> bool | None:
    """Whether a record's prices are decimals; None where they do not agree or none is there."""
    forms = {"." in str(price) for price in prices if price not in (None, "")}
    return forms.pop() if len(forms) == 1 else None


def _csv_values(line: bytes) -> list[str]:
    try:
        return next(csv.reader([line.decode("utf-8", errors="replace").rstrip("\r")]), [])
    except csv.Error:
        return []


def _foreign_schema(
    schema: str, encoding: str, compression: Compression, dataset: str | None
) -> NotBars:
    reason = f"schema {schema}; only ohlcv-1d, ohlcv-1h and ohlcv-1m load"
    return NotBars("foreign", reason, encoding, compression, schema, dataset)


def _rtype_name(rtype: int) -> str:
    try:
        return str(databento_dbn.RType.from_int(rtype))
    except (ValueError, databento_dbn.DBNError):
        return f"of rtype {rtype}"
