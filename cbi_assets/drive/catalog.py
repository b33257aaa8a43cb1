"""The catalog: what was read from the drive and where it was landed, so that it is read once.

A small SQLite file under `CBI_HOME`. It can be deleted: the next run reads the drive again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from cbi_assets.market.bars import Timeframe

Verdict = Literal["bars", "refused", "foreign", "sidecar", "zip", "staging", "other"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
  area TEXT, path TEXT, stamp TEXT, bytes INT, verdict TEXT, reason TEXT, source_file_id TEXT,
  facts TEXT, PRIMARY KEY (area, path));
CREATE TABLE IF NOT EXISTS contents (
  file_no INTEGER PRIMARY KEY, source_file_id TEXT UNIQUE, facts TEXT);
CREATE TABLE IF NOT EXISTS packs (
  pack TEXT PRIMARY KEY, timeframe TEXT, records INT, bytes INT);
CREATE TABLE IF NOT EXISTS slices (
  file_no INT, timeframe TEXT, root TEXT, calendar TEXT, pack TEXT, records INT,
  first_ts INT, last_ts INT, PRIMARY KEY (file_no, root, pack));
"""


@dataclass(frozen=True)
class FileRecord:
    """What the catalog knows of one path. `facts` is what is shown of it besides."""

    area: str
    path: str
    stamp: str
    bytes: int
    verdict: Verdict
    reason: str = ""
    source_file_id: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Content:
    """What the bytes of one landed file hold. Instants are microseconds since 1970, UTC."""

    file_no: int
    source_file_id: str
    path: str
    job_id: str | None
    dataset: str | None
    schema: str
    encoding: str
    compression: str
    bytes: int
    records: int
    blank_lines: int
    first_ts: int | None
    last_ts: int | None
    symbols: tuple[str, ...]


@dataclass(frozen=True)
class Slice:
    """The landed records of one file and root in one pack; root is empty where none is named."""

    file_no: int
    timeframe: Timeframe
    root: str
    calendar: str
    pack: str
    records: int
    first_ts: int | None
    last_ts: int | None


@dataclass(frozen=True)
class Pack:
    """One Parquet file of the landing zone, named by the sha256 of its bytes."""

    pack: str
    timeframe: Timeframe
    records: int
    bytes: int


class Catalog:
    """The catalog's reads and writes; every write is one transaction."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def files(self) -> dict[tuple[str, str], FileRecord]:
        """Every path known, by area and path."""
        rows = self._db.execute(
            "SELECT area, path, stamp, bytes, verdict, reason, source_file_id, facts FROM files"
            " ORDER BY area, path"
        )
        return {
            (area, path): FileRecord(
                area, path, stamp, size, verdict, reason, file_id, json.loads(facts)
            )
            for area, path, stamp, size, verdict, reason, file_id, facts in rows
        }

    def contents(self) -> dict[str, Content]:
        """Every landed content, by source_file_id."""
        rows = self._db.execute("SELECT facts FROM contents ORDER BY file_no")
        found = [Content(**json.loads(row[0])) for row in rows]
        return {content.source_file_id: content for content in found}

    def slices(self) -> list[Slice]:
        """Every landed slice, in the order in which the files were landed."""
        return [
            Slice(*row)
            for row in self._db.execute("SELECT * FROM slices ORDER BY file_no, root, pack")
        ]

    def packs(self) -> list[Pack]:
        """Every pack."""
        return [Pack(*row) for row in self._db.execute("SELECT * FROM packs")]

    def next_file_no(self) -> int:
        """The number for the next content; numbers follow the order of landing."""
        return int(
            self._db.execute("SELECT COALESCE(MAX(file_no), 0) + 1 FROM contents").fetchone()[0]
        )

    def record(
        self,
        files: Iterable[FileRecord] = (),
        contents: Iterable[Content] = (),
        packs: Iterable[Pack] = (),
        slices: Iterable[Slice] = (),
    ) -> None:
        """Add or replace all of this at once."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (f.area, f.path, f.stamp, f.bytes, f.verdict, f.reason, f.source_file_id,
                     json.dumps(f.facts))
                    for f in files
                ],
            )  # fmt: skip
            self._db.executemany(
                "DELETE FROM slices WHERE file_no IN"
                " (SELECT file_no FROM contents WHERE source_file_id = ? AND file_no <> ?)",
                [(c.source_file_id, c.file_no) for c in contents],
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO contents VALUES (?, ?, ?)",
                [(c.file_no, c.source_file_id, json.dumps(asdict(c))) for c in contents],
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO packs VALUES (?, ?, ?, ?)",
                [(p.pack, p.timeframe, p.records, p.bytes) for p in packs],
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO slices VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (s.file_no, s.timeframe, s.root, s.calendar, s.pack, s.records,
                     s.first_ts, s.last_ts)
                    for s in slices
                ],
            )  # fmt: skip

    def forget_paths(self, paths: Iterable[tuple[str, str]]) -> None:
        """Drop paths that are gone from the drive; their landed content stays."""
        with self._transaction():
            self._db.executemany("DELETE FROM files WHERE area = ? AND path = ?", list(paths))

    def forget_contents(self, file_nos: Iterable[int]) -> None:
        """Drop landed contents, so that their files are read and landed again."""
        with self._transaction():
            for file_no in file_nos:
                self._db.execute(
                    "DELETE FROM files WHERE source_file_id ="
                    " (SELECT source_file_id FROM contents WHERE file_no = ?)",
                    (file_no,),
                )
                self._db.execute("DELETE FROM slices WHERE file_no = ?", (file_no,))
                self._db.execute("DELETE FROM contents WHERE file_no = ?", (file_no,))

    def forget_packs(self, packs: Iterable[str]) -> None:
        """Drop packs that no slice needs."""
        with self._transaction():
            self._db.executemany("DELETE FROM packs WHERE pack = ?", [(pack,) for pack in packs])

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)


class _Transaction:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")
