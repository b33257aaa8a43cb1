"""Cut a source into pieces of whole records, and verify the structure of its format on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cbi_assets.drive.batch import Piece
from cbi_assets.drive.canonical import FileContext
from cbi_assets.drive.dbn_header import MAX_HEADER, dbn_header_length, dbn_metadata
from cbi_assets.drive.formats import BAR_COLUMNS, FileFormat
from cbi_assets.drive.grammar import cut_symbols
from cbi_assets.drive.lookalikes import UTF8_MARK
from cbi_assets.drive.mappings import mappings_of_metadata
from cbi_assets.drive.parquet_limits import open_parquet
from cbi_assets.drive.records import dbn_records
from cbi_assets.drive.streams import (
    DOWNLOAD_AGAIN,
    MAX_LINE,
    SourceStream,
    decompress,
    line_blocks,
)
from cbi_assets.errors import SourceError

BLOCK_BYTES = 8 << 20
_RECORDS = 131_072
_LINE_BYTES = 100


@dataclass(frozen=True)
class Part:
    """A piece, its file's context and its size in memory."""

    context: FileContext
    piece: Piece
    nbytes: int


def pieces_of(
    file_format: FileFormat,
    context: FileContext,
    source: SourceStream,
    parquet_copy: Path | None = None,
) -> Iterator[Part]:
    """Yield all records of a source, in order. Raises SourceError if its structure is damaged."""
    if parquet_copy is not None:
        return _parquet_pieces(context, parquet_copy)
    chunks = source.chunks()
    if file_format.compression == "zstd":
        chunks = decompress(chunks)
    if file_format.encoding == "dbn":
        return _dbn_pieces(context, chunks)
    return _text_pieces(context, chunks, has_header=file_format.encoding == "csv")


def _dbn_pieces(context: FileContext, chunks: Iterator[bytes]) -> Iterator[Part]:
    head = read_dbn_header(chunks)
    metadata = dbn_metadata(head)
    if metadata.mappings:
        context = replace(context, mappings=mappings_of_metadata(metadata.mappings))
    dtype = dbn_records(bool(metadata.ts_out))
    first = 1
    for block in _blocks(head[dbn_header_length(head) :], chunks, dtype.itemsize):
        if len(block) % dtype.itemsize:
            cut = first + len(block) // dtype.itemsize
            raise SourceError(f"truncated: it ends inside record {cut:,}", remedy=DOWNLOAD_AGAIN)
        records = np.frombuffer(block, dtype=dtype)
        _check_lengths(records, first)
        yield Part(context, Piece(context.file_no, first, len(records), records), len(block))
        first += len(records)


def _blocks(rest: bytes, chunks: Iterator[bytes], itemsize: int) -> Iterator[bytes]:
    """Join chunks into blocks of whole records; only the last block can end inside a record."""
    parts, nbytes = [rest], len(rest)
    for chunk in chunks:
        parts.append(chunk)
        nbytes += len(chunk)
        if nbytes >= _RECORDS * itemsize:
            block = b"".join(parts)
            end = nbytes - nbytes % itemsize
            yield block[:end]
            parts, nbytes = [block[end:]], nbytes - end
    if nbytes:
        yield b"".join(parts)


def _check_lengths(records: npt.NDArray[Any], first: int) -> None:
    itemsize = records.dtype.itemsize
    wrong = np.flatnonzero(records["length"] != itemsize // 4)
    if wrong.size:
        nbytes = int(records["length"][wrong[0]]) * 4  # DBN counts lengths in 4-byte words
        raise SourceError(
            f"damaged DBN: record {first + int(wrong[0]):,} is {nbytes} bytes long, "
            f"a bar is {itemsize}",
            remedy=DOWNLOAD_AGAIN,
        )


def read_dbn_header(chunks: Iterator[bytes]) -> bytes:
    """Return bytes from the start until they contain the whole DBN header, or all there are."""
    head = bytearray()
    for chunk in chunks:
        head += chunk
        if len(head) >= 8 and len(head) >= min(dbn_header_length(head), MAX_HEADER):
            break
    return bytes(head)


def _text_pieces(context: FileContext, chunks: Iterator[bytes], has_header: bool) -> Iterator[Part]:
    first = 1
    for n, block in enumerate(line_blocks(chunks, BLOCK_BYTES)):
        if n == 0:
            block = block.removeprefix(UTF8_MARK)
        if n == 0 and has_header:
            first = 2
            block = block[block.index(b"\n") + 1 :]
        ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n")) + 1
        _check_line_lengths(ends, first)
        start = 0
        for at in range(0, len(ends), _RECORDS):
            lines = min(_RECORDS, len(ends) - at)
            end = int(ends[at + lines - 1])
            text = block[start:end]
            # A short line takes as much memory as a full one once it is decoded.
            nbytes = max(len(text), lines * _LINE_BYTES)
            yield Part(context, Piece(context.file_no, first, lines, text), nbytes)
            first, start = first + lines, end


def _check_line_lengths(ends: npt.NDArray[Any], first: int) -> None:
    lengths = np.diff(ends, prepend=0)
    long = np.flatnonzero(lengths > MAX_LINE)
    if long.size:
        raise SourceError(
            f"line {first + int(long[0]):,} is longer than {MAX_LINE >> 10} KiB: not a record",
            remedy=DOWNLOAD_AGAIN,
        )


def _parquet_pieces(context: FileContext, copy: Path) -> Iterator[Part]:
    columns = [*BAR_COLUMNS, "symbol"]
    first = 1
    with open_parquet(copy) as parquet:
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
                raise SourceError(f"damaged Parquet ({reason})", remedy=DOWNLOAD_AGAIN) from None
            table = pa.Table.from_batches([_cut_symbols(batch)])
            piece = Piece(context.file_no, first, table.num_rows, table)
            yield Part(context, piece, max(table.nbytes, 1))
            first += table.num_rows
        if first - 1 != parquet.metadata.num_rows:
            raise SourceError("damaged Parquet (records are missing)", remedy=DOWNLOAD_AGAIN)


def _cut_symbols(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch with its symbols cut: a dictionary may repeat a long one in each record."""
    at = batch.schema.get_field_index("symbol")
    return batch if at < 0 else batch.set_column(at, "symbol", cut_symbols(batch.column(at)))
