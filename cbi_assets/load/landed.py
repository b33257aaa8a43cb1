"""What is landed, and what of it is not in the books yet."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cbi_assets.drive.catalog import Slice
from cbi_assets.drive.survey import Survey
from cbi_assets.ledger.books import BooksEntry
from cbi_assets.ledger.pending_events import Partition
from cbi_assets.session import Session
from cbi_assets.warehouse.base import Statement, Warehouse


@dataclass(frozen=True)
class Unpublished:
    """Bars of the universe that are landed and not in the books, and how many files have them.

    `key` is the same for the same bars.
    """

    partitions: tuple[Partition, ...]
    files: int
    key: str


class Landed:
    """The slices of bars that are landed, and of them those whose file is on the drive now.

    A file that changed and was not read again counts as absent.
    """

    def __init__(self, found: Survey, slices: Iterable[Slice]) -> None:
        self.contents = {content.file_no: content for content in found.contents.values()}
        self.slices = [s for s in slices if s.file_no in self.contents]
        changed = {(entry.area, entry.path) for entry in found.waiting}
        on_drive = {
            file.source_file_id
            for file in found.files
            if file.verdict == "bars" and (file.area, file.path) not in changed
        }
        self.on_drive = {n for n, c in self.contents.items() if c.source_file_id in on_drive}

    @property
    def key(self) -> str:
        """A digest of what could be loaded; the same if nothing arrived, changed or vanished."""
        return _digest(self.entry(piece) for piece in self.without(set()))

    def entry(self, piece: Slice) -> BooksEntry:
        """Return the entry of the books that a slice belongs to."""
        return self.contents[piece.file_no].source_file_id, piece.timeframe, piece.root

    def without(self, settled: set[BooksEntry]) -> list[Slice]:
        """Return the slices of files on the drive whose entry is not settled."""
        return [
            piece
            for piece in self.slices
            if piece.file_no in self.on_drive and self.entry(piece) not in settled
        ]

    def unpublished(self, session: Session) -> Unpublished:
        """Return what a load of everything would publish now; costs one query."""
        recorded, reopened = recorded_entries(session.warehouse)
        waiting = [
            piece
            for piece in self.without(recorded - reopened)
            if piece.root in session.universe.roots
        ]
        return Unpublished(
            tuple(sorted({(piece.root, piece.timeframe) for piece in waiting})),
            len({piece.file_no for piece in waiting}),
            _digest(self.entry(piece) for piece in waiting),
        )


def _digest(entries: Iterable[BooksEntry]) -> str:
    return hashlib.sha256(repr(sorted(set(entries))).encode()).hexdigest()[:32]


ENTRIES: Final = Statement("SELECT source_file_id, timeframe, root, reopened FROM `ops.loads`")
"""What `recorded_entries` asks."""


def recorded_entries(warehouse: Warehouse) -> tuple[set[BooksEntry], set[BooksEntry]]:
    """Return the entries of the books, and those that an unload reopened."""
    rows = warehouse.query(ENTRIES.sql)
    recorded = {row[:3] for row in rows.iter_rows()}
    return recorded, {row[:3] for row in rows.iter_rows() if row[3] > 0}
