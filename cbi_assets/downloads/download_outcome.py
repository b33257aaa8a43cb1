"""The outcome of a download."""

from __future__ import annotations

from dataclasses import dataclass, field

from cbi_assets.databento_api.job_files import FetchedJob
from cbi_assets.downloads.job_ledger import JobRow


@dataclass(frozen=True)
class DownloadOutcome:
    """A plan's jobs, in the plan's order, and what this run submitted and downloaded."""

    plan_hash: str
    approval_id: str
    jobs: list[JobRow]
    submitted: int
    fetched: list[FetchedJob] = field(default_factory=list)

    @property
    def spent_usd(self) -> float:
        """The cost of all the plan's jobs in US dollars."""
        return sum(row.spent_usd for row in self.jobs)

    @property
    def active(self) -> list[JobRow]:
        """Jobs whose files are not on the drive yet."""
        return [row for row in self.jobs if row.is_active]

    @property
    def is_complete(self) -> bool:
        """Whether every request's files are on the drive."""
        return all(row.state == "downloaded" for row in self.jobs)
