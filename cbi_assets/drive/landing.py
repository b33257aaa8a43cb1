"""The landing zone: records of many files in few canonical Parquet packs, written once.

A lander takes the records of one file after another, decodes them in batches on two threads and
writes packs. Nothing counts before the catalog says so: a killed run leaves packs that no slice
names, and the next run removes them and reads their files again.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter, deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pyarrow as pa

from cbi_assets.config.settings import Home
from cbi_assets.drive.canonical import ALWAYS_THERE, FileContext, canonicalise
from cbi_assets.drive.catalog import Catalog, Content, FileRecord, Pack, Slice
from cbi_assets.drive.formats import Bars
from cbi_assets.drive.pieces import Part
from cbi_assets.drive.records import Piece, decode
from cbi_assets.market.bars import Timeframe, timeframe_of
from cbi_assets.market.sessions import Calendar

BATCH_BYTES = 16 << 20
PACK_RECORDS = 500_000
_IN_FLIGHT = 3
_THREADS = 2


@dataclass(frozen=True)
class _Written:
    pack: Pack
    slices: list[Slice]
    symbols: dict[int, set[str]]


class Lander:
    """Lands records into packs under `home.landing`; `complete` makes a file's landing count."""

    def __init__(self, home: Home, catalog: Catalog, calendars: Mapping[str, Calendar]) -> None:
        self._home = home
        self._catalog = catalog
        self._calendars = calendars
        self._next = catalog.next_file_no()
        self._pool = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="decode")
        self._bars: Bars | None = None
        self._pieces: list[Piece] = []
        self._files: dict[int, FileContext] = {}
        self._held = 0
        self._decoding: deque[tuple[Timeframe, Future[pl.DataFrame]]] = deque()
        self._packing: dict[Timeframe, list[pl.DataFrame]] = {}
        self._writing: deque[Future[_Written]] = deque()
        self._written: list[Pack] = []
        self._slices: list[Slice] = []
        self._done: list[tuple[Content, FileRecord]] = []
        self._open: set[int] = set()
        self._symbols: dict[int, set[str]] = {}

    def begin(self) -> int:
        """Start a file; its number keeps the order of landing."""
        number = self._next
        self._next += 1
        self._open.add(number)
        return number

    def add(self, bars: Bars, part: Part) -> None:
        """Take consecutive records of an open file."""
        if bars != self._bars or self._held + part.nbytes > BATCH_BYTES:
            self._submit()
        self._bars = bars
        self._pieces.append(part.piece)
        self._files[part.context.file_no] = part.context
        self._held += part.nbytes

    def complete(self, content: Content, record: FileRecord) -> None:
        """All of the file was added and verified: it counts from the next commit on.

        `content.records` counts lines still; the blank ones come to light where they are decoded.
        """
        self._open.discard(content.file_no)
        self._done.append((content, record))

    def abandon(self, file_no: int) -> None:
        """The file will not do: what was landed of it never counts."""
        self._open.discard(file_no)

    def commit(self) -> None:
        """Write what is pending and let the catalog count every completed file."""
        self._submit()
        while self._decoding:
            self._collect()
        for timeframe in list(self._packing):
            self._write(timeframe)
        while self._writing:
            self._settle(self._writing.popleft())
        done = {content.file_no for content, _ in self._done}
        slices = [piece for piece in self._slices if piece.file_no in done]
        spans = _spans(slices)
        landed: Counter[int] = Counter()
        for piece in slices:
            landed[piece.file_no] += piece.records
        contents = []
        for content, _ in self._done:
            first_ts, last_ts = spans.get(content.file_no, (None, None))
            symbols = tuple(sorted(self._symbols.pop(content.file_no, ())))
            records = landed.get(content.file_no, 0)
            contents.append(
                replace(
                    content,
                    records=records,
                    blank_lines=content.records - records,
                    first_ts=first_ts,
                    last_ts=last_ts,
                    symbols=symbols,
                )
            )
        needed = {piece.pack for piece in slices} | {
            piece.pack for piece in self._slices if piece.file_no in self._open
        }
        packs = [pack for pack in self._written if pack.pack in needed]
        self._catalog.record([record for _, record in self._done], contents, packs, slices)
        self._slices = [piece for piece in self._slices if piece.file_no in self._open]
        self._written, self._done = [], []

    def close(self) -> None:
        """Stop the decoding threads; what was not committed does not count."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        pa.default_memory_pool().release_unused()

    def _submit(self) -> None:
        if not self._pieces:
            return
        assert self._bars is not None
        timeframe = timeframe_of(self._bars.schema)
        assert timeframe is not None
        job = self._pool.submit(
            _decode_batch, self._bars, self._pieces, list(self._files.values()), self._calendars
        )
        self._decoding.append((timeframe, job))
        self._pieces, self._files, self._held = [], {}, 0
        while len(self._decoding) >= _IN_FLIGHT:
            self._collect()

    def _collect(self) -> None:
        timeframe, job = self._decoding.popleft()
        frames = self._packing.setdefault(timeframe, [])
        frames.append(job.result())
        if sum(frame.height for frame in frames) >= PACK_RECORDS:
            self._write(timeframe)

    def _write(self, timeframe: Timeframe) -> None:
        frames = self._packing.pop(timeframe)
        self._writing.append(self._pool.submit(self._write_frames, timeframe, frames))
        while len(self._writing) >= _IN_FLIGHT:
            self._settle(self._writing.popleft())

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
        slices: list[Slice] = []
        symbols: dict[int, set[str]] = {}
        for file_no, root, records, first_ts, last_ts, names in counted.iter_rows():
            calendar = self._calendars.get(root) or ""
            slices.append(
                Slice(file_no, timeframe, root, calendar, pack, records, first_ts, last_ts)
            )
            symbols.setdefault(file_no, set()).update(name for name in names if name)
        return _Written(Pack(pack, timeframe, frame.height, nbytes), slices, symbols)

    def _settle(self, job: Future[_Written]) -> None:
        written = job.result()
        self._written.append(written.pack)
        self._slices += written.slices
        for file_no, names in written.symbols.items():
            self._symbols.setdefault(file_no, set()).update(names)


def _decode_batch(
    bars: Bars,
    pieces: list[Piece],
    files: list[FileContext],
    calendars: Mapping[str, Calendar],
) -> pl.DataFrame:
    return canonicalise(decode(bars, pieces), bars.rtype, files, calendars)


def _spans(slices: list[Slice]) -> dict[int, tuple[int | None, int | None]]:
    spans: dict[int, tuple[int | None, int | None]] = {}
    for piece in slices:
        first, last = spans.get(piece.file_no, (None, None))
        firsts = [t for t in (first, piece.first_ts) if t is not None]
        lasts = [t for t in (last, piece.last_ts) if t is not None]
        spans[piece.file_no] = (min(firsts, default=None), max(lasts, default=None))
    return spans


def pack_path(landing: Path, timeframe: str, pack: str) -> Path:
    """Where a pack lies."""
    return landing / f"ohlcv-{timeframe}" / f"{pack}.parquet"


def write_pack(landing: Path, timeframe: str, frame: pl.DataFrame) -> tuple[str, int]:
    """Write a frame as a pack, named by the sha256 of its bytes; whole or absent."""
    folder = landing / f"ohlcv-{timeframe}"
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{threading.get_ident()}.part"
    # as categories, strings are written by their codes; a reader sees strings all the same
    frame = frame.with_columns(pl.col(pl.String).cast(pl.Categorical))
    schema = pa.schema(
        [
            field.with_nullable(field.name not in ALWAYS_THERE)
            for field in frame.head(0).to_arrow().schema
        ]
    )
    frame.write_parquet(part, compression="snappy", row_group_size=250_000, arrow_schema=schema)
    with open(part, "rb") as raw:
        pack = hashlib.file_digest(raw, "sha256").hexdigest()
        os.fsync(raw.fileno())
    size = part.stat().st_size
    part.replace(pack_path(landing, timeframe, pack))
    return pack, size


def sweep(home: Home, catalog: Catalog) -> None:
    """Remove packs that no catalogued slice needs, and make files of lost packs be read again."""
    needed = {piece.pack for piece in catalog.slices()}
    known = {pack.pack: pack for pack in catalog.packs()}
    lost = {
        pack.pack
        for pack in known.values()
        if not pack_path(home.landing, pack.timeframe, pack.pack).exists()
    }
    if lost:
        catalog.forget_contents({s.file_no for s in catalog.slices() if s.pack in lost})
    catalog.forget_packs(lost | (known.keys() - needed))
    kept = (known.keys() & needed) - lost
    for path in home.landing.glob("*/*.p*"):
        if path.suffix == ".part" or path.stem not in kept:
            path.unlink()
