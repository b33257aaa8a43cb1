"""Follow a plan's jobs, and download the files of each one that is done."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Protocol

from cbi_assets.databento_api import job_files
from cbi_assets.databento_api.batch_jobs import get_job, list_files
from cbi_assets.databento_api.file_listing import parse_listing
from cbi_assets.databento_api.job_files import discard_part, fetch_job
from cbi_assets.downloads.disk_space import require_space, root_folder
from cbi_assets.downloads.download_run import POLL_SECONDS, DownloadRun
from cbi_assets.downloads.job_ledger import JobRow
from cbi_assets.downloads.plan_model import Request
from cbi_assets.errors import CbiError, ServiceError
from cbi_assets.formatting import plural, size

MAX_WAIT_SECONDS = 6 * 3600.0
"""How long one run waits for jobs to be done."""

logger = logging.getLogger(__name__)


class Progress(job_files.Progress, Protocol):
    """Where downloads report to."""

    def start(self, title: str, nbytes: int) -> None:
        """Begin a job with this many bytes."""


class NullProgress(job_files.NullProgress):
    """Reports nowhere."""

    def start(self, title: str, nbytes: int) -> None:
        """Do nothing."""


def fetch_finished(run: DownloadRun, progress: Progress, wait: bool) -> None:
    """Download the files of jobs as they get done, until none is left; without `wait`, poll once.

    A job's error is added to `run.problems` and does not stop the others. Raises ServiceError if
    jobs are not done after MAX_WAIT_SECONDS.
    """
    failed: set[str] = set()
    pause, longest = POLL_SECONDS
    waited = 0.0
    while True:
        changed = False
        for request in run.plan.requests:
            row = run.rows.get(request.request_id)
            if row is None or not row.is_active or request.request_id in failed:
                continue
            try:
                changed |= _advance(run, request, row, progress)
            except CbiError as error:
                run.problems.append(error)
                failed.add(request.request_id)
        left = [row for row in run.rows.values() if row.is_active and row.request_id not in failed]
        if not left or not wait:
            return
        if waited >= MAX_WAIT_SECONDS:
            raise ServiceError(
                f"{plural(len(left), 'job')} not done after {waited / 3600:.1f} h "
                f"({left[0].job_id} is {left[0].state})",
                subject="Databento",
                remedy="Retry to continue waiting; nothing is bought again.",
            )
        pause = POLL_SECONDS[0] if changed else min(longest, pause * 1.5)
        run.clients.pause(pause)
        waited += pause


def _advance(run: DownloadRun, request: Request, row: JobRow, progress: Progress) -> bool:
    """Poll one job and download it if it is done; return whether its state changed."""
    assert row.job_id is not None
    job = get_job(run.clients, row.job_id)
    folder = root_folder(run.raw, request.root) / job.id
    if job.state == "expired":
        discard_part(folder)
        run.write(replace(row, state="expired", told=row.expired_message, billed_usd=job.cost_usd))
        raise CbiError(row.expired_message)
    if job.state != "done":
        if job.state == row.state:
            return False
        run.write(replace(row, state=job.state))
        return True
    files = parse_listing(run.clients, job.id, list_files(run.clients, job.id))
    nbytes = sum(file.size or 0 for file in files)
    require_space(run.raw, nbytes)
    progress.start(f"{request.root} {request.timeframe} {job.id}", nbytes)
    fetched = fetch_job(run.clients, files, folder, progress)
    run.fetched.append(fetched)
    run.write(
        replace(
            row,
            state="downloaded",
            billed_usd=job.cost_usd,
            folder=folder.relative_to(run.drive).as_posix(),
            files=fetched.files,
            bytes=fetched.bytes,
        )
    )
    logger.info("downloaded %s, %s: %s", plural(fetched.files, "file"), size(fetched.bytes), folder)
    return True
