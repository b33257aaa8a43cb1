"""Open a Parquet file only if reading its columns takes a bounded amount of memory.

Its footer may state anything. The header of each page states what the reader allocates for it, so
these are read first, without decompressing a page.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from cbi_assets.drive.streams import DOWNLOAD_AGAIN, FREE_BYTES, MAX_RATIO
from cbi_assets.errors import SourceError

MAX_FOOTER: Final = 16 << 20
MAX_PAGE: Final = 64 << 20
_PAGE_HEADER: Final = 64 << 10
_ROW_BYTES: Final = 56
_DELTA_BYTE_ARRAY: Final = 7
"""An encoding whose few bytes may stand for any number of long values."""

_BUFFER: Final = 1 << 20
_END: Final = b"PAR1"


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file, column by column and page by page.

    Raises SourceError if its footer is longer than any genuine one.
    """
    with path.open("rb") as raw:
        size = raw.seek(0, os.SEEK_END)
        raw.seek(max(size - 8, 0))
        end = raw.read(8)
    if end.endswith(_END) and int.from_bytes(end[:4], "little") > MAX_FOOTER:
        raise SourceError(
            f"its footer is longer than {MAX_FOOTER >> 20} MiB", remedy=DOWNLOAD_AGAIN
        )
    metadata = pq.read_metadata(path)
    return pq.ParquetFile(
        path,
        metadata=metadata,
        pre_buffer=False,  # By default all columns of all row groups are read ahead.
        buffer_size=_BUFFER,
        read_dictionary=[name for name in ("symbol",) if name in metadata.schema.names],
    )


def check_pages(path: Path, parquet: pq.ParquetFile, columns: Collection[str]) -> None:
    """Raise SourceError if these columns expand beyond reason, in a page or altogether."""
    metadata, size = parquet.metadata, path.stat().st_size
    limit = max(FREE_BYTES, MAX_RATIO * size)
    stored, expanded = 0, max(metadata.num_rows, 0) * _ROW_BYTES
    with path.open("rb") as raw:
        for group in range(metadata.num_row_groups):
            for n in range(metadata.num_columns):
                chunk = metadata.row_group(group).column(n)
                if chunk.path_in_schema.partition(".")[0] not in columns or expanded > limit:
                    continue
                stored += chunk.total_compressed_size
                if stored > size:
                    raise SourceError(
                        "damaged Parquet (columns that overlap)", remedy=DOWNLOAD_AGAIN
                    )
                expanded += _check_chunk(raw, chunk)
    if expanded > limit:
        raise SourceError(
            f"expands to more than {MAX_RATIO:,} times its size: not bars", remedy=DOWNLOAD_AGAIN
        )


def _check_chunk(raw: BufferedReader, chunk: pq.ColumnChunkMetaData) -> int:
    """Return how many bytes a column of a row group takes decompressed."""
    starts = (chunk.data_page_offset, chunk.dictionary_page_offset)
    at = min(start for start in starts if start)
    end = at + chunk.total_compressed_size
    total = 0
    while at < end:
        raw.seek(at)
        data = raw.read(_PAGE_HEADER)
        try:
            header, nbytes = _read_struct(data, 0, depth=0)
            expanded, stored = header[2], header[3]
        except (IndexError, KeyError) as error:
            raise SourceError("damaged Parquet (a page's header)", remedy=DOWNLOAD_AGAIN) from error
        encodings = {header.get(5, {}).get(2), header.get(8, {}).get(4)}
        if stored < 0 or expanded < 0 or expanded > MAX_PAGE:
            raise SourceError(
                f"damaged Parquet (a page of {expanded:,} bytes)", remedy=DOWNLOAD_AGAIN
            )
        if _DELTA_BYTE_ARRAY in encodings:
            raise SourceError(
                f"column {chunk.path_in_schema} of the Parquet is encoded as DELTA_BYTE_ARRAY, "
                "which is not read",
                remedy="Write it again with the encoding PLAIN.",
            )
        total += expanded
        at += nbytes + stored
    return total


# Thrift's compact protocol, as far as page headers use it: {field: integer or struct}.
_BOOLS, _BYTE, _INTS, _DOUBLE, _BINARY, _STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, 12
_MAX_NESTING: Final = 8


def _read_struct(data: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    fields: dict[int, Any] = {}
    number = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = _read_int(data, at)
        fields[number], at = _read_value(data, at, head & 15, depth)
    return fields, at + 1


def _read_value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if depth > _MAX_NESTING:
        raise KeyError(kind)
    if kind in _BOOLS:
        return kind == 1, at
    if kind in _INTS:
        return _read_int(data, at)
    if kind == _STRUCT:
        return _read_struct(data, at, depth + 1)
    if kind == _BINARY:
        length, at = _read_varint(data, at)
        return None, at + length
    if kind in (_BYTE, _DOUBLE):
        return None, at + (1 if kind == _BYTE else 8)
    raise KeyError(kind)  # A page's header has no list and no map.


def _read_int(data: bytes, at: int) -> tuple[int, int]:
    number, at = _read_varint(data, at)
    return (number >> 1) ^ -(number & 1), at


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
        if shift > 63:
            raise KeyError(shift)
