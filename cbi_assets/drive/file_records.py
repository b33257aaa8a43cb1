"""What the catalog keeps of a file on the drive or in staging."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Literal

from cbi_assets.drive.conditions import MISSING, ConditionRun
from cbi_assets.drive.trust import Trust
from cbi_assets.drive.walk import Area

Verdict = Literal["bars", "refused", "foreign", "sidecar", "zip", "staging", "other"]

Fault = Literal["", "manifest", "absent"]
"""What a file is refused for: its job's damaged manifest, which a person can overrule; being absent
though a manifest lists it; or, if empty, its own bytes.
"""


@dataclass(frozen=True)
class FormatDetails:
    """The format of a file on the drive, as detected from its content, and its job."""

    job_id: str | None
    encoding: str
    compression: str
    schema: str | None
    dataset: str | None


@dataclass(frozen=True)
class SidecarDetails:
    """What all sidecars of a sidecar's folder say: `lists` are the file names in its manifest.

    `conditions` are a condition.json's own; None if an earlier version read it.
    """

    job_id: str | None
    dataset: str | None
    lists: tuple[str, ...]
    conditions: tuple[ConditionRun, ...] | None = ()

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> SidecarDetails:
        """Parse what `details_json` returned."""
        runs = found.get("conditions")
        conditions = None if runs is None else tuple(map(ConditionRun.from_json, runs))
        return cls(found["job_id"], found["dataset"], tuple(found["lists"]), conditions)

    @property
    def missing_days(self) -> list[dt.date]:
        """The days that the vendor calls missing."""
        runs = [run for run in self.conditions or () if run.condition == MISSING]
        return [day.day for run in runs for day in run.days()]


@dataclass(frozen=True)
class StagingDetails:
    """The footer of a staging Parquet file: its row count and its first columns."""

    encoding: str
    records: int
    columns: tuple[str, ...]

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> StagingDetails:
        """Parse what `details_json` returned."""
        return cls(found["encoding"], found["records"], tuple(found.get("columns", ())))


FileDetails = FormatDetails | SidecarDetails | StagingDetails


def details_json(details: FileDetails | None) -> dict[str, Any]:
    """Return details as a JSON object, with dates in ISO format; empty for None."""
    if details is None:
        return {}
    found: dict[str, Any] = {**vars(details)}
    if isinstance(details, SidecarDetails):
        found["missing_days"] = [str(day) for day in details.missing_days]  # earlier versions'
        found["conditions"] = [run.to_json() for run in details.conditions or ()]
    return found


def parse_details(verdict: Verdict, found: dict[str, Any]) -> FileDetails | None:
    """Parse what `details_json` returned."""
    if not found:
        return None
    if "lists" in found:  # a refused sidecar's too
        return SidecarDetails.from_json(found)
    return StagingDetails.from_json(found) if verdict == "staging" else FormatDetails(**found)


@dataclass(frozen=True)
class Stamp:
    """A file's size and modification time, and `sidecars`, those of its folder's sidecars."""

    size: int
    mtime_ns: int
    sidecars: str = ""

    def __str__(self) -> str:
        return f"{self.size}:{self.mtime_ns}|{self.sidecars}"

    @classmethod
    def parse(cls, text: str) -> Stamp | None:
        """Parse what `str` returned; None for an empty text."""
        own, _, sidecars = text.partition("|")
        size, _, mtime_ns = own.partition(":")
        return cls(int(size), int(mtime_ns), sidecars) if text else None


@dataclass(frozen=True)
class FileRecord:
    """One path of the drive or of staging, as last read.

    Without a `stamp` to compare, every run reads it again. `verified`: its manifest lists it.
    """

    area: Area
    path: str
    stamp: Stamp | None
    bytes: int
    verdict: Verdict
    reason: str = ""
    source_file_id: str | None = None
    details: FileDetails | None = None
    verified: bool = False
    fault: Fault = ""

    @property
    def trust(self) -> Trust:
        """How far the file can be trusted."""
        if self.verdict == "refused":
            return "refused"
        if self.verdict in ("foreign", "other"):
            return "ignored"
        return "verified" if self.verified else "unverified"

    @property
    def folder(self) -> str:
        """The folder of `path`, `.` at the root."""
        return self.path.rpartition("/")[0] or "."

    @property
    def name(self) -> str:
        """The file's name, without its folder."""
        return self.path.rpartition("/")[2]

    @property
    def acceptance_key(self) -> str:
        """What a person's acceptance names: the bytes, or the path of what has none."""
        return self.source_file_id or self.path
