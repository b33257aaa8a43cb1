"""Summarize a survey by folder: what the names claim next to what the content is."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cbi_assets.drive.catalog import (
    Content,
    FileRecord,
    SidecarDetails,
    StagingDetails,
    details_json,
)
from cbi_assets.drive.survey import Survey
from cbi_assets.drive.walk import Area, AreaPath
from cbi_assets.timestamps import utc_from_micros

_CLAIMED_SCHEMA = re.compile(r"\.(ohlcv-\w+)\.")


@dataclass
class FolderRow:
    """One folder of the drive, or one file of staging.

    `claims` is what the names say, the rest what the content says. `first` and `last` are bars'
    starts in microseconds since 1970, UTC; `columns` are those of a staging Parquet file.
    """

    area: Area
    folder: str
    claims: str = ""
    files: int = 0
    bytes: int = 0
    records: int = 0
    schemas: Counter[str] = field(default_factory=Counter)
    encodings: Counter[str] = field(default_factory=Counter)
    symbols: set[str] = field(default_factory=set)
    first: int | None = None
    last: int | None = None
    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    columns: tuple[str, ...] = ()

    @property
    def content(self) -> str:
        """What the content says: schemas with file counts, and symbols."""
        if self.columns:
            return f"Parquet: {', '.join(self.columns[:4])} …"
        if not self.schemas:
            return "no bars"
        schemas = ", ".join(f"{name} ({count} files)" for name, count in self.schemas.items())
        names = sorted(self.symbols)
        listed = ", ".join(names[:4]) + (f" … {len(names)} symbols" if len(names) > 4 else "")
        return f"{schemas}: {listed}"

    @property
    def range(self) -> str:
        """UTC dates of the first and the last bar; empty without bars."""
        if self.first is None or self.last is None:
            return ""
        return f"{_date(self.first)} to {_date(self.last)}"

    @property
    def verdict(self) -> str:
        """File counts by verdict, with the reasons of the files that do not load."""
        counted = ", ".join(f"{count} {name}" for name, count in sorted(self.verdicts.items()))
        reasons = "; ".join(reason for reason in self.reasons if reason)
        return f"{counted}: {reasons}" if reasons else counted

    def shown(self) -> dict[str, Any]:
        """Return the cells of the row by column heading."""
        return {
            "folder": self.folder,
            "folder says": self.claims,
            "content says": self.content,
            "encoding": ", ".join(sorted(self.encodings)),
            "records": self.records,
            "range": self.range,
            "verdict": self.verdict,
        }


def by_folder(survey: Survey) -> list[FolderRow]:
    """Return one row per folder, in path order, including folders without files."""
    rows: dict[AreaPath, FolderRow] = {}
    for file in survey.files:
        folder = file.path if file.area == "staging" else file.path.rpartition("/")[0] or "."
        row = rows.setdefault((file.area, folder), FolderRow(file.area, folder))
        content = survey.contents.get(file.source_file_id or "")
        _add(row, file, content if file.verdict == "bars" else None)
    for folder, name in missing_files(survey.files):
        rows["drive", folder].reasons[f"{name} is in the manifest, not here"] += 1
    for (_, folder), row in rows.items():
        row.claims = _claims(folder, row.claims)
    for item in survey.unlisted:
        row = rows.setdefault((item.area, item.path), FolderRow(item.area, item.path))
        row.claims = _claims(item.path, "")
        row.verdicts[item.reason] += 1
    return [rows[key] for key in sorted(rows)]


def missing_files(files: Iterable[FileRecord]) -> list[tuple[str, str]]:
    """Return (folder, name) of each file that a manifest lists and its folder lacks."""
    files = [file for file in files if file.area == "drive"]
    present = {file.path for file in files}
    missing: list[tuple[str, str]] = []
    for file in files:
        folder, _, name = file.path.rpartition("/")
        if name == "manifest.json" and isinstance(file.details, SidecarDetails):
            missing += [
                (folder or ".", listed)
                for listed in file.details.lists
                if f"{folder}/{listed}".lstrip("/") not in present
            ]
    return missing


def missing_days_of(files: Iterable[FileRecord]) -> list[dt.date]:
    """Return the days that jobs' condition.json files call missing at the vendor, in order."""
    details = (file.details for file in files)
    return sorted({day for d in details if isinstance(d, SidecarDetails) for day in d.missing_days})


def as_json(survey: Survey) -> dict[str, Any]:
    """Return the whole inventory, file by file."""
    files = []
    for file in survey.files:
        content = survey.contents.get(file.source_file_id or "")
        row: dict[str, Any] = {
            "area": file.area,
            "path": file.path,
            "bytes": file.bytes,
            "verdict": file.verdict,
            "reason": file.reason,
            "sha256": file.source_file_id,
            **details_json(file.details),
        }
        if content is not None:
            row |= {
                "schema": content.schema,
                "records": content.records,
                "symbols": list(content.symbols),
                "first": _iso(content.first_ts),
                "last": _iso(content.last_ts),
                "same_bytes_as": None if content.path == file.path else content.path,
            }
        files.append(row)
    return {
        "files": files,
        "unlisted": [{"area": u.area, "path": u.path, "reason": u.reason} for u in survey.unlisted],
        "still_changing": [{"path": path, "reason": why} for path, why in survey.changing],
        "files_read": survey.read,
    }


def _add(row: FolderRow, file: FileRecord, content: Content | None) -> None:
    row.files += 1
    row.bytes += file.bytes
    if match := _CLAIMED_SCHEMA.search(file.path.rpartition("/")[2]):
        claimed = match[1]
        if claimed not in row.claims:
            row.claims = f"{row.claims}, {claimed}".strip(", ")
    row.verdicts[file.verdict] += 1
    if file.verdict not in ("bars", "sidecar"):
        row.reasons[file.reason] += 1
    if isinstance(file.details, StagingDetails):
        row.columns = file.details.columns
        row.records = file.details.records
    if content is None:
        return
    row.records += content.records
    row.schemas[content.schema] += 1
    row.encodings[content.encoding + ("+zstd" if content.compression == "zstd" else "")] += 1
    row.symbols |= set(content.symbols)
    if content.first_ts is not None and content.last_ts is not None:
        row.first = min(content.first_ts, row.first or content.first_ts)
        row.last = max(content.last_ts, row.last or content.last_ts)


def _claims(folder: str, schemas: str) -> str:
    """What the names say: the `databento_…` folder and the schemas in the files' names."""
    named = [part for part in folder.split("/") if part.startswith("databento_")]
    return " ".join(part for part in (named[-1] if named else "", schemas) if part)


def _date(micros: int) -> str:
    return utc_from_micros(micros).date().isoformat()


def _iso(micros: int | None) -> str | None:
    return None if micros is None else utc_from_micros(micros).isoformat()
