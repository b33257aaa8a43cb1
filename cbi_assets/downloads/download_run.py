"""The state of one run of `cbi download`, in memory and in ops.download_jobs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace

from cbi_assets.databento_api.client import Clients
from cbi_assets.databento_api.job_files import FetchedJob
from cbi_assets.downloads.approvals import Approval
from cbi_assets.downloads.disk_space import drive_folder, raw_folder
from cbi_assets.downloads.job_ledger import JobRow, write_jobs
from cbi_assets.downloads.plan_model import Plan, Request
from cbi_assets.errors import CbiError
from cbi_assets.session import Project, Session, open_session

POLL_SECONDS = (2.0, 60.0)
"""Shortest and longest pause between two polls of Databento."""

Clock = Callable[[], dt.datetime]


class DownloadRun:
    """A plan's jobs and what this run did about them.

    `rows` are the jobs by request ID. `job_ids` are all known jobs, of other plans too. `problems`
    are raised at the end, so that what was bought is downloaded first.
    """

    def __init__(self, project: Project, plan: Plan, clients: Clients, clock: Clock) -> None:
        self.project = project
        self.plan = plan
        self.clients = clients
        self.clock = clock
        self.drive = drive_folder(project.settings)
        self.raw = raw_folder(self.drive)
        self.rows: dict[str, JobRow] = {}
        self.job_ids: set[str] = set()
        self.problems: list[CbiError] = []
        self.submitted = 0
        self.fetched: list[FetchedJob] = []
        self._tables_exist = False

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Acquire the home for one read or write, so that loads can run during a long wait."""
        create_tables = not self._tables_exist
        with open_session(
            self.project, now=self.clock(), create_tables=create_tables, for_readers=False
        ) as session:
            yield session
        self._tables_exist = True

    def resume(self, rows: Collection[JobRow], approval: Approval) -> None:
        """Take over what earlier runs recorded, under this approval or another."""
        self.job_ids = {row.job_id for row in rows if row.job_id is not None}
        for request in self.plan.requests:
            own = [
                row
                for row in rows
                if row.request_id == request.request_id and row.job_id not in request.replaces
            ]
            if (row := self._current(own, approval)) is not None:
                self.rows[request.request_id] = row

    def write(self, row: JobRow) -> None:
        """Record a job's new state."""
        row = replace(row, updated_at=self.clock())
        with self.session() as session:
            write_jobs(session.warehouse, [row])
        self.rows[row.request_id] = row

    def is_bought(self, request: Request) -> bool:
        """Whether the request has a job, or may have one."""
        row = self.rows.get(request.request_id)
        return row is not None and row.state != "failed"

    @property
    def is_finished(self) -> bool:
        """Whether nothing of the plan is left to buy or to download."""
        return all(
            (row := self.rows.get(request.request_id)) is not None
            and row.state in ("downloaded", "expired")
            for request in self.plan.requests
        )

    def _current(self, rows: Collection[JobRow], approval: Approval) -> JobRow | None:
        """Return the row that states how far a request is, None if it has to be bought."""
        for row in rows:
            if row.is_active:
                return row
        for row in rows:
            if row.state == "downloaded" and self._is_on_drive(row):
                return row
        for row in rows:
            if row.state == "submitting":
                return row
        for row in rows:
            if row.approval_id != approval.approval_id:
                continue
            if row.state == "downloaded":
                # Its folder was removed, and Databento keeps the files for a while.
                return replace(row, state="done")
            if row.state == "expired":
                return row
        return None

    def _is_on_drive(self, row: JobRow) -> bool:
        return row.folder is not None and (self.drive / row.folder).is_dir()
