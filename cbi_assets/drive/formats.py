"""Detect a file's format from its first bytes, never from its name or folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

import databento_dbn
import pyarrow as pa
import pyarrow.parquet as pq

from cbi_assets.drive.dbn_header import MAX_HEADER, dbn_header_length, dbn_metadata
from cbi_assets.drive.first_records import (
    FIRST_RECORDS,
    FirstRecord,
    consensus,
    first_dbn_records,
    first_record,
    is_decided,
    schema_of_bars,
)
from cbi_assets.drive.grammar import first_repeated, quoted
from cbi_assets.drive.lookalikes import UTF8_MARK, unread_format
from cbi_assets.drive.parquet_limits import check_pages, open_parquet
from cbi_assets.drive.parquet_types import wrong_type
from cbi_assets.drive.publishers import DATASETS
from cbi_assets.drive.streams import (
    CHUNK,
    DOWNLOAD_AGAIN,
    ZSTD_MAGIC,
    SourceStream,
    decompress,
    is_skippable,
)
from cbi_assets.errors import SourceError
from cbi_assets.formatting import shorten
from cbi_assets.market.bars import RTYPES, Timeframe, timeframe_of

_RECORD_BYTES: Final = 64
"""A DBN bar, which is needed besides the header; a chunk has thousands."""

_FIRST_BYTES: Final = FIRST_RECORDS * 4 * 255
"""The most that the first DBN records of any schema take; a record states its length in a byte."""

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


@dataclass(frozen=True)
class TextFormat:
    """How a text file writes its records: its columns (CSV) and what is pretty-printed.

    `is_frame`: pandas or Polars wrote it, from Databento's `to_df`.
    """

    columns: tuple[str, ...]
    pretty_px: bool
    pretty_ts: bool
    has_symbol: bool
    is_frame: bool = False


@dataclass(frozen=True)
class FileFormat:
    """The format of a file of bars, and what its own content says about the bars.

    `header` is that of a DBN file; formats are compared without it.
    """

    encoding: Encoding
    compression: Compression
    schema: str
    rtype: int
    dataset: str | None = None
    publisher_id: int | None = None
    text: TextFormat | None = None
    header: databento_dbn.Metadata | None = field(default=None, compare=False, repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether it is a text without a record, which shows nothing of how records are written."""
        return self.text is None and self.encoding in ("json", "csv")

    @property
    def timeframe(self) -> Timeframe:
        """The timeframe of the bars."""
        timeframe = timeframe_of(self.schema)
        assert timeframe is not None  # a file of another schema is Rejected
        return timeframe


@dataclass(frozen=True)
class Rejected:
    """A file that does not load, and why."""

    verdict: Literal["foreign", "refused", "zip", "other"]
    reason: str
    encoding: str = ""
    compression: Compression = "none"
    schema: str | None = None
    dataset: str | None = None
    is_empty: bool = False  # well-formed as far as it goes, but without a record
    header: databento_dbn.Metadata | None = field(default=None, compare=False, repr=False)


Detected = FileFormat | Rejected

DEMO_DATASET: Final = "DEMO.SYNTH"
"""The dataset of `cbi demo`, whose records have a publisher of another one."""

ZIP: Final = Rejected("zip", "a zip", "zip")
UNDETECTED: Final = Rejected("refused", "")
PARQUET: Final = Rejected("other", "Parquet", "parquet")
"""A Parquet file before `sniff_parquet` has read the footer at its end."""


def dataset_of_publisher(publisher_id: int) -> str | None:
    """Return the dataset that Databento lists for a publisher id, None for an unknown one."""
    return DATASETS.get(publisher_id)


def is_dataset_of_databento(name: str) -> bool:
    """Whether Databento lists a dataset. It does not list the demo's."""
    return name in DATASETS.values()


def sniff_source(source: SourceStream) -> Detected:
    """Detect a source's format from its first chunk, or from a DBN header and its first records."""
    head = source.head()
    if head.startswith(b"DBN") and len(head) >= 8:
        head = source.head(_dbn_head_length(head))
    start = 0
    while is_skippable(head[start:]) and start < MAX_HEADER:
        start += 8 + int.from_bytes(head[start + 4 : start + 8], "little")
        head = source.head(min(start, MAX_HEADER) + CHUNK)
    return sniff(head)


def sniff(head: bytes) -> Detected:
    """Detect a file's format from its first bytes, up to a mebibyte of them.

    What starts like bars or like an archive and cannot be read is refused, not ignored.
    """
    if not head:
        return replace(_refused("the file is empty"), is_empty=True)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return ZIP
    if head.startswith(b"PAR1"):
        return PARQUET
    compression: Compression = "none"
    starts_like = ""
    if head.startswith(ZSTD_MAGIC) or is_skippable(head):
        compression, starts_like = "zstd", "zstd"
        try:
            head = _decompressed_head(head)
        except SourceError as error:
            return Rejected("refused", str(error), compression=compression)
        if not head:
            return replace(_refused("the file is empty", "", compression), is_empty=True)
    if head.startswith(UTF8_MARK):
        starts_like = starts_like or "a text with a byte order mark"
        head = head.removeprefix(UTF8_MARK)
    found = _sniff_content(head, compression)
    if isinstance(found, FileFormat) or found.verdict != "other":
        return found
    if why := unread_format(head, BAR_COLUMNS):
        return replace(found, verdict="refused", reason=why)
    if starts_like:
        return replace(found, verdict="refused", reason=f"{starts_like}, but not of bars")
    return found


def _sniff_content(head: bytes, compression: Compression) -> Detected:
    if head.startswith(b"DBN"):
        return _sniff_dbn(head, compression)
    if head.lstrip()[:1] in (b"{", b"["):
        return _sniff_json(head, compression)
    return _sniff_csv(head, compression)


def _dbn_head_length(head: bytes | bytearray) -> int:
    return min(dbn_header_length(head), MAX_HEADER) + _RECORD_BYTES


def _decompressed_head(head: bytes) -> bytes:
    """Decompress the first zstd frames. Raises SourceError if they yield nothing."""
    out = bytearray()
    wanted = CHUNK
    try:
        for part in decompress(iter([head])):
            out += part
            if len(out) >= 8 and out.startswith(b"DBN"):
                wanted = min(dbn_header_length(out), MAX_HEADER) + _FIRST_BYTES
            if len(out) >= wanted:
                break
    except SourceError:
        if not out:
            raise
    return bytes(out)


def _sniff_dbn(head: bytes, compression: Compression) -> Detected:
    try:
        metadata = dbn_metadata(head)
    except SourceError as error:
        return Rejected("refused", str(error), "dbn", compression)
    schema = None if metadata.schema is None else str(metadata.schema)
    if schema is None:
        reason = "records of several schemas (a live capture); only ohlcv-1d, -1h and -1m load"
        return Rejected(
            "foreign", reason, "dbn", compression, dataset=metadata.dataset, header=metadata
        )
    rtype = next((number for number, name in RTYPES.items() if name == schema), None)
    firsts = first_dbn_records(head[dbn_header_length(head) :])
    if rtype is None or timeframe_of(schema) is None:
        if of_bars := firsts and schema_of_bars(consensus(firsts).rtype):
            problem = f"damaged DBN: its header says {schema}, its records are of {of_bars}"
            return _refused(problem, "dbn", compression)
        return replace(_foreign(schema, "dbn", compression, metadata.dataset), header=metadata)
    publisher_id = consensus(firsts).publisher_id if firsts else None
    return FileFormat(
        "dbn", compression, schema, rtype, metadata.dataset, publisher_id, header=metadata
    )


def _sniff_json(head: bytes, compression: Compression) -> Detected:
    firsts: list[FirstRecord] = []
    for line in head.split(b"\n", FIRST_RECORDS)[:FIRST_RECORDS]:
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            record = json.loads(line)
            firsts.append(first_record(record["hd"] | record))
        if is_decided(firsts):
            break
    if not firsts:
        return Rejected("other", "JSON, but not Databento's records", "json", compression)
    return _text_format(firsts, "json", compression)


def _sniff_csv(head: bytes, compression: Compression) -> Detected:
    lines = head.split(b"\n", FIRST_RECORDS + 1)[: FIRST_RECORDS + 1]
    rows = [_csv_values(line) for line in lines]
    columns = tuple(rows[0])
    if len(set(columns) & set(BAR_COLUMNS)) < 3:
        return Rejected("other", "not a format of Databento's")
    if (twice := first_repeated(columns)) is not None:
        return _refused(f"the CSV has the column {quoted(twice)} twice", "csv", compression)
    firsts: list[FirstRecord] = []
    for row in rows[1:]:
        with suppress(ValueError, KeyError):
            firsts.append(first_record(dict(zip(columns, row, strict=True))))
    found = _text_format(firsts, "csv", compression, columns) if firsts else None
    if isinstance(found, Rejected):
        return found
    if missing := [name for name in BAR_COLUMNS if name not in columns]:
        return _refused(f"the CSV has no column {', '.join(missing)}", "csv", compression)
    if found:
        return found
    rejected = _refused("a CSV header without a readable record", "csv", compression)
    return replace(rejected, is_empty=b"\n" not in head.strip())


def _text_format(
    firsts: Sequence[FirstRecord],
    encoding: Literal["json", "csv"],
    compression: Compression,
    columns: tuple[str, ...] = (),
) -> Detected:
    most = consensus(firsts)
    schema = schema_of_bars(most.rtype)
    if schema is None:
        return _foreign_record(most.rtype, most.publisher_id, encoding, compression)
    text = TextFormat(
        columns,
        most.pretty_px is not False,
        most.pretty_ts,
        most.has_symbol,
        most.is_frame and encoding == "csv",
    )
    return FileFormat(encoding, compression, schema, most.rtype, None, most.publisher_id, text)


def _csv_values(line: bytes) -> list[str]:
    try:
        return next(csv.reader([line.decode("utf-8", errors="replace").rstrip("\r")]), [])
    except csv.Error:
        return []


def sniff_parquet(path: Path) -> Detected:
    """Detect what a Parquet file contains, from its footer and first record."""
    try:
        with open_parquet(path) as parquet:
            return _sniff_parquet(path, parquet)
    except (pa.ArrowException, OSError, ValueError) as error:
        return _refused(f"unreadable Parquet ({str(error).partition('\n')[0]})", "parquet")


def _sniff_parquet(path: Path, parquet: pq.ParquetFile) -> Detected:
    types, rows = parquet.schema_arrow, parquet.metadata.num_rows
    names = types.names
    if not {"rtype", "publisher_id", "instrument_id"} <= set(names):
        first = shorten(", ".join(names[:6]), 200)
        reason = f"Parquet of another source ({rows} rows: {first} …)"
        return Rejected("other", reason, "parquet")
    if (twice := first_repeated(names)) is not None:
        return _refused(f"the Parquet has the column {quoted(twice)} twice", "parquet")
    if rows == 0:
        return replace(_refused("Parquet without a record", "parquet"), is_empty=True)
    columns = ["rtype", "publisher_id"]
    if wrong := wrong_type(types, columns):
        return _refused(wrong, "parquet")
    check_pages(path, parquet, {*BAR_COLUMNS, "symbol"})
    head = next(parquet.iter_batches(batch_size=FIRST_RECORDS, columns=columns), None)
    if head is None or not head.num_rows:
        return _refused("damaged Parquet: its first record is missing", "parquet")
    firsts: list[FirstRecord] = []
    for record in head.to_pylist():
        with suppress(ValueError):
            firsts.append(first_record(record))
    if not firsts:
        return _refused("Parquet without a readable record", "parquet")
    most = consensus(firsts)
    rtype, publisher_id = most.rtype, most.publisher_id
    schema = schema_of_bars(rtype)
    if schema is None:
        return _foreign_record(rtype, publisher_id, "parquet", "none")
    if missing := [name for name in BAR_COLUMNS if name not in names]:
        return _refused(f"the Parquet has no column {', '.join(missing)}", "parquet")
    if wrong := wrong_type(types, [*BAR_COLUMNS, *({"symbol"} & set(names))]):
        return _refused(wrong, "parquet")
    return FileFormat("parquet", "none", schema, rtype, None, publisher_id)


def _refused(problem: str, encoding: str = "", compression: Compression = "none") -> Rejected:
    return Rejected("refused", f"{problem}. {DOWNLOAD_AGAIN}", encoding, compression)


def empty_format(found: Rejected, name: str, schema: str) -> FileFormat | None:
    """Return the format of a file without a record, whose job asked for bars of `schema`.

    None for other schemas, and for a name of another format: an empty DBN file has a header.
    """
    rtype = next((number for number, known in RTYPES.items() if known == schema), None)
    encoding = found.encoding or name.removesuffix(".zst").rpartition(".")[2]
    if rtype is None or timeframe_of(schema) is None:
        return None
    for known in ("json", "csv", "parquet"):
        if encoding == known and (found.encoding or known != "parquet"):
            return FileFormat(known, found.compression, schema, rtype)
    return None


def _foreign_record(
    rtype: int, publisher_id: int, encoding: str, compression: Compression
) -> Rejected:
    schema = RTYPES.get(rtype) or _rtype_name(rtype)
    return _foreign(schema, encoding, compression, dataset_of_publisher(publisher_id))


def _foreign(schema: str, encoding: str, compression: Compression, dataset: str | None) -> Rejected:
    reason = f"schema {schema}; only ohlcv-1d, ohlcv-1h and ohlcv-1m load"
    return Rejected("foreign", reason, encoding, compression, schema, dataset)


def _rtype_name(rtype: int) -> str:
    try:
        return str(databento_dbn.RType.from_int(rtype))
    except (ValueError, databento_dbn.DBNError):
        return f"of rtype {rtype}"
