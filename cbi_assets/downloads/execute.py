"""Download what was approved: quote, enter the intent, submit, follow, fetch, verify.

Every step is entered in ops.download_jobs before or right after it is done, so that a process
killed anywhere is followed by one that goes on there. A request is bought at most once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from cbi_assets.databento_api.batch_jobs import (
    Job,
    OutcomeUnknownError,
    find_job,
    get_job,
    list_files,
    submit_job,
)
from cbi_assets.databento_api.client import Clients
from cbi_assets.databento_api.file_listing import parse_listing
from cbi_assets.databento_api.job_files import FetchedJob, discard_part, fetch_job
from cbi_assets.databento_api.quotes import get_cost, get_size
from cbi_assets.downloads.approvals import Approval, find_valid, record_use
from cbi_assets.downloads.disk_space import raw_folder, require_room, require_writable, root_folder
from cbi_assets.downloads.download_outcome import DownloadOutcome, Progress, Quiet
from cbi_assets.downloads.job_ledger import LIVE, JobRow, intend, read_jobs, write
from cbi_assets.downloads.plan_model import Plan, Request
from cbi_assets.errors import CbiError, HomeBusyError, ServiceError, UsageError
from cbi_assets.session import Project, open_session
from cbi_assets.warehouse.base import Warehouse

SETTLE_SECONDS = 300.0
"""Within this time of an intent its job may still turn up at the vendor; only later is it held to
have never arrived. Three times what the client waits for an answer."""

POLLS = (2.0, 60.0)
"""First and longest pause between two looks at the jobs under way, seconds."""

PATIENCE_SECONDS = 6 * 3600.0
"""How long one call waits for jobs to be done."""

Clock = Callable[[], dt.datetime]
Tell = Callable[[str], None]


def execute(
    project: Project,
    plan: Plan,
    clients: Clients,
    *,
    clock: Clock,
    tell: Tell = lambda message: None,
    progress: Progress | None = None,
    buy: bool = True,
    wait: bool = True,
) -> DownloadOutcome:
    """Buy what of `plan` was not bought yet, and fetch what is done; again, it goes on.

    With `buy` False nothing is submitted, with `wait` False jobs are looked at once. Do not hold
    the home: it is held for moments only, so that loads go on beside a long wait.

    Raises UsageError where an approval, a setting, the drive or the price stands against it;
    ServiceError where the vendor fails after retries; CbiError where a job expired or the drive
    does not take a file. What can be fetched is fetched first, and money is spent once.
    """
    raw = raw_folder(project.settings)
    require_writable(raw, {request.root for request in plan.requests})
    with _alone(project):
        return _Download(project, plan, clients, raw, clock, tell, progress or Quiet()).run(
            buy, wait
        )


@contextmanager
def _alone(project: Project) -> Iterator[None]:
    project.home.create()
    lock = FileLock(project.home.root / "downloads.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise HomeBusyError(
            f"{project.home.root}: another download is at work here. Let it finish, then run "
            "this again."
        ) from None
    try:
        yield
    finally:
        lock.release()


class _Download:
    def __init__(
        self,
        project: Project,
        plan: Plan,
        clients: Clients,
        raw: Path,
        clock: Clock,
        tell: Tell,
        progress: Progress,
    ) -> None:
        self._project = project
        self._plan = plan
        self._clients = clients
        self._raw = raw
        self._clock = clock
        self._tell = tell
        self._progress = progress
        self._problems: list[CbiError] = []
        self._fetched: list[FetchedJob] = []
        self._submitted = 0
        self._rows: dict[str, JobRow] = {}
        self._others: set[str] = set()

    def run(self, buy: bool, wait: bool) -> DownloadOutcome:
        with self._warehouse() as warehouse:
            approval = find_valid(warehouse, self._plan, self._clock(), to_fetch=True)
            rows = read_jobs(warehouse)
        self._others = {row.job_id for row in rows if row.job_id is not None}
        for request in self._plan.requests:
            mine = [row for row in rows if row.request_id == request.request_id]
            if (row := self._standing(mine, approval)) is not None:
                self._rows[request.request_id] = row
        if buy:
            approval = self._buy(approval)
        self._follow(wait)
        if self._settled():
            with self._warehouse() as warehouse:
                record_use(warehouse, approval, "finished", self._clock())
        if self._problems:
            raise _joined(self._problems)
        order = [request.request_id for request in self._plan.requests]
        return DownloadOutcome(
            self._plan.plan_hash,
            approval.approval_id,
            [self._rows[name] for name in order if name in self._rows],
            self._submitted,
            self._fetched,
        )

    def _standing(self, rows: Collection[JobRow], approval: Approval) -> JobRow | None:
        """The row that tells how far a request is; None where it has to be bought."""
        for row in rows:
            if row.state in LIVE:
                return row
        for row in rows:
            if row.state == "downloaded" and self._is_there(row):
                return row
        for row in rows:
            if row.state == "submitting":
                return row
        own = [row for row in rows if row.approval_id == approval.approval_id]
        for row in own:
            if row.state == "downloaded":
                # somebody took its folder away: the vendor still has the files for a while
                return replace(row, state="done")
            if row.state == "expired":
                return row
        return None

    def _is_there(self, row: JobRow) -> bool:
        return row.folder is not None and (self._drive / row.folder).is_dir()

    @property
    def _drive(self) -> Path:
        assert self._project.settings.cbi_drive is not None
        return self._project.settings.cbi_drive.expanduser()

    @contextmanager
    def _warehouse(self) -> Iterator[Warehouse]:
        with open_session(self._project, now=self._clock()) as session:
            yield session.warehouse

    def _write(self, *rows: JobRow) -> None:
        changed = [replace(row, updated_at=self._clock()) for row in rows]
        with self._warehouse() as warehouse:
            write(warehouse, changed)
        for row in changed:
            self._rows[row.request_id] = row

    def _buy(self, approval: Approval) -> Approval:
        """Submit what was not bought yet; give the approval that was bought on."""
        for request in self._plan.requests:
            row = self._rows.get(request.request_id)
            if row is not None and row.state == "submitting":
                self._settle(request, row, until_sure=True)
        missing = [r for r in self._plan.requests if not self._is_bought(r)]
        if not missing:
            return approval
        with self._warehouse() as warehouse:
            approval = find_valid(warehouse, self._plan, self._clock())
            spent = sum(
                row.spent_usd
                for row in read_jobs(warehouse)
                if row.approval_id == approval.approval_id
            )
        quotes = {request.request_id: get_cost(self._clients, request) for request in missing}
        _hold_to_ceiling(approval, spent, sum(quotes.values()), len(missing))
        require_room(self._raw, self._bytes_to_come(missing))
        with self._warehouse() as warehouse:
            record_use(warehouse, approval, "begun", self._clock())
        for place, request in enumerate(missing):
            try:
                quotes[request.request_id] = get_cost(self._clients, request)
                left = sum(quotes[later.request_id] for later in missing[place:])
                _hold_to_ceiling(approval, spent, left, len(missing) - place)
                spent += self._submit(request, approval, quotes[request.request_id])
            except CbiError as error:
                # what was bought is fetched before this is told
                self._problems.append(error)
                break
        return approval

    def _is_bought(self, request: Request) -> bool:
        row = self._rows.get(request.request_id)
        return row is not None and row.state != "failed"

    def _bytes_to_come(self, missing: list[Request]) -> int:
        """At the most: the files come compressed, the vendor bills them as they are not."""
        bought = [
            request.bytes or 0
            for request in self._plan.requests
            if (row := self._rows.get(request.request_id)) is not None and row.state in LIVE
        ]
        return sum(get_size(self._clients, request) for request in missing) + sum(bought)

    def _submit(self, request: Request, approval: Approval, cost: float) -> float:
        """Buy one request: intent, submission, record. Give what it costs."""
        now = self._clock()
        row = JobRow(
            approval_id=approval.approval_id,
            request_id=request.request_id,
            plan_hash=self._plan.plan_hash,
            root=request.root,
            schema=request.schema,
            job_id=None,
            state="submitting",
            quoted_usd=cost,
            billed_usd=None,
            folder=None,
            files=None,
            bytes=None,
            told=None,
            intended_at=now,
            submitted_at=None,
            updated_at=now,
        )
        with self._warehouse() as warehouse:
            intend(warehouse, row)
        self._rows[request.request_id] = row
        try:
            job = submit_job(self._clients, request)
        except OutcomeUnknownError as error:
            self._tell(str(error))
            if not self._settle(request, row, until_sure=False):
                raise
            return cost
        except CbiError as error:
            self._write(replace(row, state="failed", told=str(error)))
            raise
        self._enter(row, job)
        self._submitted += 1
        self._tell(
            f"submitted {','.join(request.symbols)} {request.schema} {request.start} to "
            f"{request.end}: job {job.id}, {cost:,.2f} USD"
        )
        return cost

    def _settle(self, request: Request, row: JobRow, until_sure: bool) -> bool:
        """Look at the vendor for the job of an intent whose end is not known; whether it is there.

        Looks again until one that was received would have shown up. With `until_sure` the intent
        is then entered as failed, so that it may be bought.
        """
        sure_at = row.intended_at + dt.timedelta(seconds=SETTLE_SECONDS)
        first, most = POLLS
        pause = first
        waited = 0.0
        while True:
            age = (self._clock() - row.intended_at).total_seconds()
            job = find_job(self._clients, request, row.intended_at, self._others)
            if job is not None:
                self._tell(f"request {request.request_id}: job {job.id} had arrived")
                self._enter(row, job)
                return True
            if max(age, waited) >= SETTLE_SECONDS:
                break
            if not waited:
                self._tell(
                    f"request {request.request_id}: looking until {sure_at:%H:%M:%S} UTC whether "
                    "its job arrived, before it is bought"
                )
            self._clients.pause(pause)
            waited += pause
            pause = min(most, pause * 2)
        if until_sure:
            self._write(replace(row, state="failed", told="no job of it arrived at the vendor"))
        return False

    def _enter(self, row: JobRow, job: Job) -> None:
        self._others.add(job.id)
        self._write(
            replace(row, job_id=job.id, state="submitted", submitted_at=job.received_at,
                    billed_usd=job.cost_usd)
        )  # fmt: skip

    def _follow(self, wait: bool) -> None:
        """Look at the jobs under way and fetch each that is done, until none is left."""
        stuck: set[str] = set()
        pause, most = POLLS
        waited = 0.0
        while True:
            moved = False
            for request in self._plan.requests:
                row = self._rows.get(request.request_id)
                if row is None or row.state not in LIVE or request.request_id in stuck:
                    continue
                try:
                    moved |= self._advance(request, row)
                except CbiError as error:
                    self._problems.append(error)
                    stuck.add(request.request_id)
            left = [
                row for name, row in self._rows.items() if row.state in LIVE and name not in stuck
            ]
            if not left or not wait:
                return
            if waited >= PATIENCE_SECONDS:
                raise ServiceError(
                    f"Databento: {len(left)} jobs are not done after {waited / 3600:.1f} h "
                    f"({left[0].job_id} is {left[0].state}). Run this again to go on waiting; "
                    "nothing is bought again."
                )
            pause = POLLS[0] if moved else min(most, pause * 1.5)
            self._clients.pause(pause)
            waited += pause

    def _advance(self, request: Request, row: JobRow) -> bool:
        """Look at one job, and fetch it where it is done; whether there was news."""
        assert row.job_id is not None
        job = get_job(self._clients, row.job_id)
        folder = root_folder(self._raw, request.root) / job.id
        if job.state == "expired":
            discard_part(folder)
            told = (
                f"job {job.id} of {','.join(request.symbols)} {request.schema} expired at "
                "Databento before its files were fetched. It was paid for; to buy it again, plan "
                "and approve it anew."
            )
            self._write(replace(row, state="expired", told=told, billed_usd=job.cost_usd))
            raise CbiError(told)
        if job.state != "done":
            if job.state == row.state:
                return False
            self._write(replace(row, state=job.state))
            return True
        files = parse_listing(self._clients, job.id, list_files(self._clients, job.id))
        size = sum(file.size or 0 for file in files)
        require_room(self._raw, size)
        self._progress.start(f"{request.root} {request.timeframe} {job.id}", size)
        fetched = fetch_job(self._clients, files, folder, self._progress)
        self._fetched.append(fetched)
        self._write(
            replace(
                row,
                state="downloaded",
                billed_usd=job.cost_usd,
                folder=folder.relative_to(self._drive).as_posix(),
                files=fetched.files,
                bytes=fetched.bytes,
            )
        )
        self._tell(f"downloaded {fetched.files} files, {fetched.bytes / 1e6:,.1f} MB: {folder}")
        return True

    def _settled(self) -> bool:
        """Whether nothing of the plan is left to buy or to fetch."""
        return all(
            (row := self._rows.get(request.request_id)) is not None
            and row.state in ("downloaded", "expired")
            for request in self._plan.requests
        )


def _hold_to_ceiling(approval: Approval, spent: float, to_come: float, requests: int) -> None:
    """Raise UsageError where `to_come`, with what was spent on the approval, is above it."""
    if spent + to_come <= approval.max_usd:
        return
    so_far = f"{spent:,.2f} USD is spent" if spent else "nothing was bought"
    raise UsageError(
        f"plan {approval.plan_hash[:12]}: Databento now asks {to_come:,.2f} USD for {requests} "
        f"requests, and {so_far}: above the {approval.max_usd:,.2f} USD that "
        f"{approval.approved_by} approved. Plan anew by `cbi plan`, and have that approved."
    )


def _joined(problems: list[CbiError]) -> CbiError:
    """The first problem, the others counted; its kind decides the exit status."""
    if len(problems) == 1:
        return problems[0]
    first = problems[0]
    return type(first)(
        f"{first.problem} (and {len(problems) - 1} more problems)",
        subject=first.subject,
        remedy=first.remedy,
        code=first.code,
    )
