"""Write the landing zone: records of many files in few canonical Parquet packs.

A lander takes the records of one file after another, decodes them in batches on two threads and
writes packs. A pack counts only once the catalog lists its slices: a killed run leaves packs
without any, and the next run removes them and reads their files again.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pyarrow as pa

from cbi_assets.config.settings import Home
from cbi_assets.drive.batch import Piece
from cbi_assets.drive.canonical import REQUIRED, FileContext, Rules, canonicalise
from cbi_assets.drive.catalog import Catalog, Content, Pack, Slice
from cbi_assets.drive.faults import is_fault_of_file, refused, source_error
from cbi_assets.drive.file_records import FileRecord
from cbi_assets.drive.formats import FileFormat
from cbi_assets.drive.pieces import Part
from cbi_assets.drive.records import decode
from cbi_assets.drive.streams import DOWNLOAD_AGAIN
from cbi_assets.errors import DamagedPackError, SourceError
from cbi_assets.market.bars import Timeframe

BATCH_BYTES = 16 << 20
PACK_RECORDS = 500_000
PACK_BYTES = 128 << 20
MAX_ROOTS, MAX_SYMBOLS = 100_000, 200_000
"""How many a file may have bars of, several times what all exchanges list: each is kept in memory,
with what the checks find out about it.
"""

_IN_FLIGHT = 3
_THREADS = 2


@dataclass(frozen=True)
class _DecodedBatch:
    """Decoded rows, and by file number why a file of the batch must not load."""

    frames: list[pl.DataFrame]
    refused: dict[int, SourceError]


@dataclass(frozen=True)
class _Written:
    """A pack and its slices, except of `crowded` files, which have too many roots or symbols."""

    pack: Pack
    slices: list[Slice]
    symbols: dict[int, set[str]]
    crowded: set[int]


class Lander:
    """Land records in packs under `home.landing`.

    `begin` each file, `add` its records, then `complete` or `abandon` it; `commit` once in a while.
    """

    def __init__(self, home: Home, catalog: Catalog, rules: Rules) -> None:
        self._home = home
        self._catalog = catalog
        self._rules = rules
        self._next_file_no = catalog.next_file_no()
        self._pool = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="decode")
        self._format: FileFormat | None = None
        self._pieces: list[Piece] = []
        self._files: dict[int, FileContext] = {}
        self._batch_bytes = 0
        self._decoding: deque[tuple[Timeframe, Future[_DecodedBatch]]] = deque()
        self._refused: dict[int, SourceError] = {}
        self._packing: dict[Timeframe, list[pl.DataFrame]] = {}
        self._writing: deque[Future[_Written]] = deque()
        self._written: list[Pack] = []
        self._slices: list[Slice] = []
        self._done: list[tuple[Content, FileRecord]] = []
        self._open: set[int] = set()
        self._symbols: dict[int, set[str]] = {}
        self._roots: dict[int, set[str]] = {}

    def begin(self) -> int:
        """Start a file and return its number; numbers follow the order of landing."""
        file_no = self._next_file_no
        self._next_file_no += 1
        self._open.add(file_no)
        return file_no

    def add(self, file_format: FileFormat, part: Part) -> None:
        """Add consecutive records of an open file."""
        if file_format != self._format or self._batch_bytes + part.nbytes > BATCH_BYTES:
            self._submit()
        self._format = file_format
        self._pieces.append(part.piece)
        self._files[part.context.file_no] = part.context
        self._batch_bytes += part.nbytes

    def complete(self, content: Content, record: FileRecord) -> None:
        """Close a file that was added in full and verified; the next commit records it.

        `content.records` still counts lines; blank ones are subtracted once they are decoded.
        """
        self._open.discard(content.file_no)
        self._done.append((content, record))

    def abandon(self, file_no: int) -> None:
        """Close a file without recording it."""
        self._open.discard(file_no)
        self._roots.pop(file_no, None)

    def commit(self) -> dict[str, SourceError]:
        """Write all pending packs and record every completed file in the catalog.

        Returns, by source_file_id, why completed files were refused after all, which only decoding
        shows: a record cannot be decoded, or a JSON key occurs twice. None of their records land.
        """
        self._submit()
        self._collect(0)
        for timeframe in list(self._packing):
            self._write(timeframe)
        self._await_writes(0)
        done = [item for item in self._done if item[0].file_no not in self._refused]
        failed = {
            content.source_file_id: (record, self._refused[content.file_no])
            for content, record in self._done
            if content.file_no in self._refused
        }
        by_file: dict[int, list[Slice]] = {content.file_no: [] for content, _ in done}
        still_open = [s for s in self._slices if s.file_no in self._open]
        for landed in self._slices:
            if landed.file_no in by_file:
                by_file[landed.file_no].append(landed)
        slices = [s for of_file in by_file.values() for s in of_file]
        needed = {s.pack for s in (*slices, *still_open)}
        self._catalog.record(
            files=[record for _, record in done]
            + [refused(record, error) for record, error in failed.values()],
            contents=[self._counted(content, by_file[content.file_no]) for content, _ in done],
            packs=[pack for pack in self._written if pack.pack in needed],
            slices=slices,
        )
        self._slices, self._written, self._done = still_open, [], []
        return {source_file_id: error for source_file_id, (_, error) in failed.items()}

    def _counted(self, content: Content, slices: Sequence[Slice]) -> Content:
        """Return the content of a file with what decoding its records found."""
        records = sum(s.records for s in slices)
        self._roots.pop(content.file_no, None)
        return replace(
            content,
            records=records,
            blank_lines=content.records - records,
            first_ts=min((s.first_ts for s in slices if s.first_ts is not None), default=None),
            last_ts=max((s.last_ts for s in slices if s.last_ts is not None), default=None),
            symbols=tuple(sorted(self._symbols.pop(content.file_no, ()))),
        )

    def close(self) -> None:
        """Stop the decoding threads and discard what was not committed."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        pa.default_memory_pool().release_unused()

    def _submit(self) -> None:
        """Start decoding the current batch."""
        if not self._pieces:
            return
        assert self._format is not None
        job = self._pool.submit(
            _decode_batch, self._format, self._pieces, list(self._files.values()), self._rules
        )
        self._decoding.append((self._format.timeframe, job))
        self._pieces, self._files, self._batch_bytes = [], {}, 0
        self._collect(_IN_FLIGHT - 1)

    def _collect(self, left: int) -> None:
        """Await decoded batches, oldest first, until `left` are running."""
        while len(self._decoding) > left:
            timeframe, job = self._decoding.popleft()
            batch = job.result()
            self._refused = batch.refused | self._refused
            frames = self._packing.setdefault(timeframe, [])
            frames += batch.frames
            nbytes = sum(frame.estimated_size() for frame in frames)
            if sum(frame.height for frame in frames) >= PACK_RECORDS or nbytes >= PACK_BYTES:
                self._write(timeframe)

    def _write(self, timeframe: Timeframe) -> None:
        """Start writing one pack."""
        frames = self._packing.pop(timeframe)
        if not frames:
            return
        self._writing.append(self._pool.submit(self._write_frames, timeframe, frames))
        self._await_writes(_IN_FLIGHT - 1)

    def _await_writes(self, left: int) -> None:
        """Await written packs, oldest first, until `left` are running."""
        while len(self._writing) > left:
            written = self._writing.popleft().result()
            self._written.append(written.pack)
            for piece in written.slices:
                self._roots.setdefault(piece.file_no, set()).add(piece.root)
            for file_no, names in written.symbols.items():
                self._symbols.setdefault(file_no, set()).update(names)
            crowded = {
                n
                for n in written.symbols
                if len(self._roots[n]) > MAX_ROOTS or len(self._symbols[n]) > MAX_SYMBOLS
            }
            for file_no in written.crowded | crowded:
                limits = f"{MAX_ROOTS:,} roots or {MAX_SYMBOLS:,} symbols"
                why = SourceError(f"bars of more than {limits}", remedy=DOWNLOAD_AGAIN)
                self._refused.setdefault(file_no, why)
                self._symbols.pop(file_no, None)
            self._slices += [s for s in written.slices if s.file_no not in self._refused]

    def _write_frames(self, timeframe: Timeframe, frames: list[pl.DataFrame]) -> _Written:
        frame = pl.concat(frames, rechunk=False)
        pack, nbytes = write_pack(self._home.landing, timeframe, frame)
        dated = pl.col("ts_event").filter(pl.col("trade_date").is_not_null())
        counted = frame.group_by("file_no", "root").agg(
            pl.len().alias("records"),
            dated.min().dt.timestamp("us").alias("first_ts"),
            dated.max().dt.timestamp("us").alias("last_ts"),
            pl.col("symbol").unique().alias("symbols"),
        )
        counts = counted.group_by("file_no").agg(pl.len(), pl.col("symbols").list.len().sum())
        is_crowded = (pl.col("len") > MAX_ROOTS) | (pl.col("symbols") > MAX_SYMBOLS)
        crowded = set(counts.filter(is_crowded)["file_no"])
        counted = counted.filter(~pl.col("file_no").is_in(crowded))
        slices: list[Slice] = []
        symbols: dict[int, set[str]] = {}
        for file_no, root, records, first_ts, last_ts, names in counted.iter_rows():
            calendar = self._rules.landed_as(root)
            slices.append(
                Slice(file_no, timeframe, root, calendar, pack, records, first_ts, last_ts)
            )
            symbols.setdefault(file_no, set()).update(name for name in names if name)
        return _Written(Pack(pack, timeframe, frame.height, nbytes), slices, symbols, crowded)


def _decode_batch(
    file_format: FileFormat,
    pieces: list[Piece],
    files: list[FileContext],
    rules: Rules,
) -> _DecodedBatch:
    """Decode a batch, or, if that fails, each of its files alone, so that only one is refused."""
    try:
        decoded = decode(file_format, pieces)
        frame = canonicalise(decoded, file_format.rtype, files, rules)
        return _DecodedBatch([frame], decoded.refused)
    except BaseException as error:
        if not is_fault_of_file(error):
            raise
        if len(files) == 1:
            why = source_error(error, "its records cannot be decoded")
            return _DecodedBatch([], {files[0].file_no: why})
    alone = [
        _decode_batch(file_format, [p for p in pieces if p.file_no == file.file_no], [file], rules)
        for file in files
    ]
    errors = {file_no: error for batch in alone for file_no, error in batch.refused.items()}
    return _DecodedBatch([frame for batch in alone for frame in batch.frames], errors)


def pack_path(landing: Path, timeframe: str, pack: str) -> Path:
    """Return the path of a pack."""
    return landing / f"ohlcv-{timeframe}" / f"{pack}.parquet"


def verify_packs(landing: Path, timeframe: str, packs: Sequence[str]) -> list[Path]:
    """Return the paths of packs, of which each has the bytes that were landed.

    Raises DamagedPackError for one that has not, and removes it: the next survey reads its files
    again.
    """
    paths = [pack_path(landing, timeframe, pack) for pack in packs]
    for pack, path in zip(packs, paths, strict=True):
        if not path.exists() or _sha256(path) != pack:
            path.unlink(missing_ok=True)
            raise DamagedPackError(
                "its bytes are not those that were landed",
                subject=path.relative_to(landing.parent).as_posix(),
                remedy="Run `cbi inventory` with the drive mounted to land its files again; retry.",
            )
    return paths


def _sha256(path: Path) -> str:
    with open(path, "rb") as raw:
        return hashlib.file_digest(raw, "sha256").hexdigest()


def write_pack(landing: Path, timeframe: str, frame: pl.DataFrame) -> tuple[str, int]:
    """Write a frame as a pack, atomically. Return its name (the sha256 of its bytes) and size."""
    folder = landing / f"ohlcv-{timeframe}"
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{threading.get_ident()}.part"
    schema = pa.schema(
        [
            field.with_nullable(field.name not in REQUIRED)
            for field in frame.head(0).to_arrow().schema
        ]
    )
    # A load reads packs whole, so smallest and largest values would cost more than they save.
    frame.write_parquet(
        part,
        compression="snappy",
        row_group_size=250_000,
        arrow_schema=schema,
        statistics=False,
    )
    pack = _sha256(part)
    with open(part, "rb") as raw:
        os.fsync(raw.fileno())
    size = part.stat().st_size
    part.replace(pack_path(landing, timeframe, pack))
    return pack, size


def remove_orphans(home: Home, catalog: Catalog) -> None:
    """Remove packs that no slice needs, and forget contents whose packs are missing."""
    needed = {piece.pack for piece in catalog.slices()}
    known = {pack.pack: pack for pack in catalog.packs()}
    missing = {
        pack.pack
        for pack in known.values()
        if not pack_path(home.landing, pack.timeframe, pack.pack).exists()
    }
    if missing:
        catalog.forget_contents({s.file_no for s in catalog.slices() if s.pack in missing})
    catalog.forget_packs(missing | (known.keys() - needed))
    kept = (known.keys() & needed) - missing
    for path in home.landing.glob("*/*.p*"):
        if path.suffix == ".part" or path.stem not in kept:
            path.unlink()
