"""Summarize a survey by folder: what the names claim next to what the content is."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cbi_assets.drive.catalog import Content
from cbi_assets.drive.file_records import (
    FileRecord,
    FormatDetails,
    SidecarDetails,
    StagingDetails,
    details_json,
)
from cbi_assets.drive.sidecars import job_of
from cbi_assets.drive.survey import Survey
from cbi_assets.drive.trust import TRUSTS, Trust
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
    trusts: Counter[Trust] = field(default_factory=Counter)

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

    @property
    def trust(self) -> str:
        """File counts by state of trust, sidecars not counted unless they are refused."""
        return count_trusts(self.trusts)

    def shown(self) -> dict[str, Any]:
        """Return the cells of the row by column heading."""
        return {
            "folder": self.folder,
            "folder says": self.claims,
            "content says": self.content,
            "encoding": ", ".join(sorted(self.encodings)),
            "records": self.records,
            "range": self.range,
            "trust": self.trust,
            "verdict": self.verdict,
        }


def by_folder(survey: Survey) -> list[FolderRow]:
    """Return one row per folder, in path order, including folders without files."""
    rows: dict[AreaPath, FolderRow] = {}
    for file in survey.files:
        folder = file.path if file.area == "staging" else file.path.rpartition("/")[0] or "."
        if (row := rows.get((file.area, folder))) is None:
            row = rows[file.area, folder] = FolderRow(file.area, folder)
        content = survey.contents.get(file.source_file_id or "")
        _add(row, file, content if file.verdict == "bars" else None)
    for file in survey.lacking:
        row = rows.setdefault((file.area, file.folder), FolderRow(file.area, file.folder))
        row.trusts[file.trust] += 1
        absent = f"{file.name} is in the manifest, not here"
        row.reasons[absent if file.fault == "absent" else file.reason] += 1
    for (_, folder), row in rows.items():
        row.claims = _claims(folder, row.claims)
    for item in survey.unlisted:
        row = rows.setdefault((item.area, item.path), FolderRow(item.area, item.path))
        row.claims = _claims(item.path, "")
        row.verdicts[item.reason] += 1
    return [rows[key] for key in sorted(rows)]


@dataclass(frozen=True)
class JobTrust:
    """A job, or a folder of files without one, and how many of its files are in each state."""

    job: str
    folder: str
    files: Mapping[Trust, int]
    has_damaged_manifest: bool = False

    @property
    def trust(self) -> Trust:
        """The job's state: the first of TRUSTS that any of its files is in."""
        return next((trust for trust in TRUSTS if self.files.get(trust)), "ignored")


def jobs_of(survey: Survey) -> list[JobTrust]:
    """Return the jobs on the drive with their states, by folder."""
    found: dict[str, tuple[str, Counter[Trust]]] = {}
    damaged: set[str] = set()
    for file in (*survey.files, *survey.lacking):
        if file.area != "drive" or not _counts_for_trust(file):
            continue
        details = file.details
        of_file = details.job_id if isinstance(details, FormatDetails | SidecarDetails) else None
        folder = file.folder
        job, counts = found.get(folder) or ("", Counter())
        counts[file.trust] += 1
        if file.fault == "manifest":
            damaged.add(folder)
        found[folder] = (job or of_file or "", counts)
    return [
        JobTrust(job or job_of(f"{folder}/") or folder, folder, dict(counts), folder in damaged)
        for folder, (job, counts) in sorted(found.items())
        if counts.keys() != {"ignored"}
    ]


def jobs_document(survey: Survey) -> list[dict[str, Any]]:
    """Return the jobs on the drive as JSON values."""
    return [asdict(job) | {"trust": job.trust} for job in jobs_of(survey)]


def count_trusts(trusts: Mapping[Trust, int]) -> str:
    """Return counts by state of trust: `3 verified, 1 refused`."""
    return ", ".join(f"{trusts[trust]:,} {trust}" for trust in TRUSTS if trusts.get(trust))


def trusts_of(survey: Survey) -> dict[Trust, int]:
    """Return how many files of the drive are in each state, intact sidecars not counted."""
    files = [file for file in (*survey.files, *survey.lacking) if file.area == "drive"]
    counted = Counter(file.trust for file in files if _counts_for_trust(file))
    return {trust: counted[trust] for trust in TRUSTS}


def _counts_for_trust(file: FileRecord) -> bool:
    return file.verdict not in ("sidecar", "zip", "staging")


def dataset_differs(details: SidecarDetails, dataset: str | None) -> bool:
    """Whether a job's sidecars state another dataset than this one; None is any."""
    return None not in (dataset, details.dataset) and details.dataset != dataset


def missing_days_of(files: Iterable[FileRecord], dataset: str) -> set[dt.date]:
    """Return the days that condition.json files of the dataset's jobs call missing."""
    return {
        day
        for file in files
        if isinstance(file.details, SidecarDetails) and not dataset_differs(file.details, dataset)
        for day in file.details.missing_days
    }


def as_json(survey: Survey) -> dict[str, Any]:
    """Return the whole inventory, file by file."""
    files = []
    for file in (*survey.files, *survey.lacking):
        content = survey.contents.get(file.source_file_id or "")
        row: dict[str, Any] = {
            "area": file.area,
            "path": file.path,
            "bytes": file.bytes,
            "verdict": file.verdict,
            "trust": file.trust,
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
        "trust": trusts_of(survey),
        "jobs": jobs_document(survey),
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
    if _counts_for_trust(file):
        row.trusts[file.trust] += 1
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
