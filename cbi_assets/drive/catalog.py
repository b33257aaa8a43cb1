"""Keep a catalog of what was read from the drive and where it was landed.

A small SQLite file under `CBI_HOME`. It can be deleted: the next run reads the drive again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any

import polars as pl

from cbi_assets.config.home_errors import READ_AGAIN, damaged, sqlite_error
from cbi_assets.drive.file_records import (
    Fault,
    FileDetails,
    FileRecord,
    FormatDetails,
    SidecarDetails,
    Stamp,
    Verdict,
    details_json,
    parse_details,
)
from cbi_assets.drive.mappings import NAME_SCHEMA, SYMBOLOGIES, FileNames
from cbi_assets.drive.walk import Area, AreaPath
from cbi_assets.market.bars import Timeframe

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
  area TEXT, path TEXT, stamp TEXT, bytes INT, verdict TEXT, reason TEXT, source_file_id TEXT,
  facts TEXT, PRIMARY KEY (area, path));
CREATE TABLE IF NOT EXISTS trust (
  area TEXT, path TEXT, verified INT, fault TEXT, PRIMARY KEY (area, path));
CREATE TABLE IF NOT EXISTS names (
  source_file_id TEXT PRIMARY KEY, source TEXT, path TEXT, dataset TEXT, intervals TEXT);
CREATE TABLE IF NOT EXISTS contents (
  file_no INTEGER PRIMARY KEY, source_file_id TEXT UNIQUE, facts TEXT);
CREATE TABLE IF NOT EXISTS ranges (
  source_file_id TEXT PRIMARY KEY, covers_from INT, covers_to INT);
CREATE TABLE IF NOT EXISTS packs (
  pack TEXT PRIMARY KEY, timeframe TEXT, records INT, bytes INT);
CREATE TABLE IF NOT EXISTS slices (
  file_no INT, timeframe TEXT, root TEXT, calendar TEXT, pack TEXT, records INT,
  first_ts INT, last_ts INT, PRIMARY KEY (file_no, root, pack));
"""


@dataclass(frozen=True)
class Content:
    """The content of one landed file. Timestamps are microseconds since 1970, UTC.

    It was requested from `covers_from` to before `covers_to`, None if that is unknown.
    """

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
    blank_lines: int = 0
    first_ts: int | None = None
    last_ts: int | None = None
    symbols: tuple[str, ...] = ()
    covers_from: int | None = None
    covers_to: int | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """The landed records of one file and root in one pack; an unresolved record's root is empty."""

    file_no: int
    timeframe: Timeframe
    root: str
    calendar: str
    pack: str
    records: int
    first_ts: int | None
    last_ts: int | None


_SLICE_VALUES = attrgetter(*(field.name for field in fields(Slice)))


@dataclass(frozen=True)
class Pack:
    """One Parquet file of the landing zone, named by the sha256 of its bytes."""

    pack: str
    timeframe: Timeframe
    records: int
    bytes: int


def _content_json(content: Content) -> str:
    """Return the keys that earlier versions know, who read no other."""
    found = {**vars(content)}
    del found["covers_from"], found["covers_to"]
    return json.dumps(found)


def _names_json(names: pl.DataFrame) -> str:
    return json.dumps(names.cast({"from_date": pl.String, "to_date": pl.String}).rows())


def _parse_names(text: str) -> pl.DataFrame:
    date = pl.Schema(NAME_SCHEMA | {"from_date": pl.String(), "to_date": pl.String()})
    rows = pl.DataFrame(json.loads(text), schema=date, orient="row")
    return rows.with_columns(pl.col("from_date", "to_date").str.to_date("%Y-%m-%d"))


def _parse_file(
    area: Area,
    path: str,
    stamp: str,
    nbytes: int,
    verdict: Verdict,
    reason: str,
    file_id: str | None,
    text: str,
    verified: int | None,
    fault: Fault | None,
    has_names: int,
) -> FileRecord:
    details = parse_details(verdict, json.loads(text))
    # What earlier versions did not record is read again, as is every file without a stamp.
    is_known = verified is not None or area == "staging"
    is_known &= not (isinstance(details, SidecarDetails) and details.conditions is None)
    is_known &= bool(has_names) or not _may_name(path, verdict, details, file_id)
    return FileRecord(
        area=area,
        path=path,
        stamp=Stamp.parse(stamp) if is_known else None,
        bytes=nbytes,
        verdict=verdict,
        reason=reason,
        source_file_id=file_id,
        details=details,
        verified=bool(verified),
        fault=fault or "",
    )


def _may_name(
    path: str, verdict: Verdict, details: FileDetails | None, file_id: str | None
) -> bool:
    """Whether a file could give instruments names: a DBN file or a symbology that was read."""
    if verdict == "sidecar":
        return file_id is not None and path.endswith(SYMBOLOGIES)
    is_dbn = isinstance(details, FormatDetails) and details.encoding == "dbn"
    return is_dbn and verdict in ("bars", "foreign")


class Catalog:
    """Read and write the catalog; every write is one transaction.

    Raises HomeError if the file is damaged or its disk is full, and HomeBusyError if another
    program has it open.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, tuple[Any, ...]] = {}
        with self._translated_errors():
            self._db = sqlite3.connect(path, isolation_level=None)
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.executescript(_SCHEMA)
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def files(self) -> dict[AreaPath, FileRecord]:
        """Return every known path, by area and path."""
        return dict(self._once("files", self._read_files))

    def _read_files(self) -> dict[AreaPath, FileRecord]:
        with self._translated_errors():
            rows = self._db.execute(
                "SELECT area, path, stamp, bytes, verdict, reason, source_file_id, facts, verified,"
                " fault, source_file_id IN (SELECT source_file_id FROM names)"
                " FROM files LEFT JOIN trust USING (area, path) ORDER BY area, path"
            )
            return {(row[0], row[1]): _parse_file(*row) for row in rows}

    def paths_by_id(self) -> list[tuple[str, str]]:
        """Return ID and path of each file of bars; a file may be at several paths."""
        with self._translated_errors():
            rows = self._db.execute(
                "SELECT source_file_id, path FROM files"
                " WHERE verdict = 'bars' AND source_file_id IS NOT NULL ORDER BY path"
            )
            return rows.fetchall()

    def contents(self) -> dict[str, Content]:
        """Return every landed content, by source_file_id, in the order of landing."""
        return dict(self._once("contents", self._read_contents))

    def _read_contents(self) -> dict[str, Content]:
        with self._translated_errors():
            rows = self._db.execute(
                "SELECT facts, covers_from, covers_to FROM contents"
                " LEFT JOIN ranges USING (source_file_id) ORDER BY file_no"
            )
            found = [(json.loads(facts), *covers) for facts, *covers in rows]
            return {
                row["source_file_id"]: Content(
                    **row | {"symbols": tuple(row["symbols"])}, covers_from=first, covers_to=end
                )
                for row, first, end in found
            }

    def slices(self) -> list[Slice]:
        """Return every landed slice, in the order of landing."""
        return list(self._once("slices", self._read_slices))

    def _read_slices(self) -> list[Slice]:
        with self._translated_errors():
            rows = self._db.execute("SELECT * FROM slices ORDER BY file_no, root, pack")
            same: dict[Any, Any] = {}  # There may be a million slices, in few packs.
            return [
                Slice(n, same.setdefault(t, t), root, calendar, same.setdefault(pack, pack), *rest)
                for n, t, root, calendar, pack, *rest in rows
            ]

    def names(self) -> list[FileNames]:
        """Return the names that files on the drive or landed ones give instruments, by file."""
        with self._translated_errors():
            rows = self._db.execute(
                "SELECT source_file_id, source, path, dataset, intervals FROM names"
                " WHERE intervals <> '[]' AND source_file_id IN"
                " (SELECT source_file_id FROM files UNION SELECT source_file_id FROM contents)"
                " ORDER BY source_file_id"
            )
            return [
                FileNames(file_id, source, path, dataset, _parse_names(intervals))
                for file_id, source, path, dataset, intervals in rows
            ]

    def packs(self) -> list[Pack]:
        """Return every pack."""
        with self._translated_errors():
            return [Pack(*row) for row in self._db.execute("SELECT * FROM packs")]

    def next_file_no(self) -> int:
        """Return the number for the next content; numbers follow the order of landing."""
        with self._translated_errors():
            newest = self._db.execute("SELECT COALESCE(MAX(file_no), 0) FROM contents").fetchone()
        return int(newest[0]) + 1

    def verify(self) -> None:
        """Read the whole file. Raises HomeError if a part of it is damaged."""
        with self._translated_errors():
            found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise damaged(self._path, found, READ_AGAIN)
        self._read_files()
        self._read_contents()

    def record(
        self,
        files: Iterable[FileRecord] = (),
        contents: Iterable[Content] = (),
        packs: Iterable[Pack] = (),
        slices: Iterable[Slice] = (),
        names: Iterable[FileNames] = (),
    ) -> None:
        """Add or replace all of this in one transaction."""
        files = list(files)
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (f.area, f.path, str(f.stamp or ""), f.bytes, f.verdict, f.reason,
                     f.source_file_id, json.dumps(details_json(f.details)))
                    for f in files
                ],
            )  # fmt: skip
            self._db.executemany(
                "INSERT OR REPLACE INTO trust VALUES (?, ?, ?, ?)",
                [(f.area, f.path, f.verified, f.fault) for f in files],
            )
            self._db.executemany(
                "DELETE FROM slices WHERE file_no IN"
                " (SELECT file_no FROM contents WHERE source_file_id = ? AND file_no <> ?)",
                [(c.source_file_id, c.file_no) for c in contents],
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO contents VALUES (?, ?, ?)",
                [(c.file_no, c.source_file_id, _content_json(c)) for c in contents],
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO ranges VALUES (?, ?, ?)",
                [(c.source_file_id, c.covers_from, c.covers_to) for c in contents],
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO packs VALUES (?, ?, ?, ?)", [astuple(p) for p in packs]
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO slices VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                map(_SLICE_VALUES, slices),
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO names VALUES (?, ?, ?, ?, ?)",
                [
                    (n.source_file_id, n.source, n.path, n.dataset, _names_json(n.names))
                    for n in names
                ],
            )

    def forget_paths(self, paths: Iterable[AreaPath]) -> None:
        """Remove paths that are gone from the drive; their landed content stays."""
        with self._transaction():
            self._db.executemany("DELETE FROM files WHERE area = ? AND path = ?", list(paths))

    def forget_contents(self, file_nos: Iterable[int]) -> None:
        """Remove landed contents, so that their files are read and landed again."""
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
        """Remove packs that no slice needs."""
        with self._transaction():
            self._db.executemany("DELETE FROM packs WHERE pack = ?", [(pack,) for pack in packs])

    def _once[Value](self, what: str, read: Callable[[], Value]) -> Value:
        """Return what `read` returns; it is called again once a connection has changed the file."""
        with self._translated_errors():
            version = self._db.execute("PRAGMA data_version").fetchone()[0]
        key = (version, self._db.total_changes)
        if self._known.get(what, (None,))[0] != key:
            self._known[what] = (key, read())
        found: Value = self._known[what][1]
        return found

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._translated_errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite itself rolls back on a full disk
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise sqlite_error(error, self._path, READ_AGAIN) from error
        except (ValueError, KeyError, TypeError) as error:  # JSON that this class did not write
            raise damaged(self._path, error, READ_AGAIN) from error
