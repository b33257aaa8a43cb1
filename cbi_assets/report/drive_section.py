"""The drive as the audit tells it: what names say against what content says, and what is wrong."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path

import polars as pl

from cbi_assets.downloads.planning import free_room
from cbi_assets.drive.catalog import Content, FileRecord
from cbi_assets.drive.inventory import FolderRow, by_folder
from cbi_assets.drive.survey import Survey
from cbi_assets.market.symbology import parse_symbol
from cbi_assets.report.facts import Drive, Folder, Trouble

_SCHEMA_IN_NAME = re.compile(r"\.(ohlcv-\w+)\.")
_DATES_IN_NAME = re.compile(r"-(\d{8})(?:-(\d{8}))?\.")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def describe_drive(
    survey: Survey,
    path: Path | None,
    mounted: bool,
    roots: Collection[str],
    by_file: pl.DataFrame,
) -> Drive:
    """The drive's folders and troubles. `by_file` is the books, one row a file; `roots` the
    universe's. Where the drive is not mounted, `survey` is what it last held."""
    files = [file for file in survey.files if file.area == "drive"]
    bars = [file for file in files if file.verdict == "bars"]
    entered = {row["source_file_id"]: row for row in by_file.iter_rows(named=True)}
    waiting: dict[str, int] = {}
    for file in bars:
        file_id = file.source_file_id or ""
        row = entered.get(file_id)
        if row is None:
            waiting[file_id] = survey.contents[file_id].records
        elif row["not_loaded"]:
            waiting[file_id] = row["not_loaded"]
    in_folder: dict[str, list[FileRecord]] = defaultdict(list)
    for file in files:
        in_folder[_folder_of(file.path)].append(file)
    return Drive(
        path=None if path is None else str(path),
        mounted=mounted,
        free_bytes=free_room(path),
        files=len(files),
        bytes=sum(file.bytes for file in files),
        bar_files=len(bars),
        folders=tuple(
            _folder(row, in_folder[row.folder], survey.contents, roots, entered)
            for row in by_folder(survey)
            if row.area == "drive"
        ),
        troubles=tuple(_troubles(survey, files, entered, mounted)),
        waiting_files=len(waiting),
        waiting_records=sum(waiting.values()),
    )


def _folder(
    row: FolderRow,
    files: list[FileRecord],
    contents: Mapping[str, Content],
    roots: Collection[str],
    entered: Mapping[str, Mapping[str, int]],
) -> Folder:
    return Folder(
        folder=row.folder,
        says=row.claims,
        content=row.content,
        encoding=", ".join(sorted(row.encodings)),
        files=row.files,
        bytes=row.bytes,
        records=row.records,
        first=_day(row.first),
        last=_day(row.last),
        verdict=row.verdict,
        disagreements=tuple(_disagreements(row, files, contents, roots, entered)),
    )


def _disagreements(
    row: FolderRow,
    files: list[FileRecord],
    contents: Mapping[str, Content],
    roots: Collection[str],
    entered: Mapping[str, Mapping[str, int]],
) -> list[str]:
    """Where a folder's and its files' names, or their absence, say other than the content."""
    bars = [file for file in files if file.verdict == "bars"]
    found: list[str] = []
    misnamed = Counter(
        (claimed[1], contents[file.source_file_id or ""].schema)
        for file in bars
        if (claimed := _SCHEMA_IN_NAME.search(_name_of(file.path)))
    )
    for (claimed_schema, schema), count in sorted(misnamed.items()):
        if claimed_schema != schema:
            named = f"{count:,} of {len(bars):,} files are named {claimed_schema}"
            found.append(f"{named} and hold {schema}")
    held = {parse_symbol(symbol).root for symbol in row.symbols}
    claimed_roots = _claimed_roots(row.folder, roots)
    if bars and claimed_roots is not None:
        if extra := sorted(held & set(roots) - claimed_roots):
            found.append(f"holds {_listed(extra)} besides what it is named for")
        if absent := sorted(claimed_roots - held):
            found.append(f"holds no bar of {_listed(absent)}")
    if outside := sorted(held - set(roots)):
        found.append(f"holds {len(outside)} roots outside the universe: {_listed(outside)}")
    if bars and not any(_name_of(file.path) == "manifest.json" for file in files):
        found.append("no manifest.json: sizes and hashes cannot be held against the vendor's")
    ids = {file.source_file_id or "" for file in bars}
    repeated = sum(entered[file_id]["duplicates"] for file_id in ids if file_id in entered)
    if repeated:
        found.append(f"{repeated:,} of {row.records:,} records repeat bars that another file gave")
    return found


def _claimed_roots(folder: str, roots: Collection[str]) -> set[str] | None:
    """The roots that a `databento_…` folder's name claims; None where it names none."""
    named = [part for part in folder.split("/") if part.startswith("databento_")]
    if not named:
        return None
    words = named[-1].removeprefix("databento_").upper().split("_")
    if words == ["ALL"]:
        return set(roots)
    claimed = {word for word in words if word in roots}
    return claimed or None


def _troubles(
    survey: Survey,
    files: list[FileRecord],
    entered: Mapping[str, Mapping[str, str]],
    mounted: bool,
) -> list[Trouble]:
    present = {file.path for file in files}
    found = [
        Trouble("missing", f"{_folder_of(file.path)}/{name}", "the job's manifest.json lists it")
        for file in files
        if _name_of(file.path) == "manifest.json"
        for name in file.facts.get("lists", ())
        if f"{_folder_of(file.path)}/{name}" not in present
    ]
    at: dict[str, list[str]] = defaultdict(list)
    for file in files:
        if file.verdict == "bars":
            at[file.source_file_id or ""].append(file.path)
            if why := _misnamed(file, survey.contents):
                found.append(Trouble("misnamed", file.path, why))
    if mounted:
        for file_id, row in entered.items():
            if file_id not in at:
                found.append(
                    Trouble("gone", row["path"], f"its bars are loaded (file {file_id[:12]})")
                )
            elif row["path"] not in present:
                found.append(Trouble("renamed", at[file_id][0], f"loaded as {row['path']}"))
    found += [
        Trouble("refused", file.path, file.reason)
        for file in survey.files
        if file.verdict == "refused"
    ]
    found += [Trouble("changing", path, why) for path, why in survey.changing]
    found += [
        Trouble("unlisted", item.path, item.reason)
        for item in survey.unlisted
        if "cannot be" in item.reason
    ]
    return found


def _misnamed(file: FileRecord, contents: Mapping[str, Content]) -> str | None:
    """Why a file's name does not fit its content: another schema, or bars of other days."""
    content = contents[file.source_file_id or ""]
    name = _name_of(file.path)
    schema = _SCHEMA_IN_NAME.search(name)
    if schema and schema[1] != content.schema:
        return f"its name says {schema[1]}, it holds {content.schema}"
    dates = _DATES_IN_NAME.search(name)
    first, last = _day(content.first_ts), _day(content.last_ts)
    if dates is None or first is None or last is None:
        return None
    start, end = _date_in(dates[1]), _date_in(dates[2] or dates[1])
    if start is None or end is None or (start <= first and last <= end):
        return None
    return f"its name says {start} to {end}, it holds {first} to {last} (UTC)"


def _date_in(digits: str) -> dt.date | None:
    try:
        return dt.datetime.strptime(digits, "%Y%m%d").replace(tzinfo=dt.UTC).date()
    except ValueError:
        return None


def _day(microseconds: int | None) -> dt.date | None:
    if microseconds is None:
        return None
    return (_EPOCH + dt.timedelta(microseconds=microseconds)).date()


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0] or "."


def _name_of(path: str) -> str:
    return path.rpartition("/")[2]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
