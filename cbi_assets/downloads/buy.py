"""Buy a plan's missing requests: quote, record the intent, submit, record the job.

The intent is recorded before the submission and the job right after it. After a crash in between,
the next run looks for the job before it buys anything, so a request is bought at most once.
"""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import replace

from cbi_assets.databento_api.batch_jobs import Job, OutcomeUnknownError, find_job, submit_job
from cbi_assets.databento_api.quotes import get_cost, get_size
from cbi_assets.downloads.approvals import Approval, find_valid, record_use
from cbi_assets.downloads.disk_space import require_space
from cbi_assets.downloads.download_run import POLL_SECONDS, DownloadRun
from cbi_assets.downloads.job_ledger import JobRow, read_jobs, record_intent
from cbi_assets.downloads.plan_model import Request
from cbi_assets.errors import CbiError, UsageError
from cbi_assets.formatting import dollars, plural

SETTLE_SECONDS = 300.0
"""How long after its intent a job may still appear at Databento: three times the client's timeout.
Later, an intent without a job was never received."""

logger = logging.getLogger(__name__)


def buy_missing(run: DownloadRun, approval: Approval) -> Approval:
    """Submit the requests without a job, and return the approval that paid for them.

    Raises UsageError before anything is bought if the approval, the price or the free space does
    not allow it. An error after that ends the buying and is added to `run.problems`.
    """
    for request in run.plan.requests:
        row = run.rows.get(request.request_id)
        if row is not None and row.state == "submitting" and not _find_submitted(run, request, row):
            run.write(replace(row, state="failed", told="no job for it arrived at Databento"))
    missing = [request for request in run.plan.requests if not run.is_bought(request)]
    if not missing:
        return approval
    with run.session() as session:
        approval = find_valid(session, run.plan)
        spent = sum(
            row.spent_usd
            for row in read_jobs(session.warehouse)
            if row.approval_id == approval.approval_id
        )
    quotes = {request.request_id: get_cost(run.clients, request) for request in missing}
    _require_below_ceiling(approval, spent, sum(quotes.values()), len(missing))
    require_space(run.raw, _expected_bytes(run, missing))
    with run.session() as session:
        record_use(session, approval, "begun")
    for place, request in enumerate(missing):
        try:
            quotes[request.request_id] = get_cost(run.clients, request)
            left = sum(quotes[later.request_id] for later in missing[place:])
            _require_below_ceiling(approval, spent, left, len(missing) - place)
            _buy(run, request, approval, quotes[request.request_id])
            spent += quotes[request.request_id]
        except CbiError as error:
            run.problems.append(error)
            break
    return approval


def _require_below_ceiling(approval: Approval, spent: float, cost: float, requests: int) -> None:
    """Raise UsageError if `cost`, added to what was spent, exceeds the approval's ceiling."""
    if spent + cost <= approval.max_usd:
        return
    already = f"{dollars(spent)} already spent" if spent else "nothing bought yet"
    raise UsageError(
        f"{plural(requests, 'request')} now cost {dollars(cost)}, with {already}: above the "
        f"{dollars(approval.max_usd)} that {approval.approved_by} approved",
        subject=f"plan {approval.plan_hash[:12]}",
        remedy="Make a new plan with `cbi plan`, and have that approved.",
    )


def _expected_bytes(run: DownloadRun, missing: list[Request]) -> int:
    """Return the uncompressed size of what is not on the drive yet: the files are smaller."""
    active = [
        request.bytes or 0
        for request in run.plan.requests
        if (row := run.rows.get(request.request_id)) is not None and row.is_active
    ]
    return sum(get_size(run.clients, request) for request in missing) + sum(active)


def _buy(run: DownloadRun, request: Request, approval: Approval, cost: float) -> None:
    """Buy one request: intent, submission, record."""
    now = run.clock()
    row = JobRow(
        approval_id=approval.approval_id,
        request_id=request.request_id,
        plan_hash=run.plan.plan_hash,
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
    with run.session() as session:
        record_intent(session.warehouse, row)
    run.rows[request.request_id] = row
    try:
        job = submit_job(run.clients, request)
    except OutcomeUnknownError as error:
        logger.warning("%s", error)
        if not _find_submitted(run, request, row):
            raise
        return
    except CbiError as error:
        run.write(replace(row, state="failed", told=str(error)))
        raise
    _record_job(run, row, job)
    run.submitted += 1
    logger.info("submitted %s: job %s, %s", request, job.id, dollars(cost))


def _find_submitted(run: DownloadRun, request: Request, row: JobRow) -> bool:
    """Look for the job of an intent, until it would have appeared; return whether it did."""
    pause, longest = POLL_SECONDS
    waited = 0.0
    while True:
        age = (run.clock() - row.intended_at).total_seconds()
        job = find_job(run.clients, request, row.intended_at, run.job_ids)
        if job is not None:
            logger.info("request %s: job %s was received", request.request_id, job.id)
            _record_job(run, row, job)
            return True
        if max(age, waited) >= SETTLE_SECONDS:
            return False
        if not waited:
            until = row.intended_at + dt.timedelta(seconds=SETTLE_SECONDS)
            logger.info(
                "request %s: checking until %s UTC whether its job was received, before buying it",
                request.request_id,
                f"{until:%H:%M:%S}",
            )
        run.clients.pause(pause)
        waited += pause
        pause = min(longest, pause * 2)


def _record_job(run: DownloadRun, row: JobRow, job: Job) -> None:
    run.job_ids.add(job.id)
    run.write(
        replace(row, job_id=job.id, state="submitted", submitted_at=job.received_at,
                billed_usd=job.cost_usd)
    )  # fmt: skip
