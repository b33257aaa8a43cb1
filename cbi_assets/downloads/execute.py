"""Execute an approved plan: buy what is missing, and download what is done.

Every step is recorded in ops.download_jobs, so that a run continues wherever an earlier one was
killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from cbi_assets.config.settings import Home
from cbi_assets.databento_api.client import Clients
from cbi_assets.downloads.approvals import find_valid, record_use
from cbi_assets.downloads.buy import buy_missing
from cbi_assets.downloads.disk_space import require_writable
from cbi_assets.downloads.download_outcome import DownloadOutcome
from cbi_assets.downloads.download_run import Clock, DownloadRun
from cbi_assets.downloads.fetch import NullProgress, Progress, fetch_finished
from cbi_assets.downloads.job_ledger import read_jobs
from cbi_assets.downloads.plan_model import Plan
from cbi_assets.errors import CbiError, HomeBusyError
from cbi_assets.session import Project


def execute(
    project: Project,
    plan: Plan,
    clients: Clients,
    *,
    clock: Clock,
    progress: Progress | None = None,
    buy: bool = True,
    wait: bool = True,
) -> DownloadOutcome:
    """Buy a plan's missing requests and download their files, continuing earlier runs.

    Call it outside a session: it opens one for each read and write, so that loads can run while it
    waits for Databento.

    Parameters
    ----------
    project : Project
        Home, warehouse and drive.
    plan : Plan
        What to download. Needs an approval.
    clients : Clients
        The account that pays.
    clock : callable
        Returns the current time, UTC.
    progress : Progress, optional
        Where downloads report to.
    buy : bool
        If False, submit nothing.
    wait : bool
        If False, poll the jobs once.

    Raises
    ------
    UsageError
        If an approval, a setting, the drive or the price does not allow it.
    ServiceError
        If Databento fails after retries, or another download is running in this home.
    CbiError
        If a job expired, or the drive cannot be written. Everything else was downloaded.
    """
    run = DownloadRun(project, plan, clients, clock)
    require_writable(run.raw, {request.root for request in plan.requests})
    with _only_download(project.home):
        with run.session() as session:
            approval = find_valid(session, plan, to_fetch=True)
            run.resume(read_jobs(session.warehouse), approval)
        if buy:
            approval = buy_missing(run, approval)
        fetch_finished(run, progress or NullProgress(), wait)
        if run.is_finished:
            with run.session() as session:
                record_use(session, approval, "finished")
    if run.problems:
        raise _join(run.problems)
    rows = (run.rows.get(request.request_id) for request in plan.requests)
    return DownloadOutcome(
        plan.plan_hash,
        approval.approval_id,
        [row for row in rows if row is not None],
        run.submitted,
        run.fetched,
    )


@contextmanager
def _only_download(home: Home) -> Iterator[None]:
    home.create()
    lock = FileLock(home.root / "downloads.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise HomeBusyError(
            "another download is running here",
            subject=str(home.root),
            remedy="Let it finish, then retry.",
        ) from None
    try:
        yield
    finally:
        lock.release()


def _join(problems: list[CbiError]) -> CbiError:
    """Return the first problem, with the number of others; its type decides the exit status."""
    first = problems[0]
    if len(problems) == 1:
        return first
    others = len(problems) - 1
    return type(first)(
        f"{first.problem.removesuffix('.')} (and {others} more; retry for the rest)",
        subject=first.subject,
        remedy=first.remedy,
        code=first.code,
    )
