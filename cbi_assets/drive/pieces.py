"""Cut one source into pieces of whole records, holding its structure against its format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from cbi_assets.drive.canonical import FileContext
from cbi_assets.drive.formats import (
    BAR_COLUMNS,
    Bars,
    NotBars,
    dataset_of_publisher,
    dbn_header_length,
    dbn_metadata,
)
from cbi_assets.drive.records import Piece, dbn_records
from cbi_assets.drive.sidecars import mappings_of_metadata
from cbi_assets.drive.streams import SourceStream, decompress, line_blocks
from cbi_assets.errors import SourceError
from cbi_assets.market.bars import PRICES, RTYPES, timeframe_of

BLOCK_BYTES = 8 << 20
_RECORDS = 131_072


@dataclass(frozen=True)
class Part:
    """A piece, its file's context and its size in memory."""

    context: FileContext
    piece: Piece
    nbytes: int


def pieces_of(
    bars: Bars, context: FileContext, source: SourceStream, spooled: Path | None
) -> Iterator[Part]:
    """All records of a source, in order. Raises SourceError where its structure is broken."""
    if bars.encoding == "dbn":
        return _dbn_pieces(bars, context, source)
    if spooled is not None:
        return _parquet_pieces(context, spooled)
    return _text_pieces(bars, context, source)


def _dbn_pieces(bars: Bars, context: FileContext, source: SourceStream) -> Iterator[Part]:
    chunks = source.chunks()
    if bars.compression == "zstd":
        chunks = decompress(chunks)
    head = _header(chunks)
    metadata = dbn_metadata(head)
    if metadata.mappings:
        context = replace(context, mappings=mappings_of_metadata(metadata.mappings))
    dtype = dbn_records(bool(metadata.ts_out))
    rest = head[dbn_header_length(head) :]
    first = 1
    parts, held = [rest], len(rest)
    target = _RECORDS * dtype.itemsize

    def piece(block: bytes) -> Piece:
        records = np.frombuffer(block, dtype=dtype)
        if (records["length"] != dtype.itemsize // 4).any():
            raise SourceError("records of other lengths than a bar's. Fetch the file again.")
        return Piece(context.file_no, first, len(records), records)

    for chunk in chunks:
        parts.append(chunk)
        held += len(chunk)
        if held >= target:
            block = b"".join(parts)
            whole = len(block) - len(block) % dtype.itemsize
            found = piece(block[:whole])
            yield Part(context, found, whole)
            first += found.count
            parts, held = [block[whole:]], held - whole
    block = b"".join(parts)
    if len(block) % dtype.itemsize:
        raise SourceError(
            f"truncated: it ends inside record {first + len(block) // dtype.itemsize}. "
            "Fetch the file again."
        )
    if block:
        yield Part(context, piece(block), len(block))


def _text_pieces(bars: Bars, context: FileContext, source: SourceStream) -> Iterator[Part]:
    chunks = source.chunks()
    if bars.compression == "zstd":
        chunks = decompress(chunks)
    first = 1
    for block in line_blocks(chunks, BLOCK_BYTES):
        if first == 1 and bars.encoding == "csv":
            first = 2
            block = block[block.index(b"\n") + 1 :]
        # NumPy lets go of the interpreter's lock here, bytes.count does not
        lines = int(np.count_nonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n")))
        if lines:
            yield Part(context, Piece(context.file_no, first, lines, block), len(block))
        first += lines


def _parquet_pieces(context: FileContext, spooled: Path) -> Iterator[Part]:
    columns = [*BAR_COLUMNS, "symbol"]
    first = 1
    with pq.ParquetFile(spooled) as parquet:
        present = [name for name in columns if name in parquet.schema_arrow.names]
        batches = parquet.iter_batches(batch_size=_RECORDS, columns=present)
        while True:
            try:
                batch = next(batches)
                batch.validate(full=True)
            except StopIteration:
                break
            except (pa.ArrowException, OSError) as error:
                reason = str(error).partition("\n")[0]
                raise SourceError(f"damaged Parquet ({reason}). Fetch the file again.") from None
            table = pa.Table.from_batches([batch])
            piece = Piece(context.file_no, first, table.num_rows, table)
            yield Part(context, piece, max(table.nbytes, 1))
            first += table.num_rows
        if first - 1 != parquet.metadata.num_rows:
            raise SourceError("damaged Parquet (records are missing). Fetch the file again.")


_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
_PARQUET_TYPES: dict[str, tuple[Callable[[pa.DataType], bool], ...]] = {
    "ts_event": (pa.types.is_timestamp, pa.types.is_integer),
    **dict.fromkeys(PRICES, _NUMBERS),
}


def sniff_parquet(path: Path) -> Bars | NotBars:
    """Tell what a Parquet file holds: Databento's bars, or why it cannot load."""
    with pq.ParquetFile(path) as parquet:
        types = parquet.schema_arrow
        names = types.names
        rows = parquet.metadata.num_rows
        if not {"rtype", "publisher_id", "instrument_id"} <= set(names):
            shown = ", ".join(names[:6])
            return NotBars(
                "other", f"Parquet of another source ({rows} rows: {shown} …)", "parquet"
            )
        if rows == 0:
            return NotBars("refused", "Parquet without a record.", "parquet")
        head = next(parquet.iter_batches(batch_size=1, columns=["rtype", "publisher_id"]), None)
        if head is None or not head.num_rows:
            return NotBars("refused", "damaged Parquet: no record to read.", "parquet")
        rtype, publisher_id = (head.column(i)[0].as_py() for i in (0, 1))
    schema = RTYPES.get(rtype)
    if schema is None or timeframe_of(schema) is None:
        dataset = dataset_of_publisher(publisher_id)
        shown = schema or f"of rtype {rtype}"
        reason = f"schema {shown}; only ohlcv-1d, ohlcv-1h and ohlcv-1m load"
        return NotBars("foreign", reason, "parquet", schema=schema, dataset=dataset)
    if missing := [name for name in BAR_COLUMNS if name not in names]:
        return NotBars("refused", f"the Parquet has no column {', '.join(missing)}.", "parquet")
    for name in BAR_COLUMNS:
        held = types.field(name).type
        if not any(fits(held) for fits in _PARQUET_TYPES.get(name, (pa.types.is_integer,))):
            reason = f"column {name} of the Parquet is {held}, which is not Databento's."
            return NotBars("refused", reason, "parquet")
    return Bars("parquet", "none", schema, rtype, None, publisher_id)


def sibling_mappings(files: Iterable[Path]) -> pl.DataFrame | None:
    """The symbol mappings in the headers of the DBN files beside a text that has none."""
    found: list[pl.DataFrame] = []
    for file in files:
        if ".dbn" in file.name:
            try:
                found.append(_mappings_of(file))
            except (OSError, SourceError):
                continue  # that file is refused where it is read for itself
    return pl.concat(found).unique() if found else None


def _mappings_of(file: Path) -> pl.DataFrame:
    with open(file, "rb") as raw:
        chunks = iter(lambda: raw.read(1 << 16), b"")
        if file.name.endswith(".zst"):
            chunks = decompress(chunks)
        return mappings_of_metadata(dbn_metadata(_header(chunks)).mappings)


def _header(chunks: Iterator[bytes]) -> bytes:
    """Bytes from the start until they hold the whole DBN header."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= 8 and len(head) >= dbn_header_length(head):
            break
    return head
