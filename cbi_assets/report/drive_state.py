"""Describe the drive: where names and content disagree, and which files have a problem."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from cbi_assets.downloads.disk_space import free_bytes
from cbi_assets.drive.catalog import Content
from cbi_assets.drive.file_records import FileRecord
from cbi_assets.drive.inventory import FolderRow, by_folder, jobs_of, trusts_of
from cbi_assets.drive.survey import Survey
from cbi_assets.drive.trust import TRUSTS
from cbi_assets.market.bars import Columns
from cbi_assets.market.symbology import parse_symbol
from cbi_assets.report.audit_model import Drive, TroubleKind
from cbi_assets.timestamps import utc_from_micros

Book = Mapping[str, Any]
"""A file's row of the books: path, duplicates, not_loaded."""

_SCHEMA_IN_NAME = re.compile(r"\.(ohlcv-\w+)\.")
_DATES_IN_NAME = re.compile(r"-(\d{8})(?:-(\d{8}))?\.")
_FOLDERS: Columns = {
    "folder": pl.String, "says": pl.String, "content": pl.String, "encoding": pl.String,
    "files": pl.Int64, "bytes": pl.Int64, "records": pl.Int64, "first": pl.Date, "last": pl.Date,
    "trust": pl.String, "verdict": pl.String, "disagreements": pl.List(pl.String),
}  # fmt: skip
_JOBS: Columns = {
    "job": pl.String, "folder": pl.String, "trust": pl.String, "manifest_damaged": pl.Boolean,
    **dict.fromkeys(TRUSTS, pl.Int64),
}  # fmt: skip
_LISTING: Columns = {
    "file": pl.String, "trust": pl.String, "content": pl.String, "records": pl.Int64,
    "first": pl.Date, "last": pl.Date, "loaded": pl.String,
}  # fmt: skip
_TROUBLES = {"kind": pl.String, "path": pl.String, "why": pl.String}


def describe_drive(
    survey: Survey,
    path: Path | None,
    mounted: bool,
    roots: Collection[str],
    by_file: pl.DataFrame,
) -> Drive:
    """Return the drive's folders and problems.

    `by_file` is the books with one row per file, `roots` the universe's. If the drive is not
    mounted, `survey` is its last scan.
    """
    files = [file for file in survey.files if file.area == "drive"]
    bars = {file.source_file_id or "" for file in files if file.verdict == "bars"}
    books: dict[str, Book] = {row["source_file_id"]: row for row in by_file.iter_rows(named=True)}
    waiting = [
        books[file_id]["not_loaded"] if file_id in books else survey.contents[file_id].records
        for file_id in bars
        if file_id not in books or books[file_id]["not_loaded"]
    ]
    in_folder: dict[str, list[FileRecord]] = defaultdict(list)
    for file in files:
        in_folder[_folder_of(file.path)].append(file)
    folders = [
        (row.folder, row.claims, row.content, ", ".join(sorted(row.encodings)), row.files,
         row.bytes, row.records, _day(row.first), _day(row.last), row.trust, row.verdict,
         list(_disagreements(row, in_folder[row.folder], survey.contents, roots, books)))
        for row in by_folder(survey)
        if row.area == "drive"
    ]  # fmt: skip
    listing = [
        (file.path, file.trust, *_content_of(file, survey.contents), _loaded(file, books))
        for file in files
        if file.verdict != "sidecar"
    ]
    troubles = [*_file_troubles(survey, files, books, mounted), *_scan_troubles(survey)]
    return Drive(
        path=None if path is None else str(path),
        mounted=mounted,
        free_bytes=free_bytes(path),
        files=len(files),
        bytes=sum(file.bytes for file in files),
        bar_files=sum(file.verdict == "bars" for file in files),
        listing=pl.DataFrame(listing, schema=_LISTING, orient="row"),
        folders=pl.DataFrame(folders, schema=_FOLDERS, orient="row"),
        troubles=pl.DataFrame(troubles, schema=_TROUBLES, orient="row"),
        trusts=trusts_of(survey),
        jobs=pl.DataFrame(
            [
                (
                    job.job,
                    job.folder,
                    job.trust,
                    job.has_damaged_manifest,
                    *(job.files.get(trust, 0) for trust in TRUSTS),
                )
                for job in jobs_of(survey)
            ],
            schema=_JOBS,
            orient="row",
        ),
        waiting_files=len(waiting),
        waiting_records=sum(waiting),
    )


def _content_of(
    file: FileRecord, contents: Mapping[str, Content]
) -> tuple[str, int | None, dt.date | None, dt.date | None]:
    content = contents.get(file.source_file_id or "") if file.verdict == "bars" else None
    if content is None:
        return file.reason or file.verdict, None, None, None
    return content.schema, content.records, _day(content.first_ts), _day(content.last_ts)


def _loaded(file: FileRecord, books: Mapping[str, Book]) -> str:
    if file.verdict != "bars":
        return "no"
    book = books.get(file.source_file_id or "")
    return "no" if book is None else "in part" if book["not_loaded"] else "yes"


def _disagreements(
    row: FolderRow,
    files: list[FileRecord],
    contents: Mapping[str, Content],
    roots: Collection[str],
    books: Mapping[str, Book],
) -> Iterator[str]:
    """Say where the names in a folder, or the lack of a manifest, disagree with the content."""
    bars = [file for file in files if file.verdict == "bars"]
    claimed_schemas = Counter(
        (claimed[1], contents[file.source_file_id or ""].schema)
        for file in bars
        if (claimed := _SCHEMA_IN_NAME.search(_name_of(file.path)))
    )
    for (claimed_schema, schema), count in sorted(claimed_schemas.items()):
        if claimed_schema != schema:
            named = f"{count:,} of {len(bars):,} files are named {claimed_schema}"
            yield f"{named} and contain {schema}"
    found = {parse_symbol(symbol).root for symbol in row.symbols}
    claimed_roots = _claimed_roots(row.folder, roots)
    if bars and claimed_roots is not None:
        if extra := sorted(found & set(roots) - claimed_roots):
            yield f"contains {_listed(extra)}, which its name does not mention"
        if absent := sorted(claimed_roots - found):
            yield f"contains no bar of {_listed(absent)}"
    if outside := sorted(found - set(roots)):
        yield f"contains {len(outside)} roots outside the universe: {_listed(outside)}"
    if bars and not any(_name_of(file.path) == "manifest.json" for file in files):
        yield "no manifest.json: sizes and hashes cannot be verified"
    ids = {file.source_file_id or "" for file in bars}
    if repeated := sum(books[file_id]["duplicates"] for file_id in ids if file_id in books):
        yield f"{repeated:,} of {row.records:,} records duplicate bars of another file"


def _claimed_roots(folder: str, roots: Collection[str]) -> set[str] | None:
    """Return the roots in the name of a `databento_…` folder, or None if it names none."""
    named = [part for part in folder.split("/") if part.startswith("databento_")]
    if not named:
        return None
    words = named[-1].removeprefix("databento_").upper().split("_")
    return set(roots) if words == ["ALL"] else {word for word in words if word in roots} or None


def _file_troubles(
    survey: Survey, files: list[FileRecord], books: Mapping[str, Book], mounted: bool
) -> Iterator[tuple[TroubleKind, str, str]]:
    """Compare the files with manifests, with their own names, and with what is loaded."""
    present = {file.path for file in files}
    paths: dict[str, str] = {}
    for file in files:
        if file.verdict == "bars":
            paths.setdefault(file.source_file_id or "", file.path)
            if why := _misnamed(file, survey.contents):
                yield "misnamed", file.path, why
    for file_id, book in books.items() if mounted else ():
        if file_id not in paths:
            yield "gone", book["path"], f"its bars are loaded (file {file_id[:12]})"
        elif book["path"] not in present:
            yield "renamed", paths[file_id], f"loaded as {book['path']}"


def _scan_troubles(survey: Survey) -> Iterator[tuple[TroubleKind, str, str]]:
    for file in survey.refused:
        if file.fault == "absent":
            yield "missing", file.path, "the job's manifest.json lists it"
        else:
            yield "refused", file.path, file.reason
    for path, why in survey.changing:
        yield "changing", path, why
    for item in survey.unreadable:
        yield "unlisted", item.path, item.reason


def _misnamed(file: FileRecord, contents: Mapping[str, Content]) -> str | None:
    """Say why a file's name does not match its content: another schema, or other days."""
    content = contents[file.source_file_id or ""]
    name = _name_of(file.path)
    schema = _SCHEMA_IN_NAME.search(name)
    if schema and schema[1] != content.schema:
        return f"its name says {schema[1]}, its content is {content.schema}"
    dates = _DATES_IN_NAME.search(name)
    first, last = _day(content.first_ts), _day(content.last_ts)
    if dates is None or first is None or last is None:
        return None
    start, end = _date_in(dates[1]), _date_in(dates[2] or dates[1])
    if start is None or end is None or (start <= first and last <= end):
        return None
    return f"its name says {start} to {end}, its content is of {first} to {last} (UTC)"


def _date_in(digits: str) -> dt.date | None:
    try:
        return dt.date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


@cache
def _day(microseconds: int | None) -> dt.date | None:
    return None if microseconds is None else utc_from_micros(microseconds).date()


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0] or "."


def _name_of(path: str) -> str:
    return path.rpartition("/")[2]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
