"""What a download shows while it runs, and what has become of the plan at its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from cbi_assets.databento_api.job_files import FetchedJob
from cbi_assets.databento_api.job_files import Progress as FileProgress
from cbi_assets.downloads.job_ledger import LIVE, JobRow


class Progress(FileProgress, Protocol):
    """What is shown while files come."""

    def start(self, what: str, nbytes: int) -> None:
        """A job's files are fetched now."""


class Quiet:
    """Shows nothing."""

    def start(self, what: str, nbytes: int) -> None:
        """Shows nothing."""

    def advance(self, nbytes: int) -> None:
        """Shows nothing."""


@dataclass(frozen=True)
class DownloadOutcome:
    """What became of a plan: its jobs, by the plan's order, and what was bought and fetched now."""

    plan_hash: str
    approval_id: str
    jobs: list[JobRow]
    submitted: int
    fetched: list[FetchedJob] = field(default_factory=list)

    @property
    def spent_usd(self) -> float:
        """What all of the plan's jobs cost, US dollars."""
        return sum(row.spent_usd for row in self.jobs)

    @property
    def under_way(self) -> list[JobRow]:
        """Jobs that the vendor still works on."""
        return [row for row in self.jobs if row.state in LIVE]

    @property
    def whole(self) -> bool:
        """Whether every request's files are on the drive."""
        return all(row.state == "downloaded" for row in self.jobs)
