"""Top up: buy the newest days of published series under a standing approval.

The quote is counted against the approval's ceilings before anything is submitted. The plan then
gets an approval of its own, in the standing one's name, and is bought like any other. A series
whose newest job is not loaded yet is left alone, so no day is bought twice.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from cbi_assets.databento_api.client import Clients
from cbi_assets.downloads.approvals import approve, list_approvals
from cbi_assets.downloads.disk_space import drive_folder, raw_folder, require_writable
from cbi_assets.downloads.download_outcome import DownloadOutcome
from cbi_assets.downloads.download_run import Clock
from cbi_assets.downloads.execute import execute
from cbi_assets.downloads.fetch import Progress
from cbi_assets.downloads.job_ledger import JobRow, read_jobs
from cbi_assets.downloads.plan_files import find_plan
from cbi_assets.downloads.plan_model import Plan
from cbi_assets.downloads.planning import make_plan
from cbi_assets.downloads.standing import (
    Entry,
    Standing,
    count_use,
    find_standing,
    read_entries,
)
from cbi_assets.downloads.wanted import SCHEMAS, Scope, Wanted
from cbi_assets.ledger.vendor_days import jobs_by_file
from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.session import Project, Session, open_session

_RESUMABLE: Final = dt.timedelta(days=1)
_MARGIN: Final = 1 + 1e-9
"""Sums of the same quotes may differ in the last digits."""


OpenJobs = Mapping[tuple[str, str], JobRow]
"""Jobs that are not loaded yet, by root and schema."""


@dataclass(frozen=True)
class TopUp:
    """The plan that was bought, None if nothing was; `waiting` are series whose job is open."""

    plan: Plan | None = None
    outcome: DownloadOutcome | None = None
    waiting: list[str] = field(default_factory=list)


def top_up(
    project: Project,
    clients: Clients,
    *,
    clock: Clock,
    progress: Progress | None = None,
    wait: bool = False,
) -> TopUp:
    """Buy and download the newest days, if a standing approval allows it.

    A purchase that an earlier call began is continued first, and counted once. `clock`, `progress`
    and `wait` are as for `execute`. Call it outside a session.

    Raises
    ------
    StandingError
        If no standing approval allows it. Nothing is bought.
    UsageError, ServiceError, CbiError
        As `execute`.
    """
    with open_session(project, now=clock()) as session:
        standing = find_standing(session)
        jobs = open_jobs(session)
        rows = read_jobs(session.warehouse)
        uses = [
            entry
            for entry in reversed(read_entries(session))
            if entry.event == "used" and entry.approval_id == standing.approval_id
        ]
        use = _submitting(uses, rows)
        if use is not None:
            plan = find_plan(session.home, use.plan_hash or "")
        else:
            plan = _plan(session, standing, clients, jobs)
            if not plan.requests:
                return TopUp(waiting=_describe(jobs))
            plan.save(session.home.plans / f"{plan.plan_hash[:12]}.json")
            raw = raw_folder(drive_folder(session.settings))
            require_writable(raw, {request.root for request in plan.requests})
            use = _counted(uses, rows, plan, session.now) or count_use(session, standing, plan)
        _approve(session, standing, plan, use)
    outcome = execute(project, plan, clients, clock=clock, progress=progress, wait=wait)
    return TopUp(plan, outcome, _describe(jobs))


def open_jobs(session: Session) -> OpenJobs:
    """Return the newest job of each root and schema, if it is not loaded yet and did not fail.

    A job whose file is in the books is loaded, also if an earlier job delivered the same file.
    """
    rows = session.warehouse.query("SELECT DISTINCT source_file_id, job_id FROM `ops.loads`")
    deliveries = jobs_by_file(session.catalog)
    loaded = set(rows["job_id"]).union(*(deliveries.get(f, ()) for f in rows["source_file_id"]))
    newest = {(row.root, row.schema): row for row in read_jobs(session.warehouse)}
    return {
        key: row
        for key, row in newest.items()
        if row.state != "failed" and not (row.state == "downloaded" and row.job_id in loaded)
    }


def eligible(standing: Standing, wanted: Wanted, jobs: OpenJobs) -> list[str]:
    """Return the series (`ZL|1h`) whose newest days a top-up would buy, or find already bought."""
    waiting = {key for key, row in jobs.items() if row.state != "submitting"}
    return [
        f"{coverage.root}|{coverage.timeframe}"
        for coverage in wanted.coverages
        for missing in coverage.ranges
        if missing.is_newest(wanted.through)
        and coverage.root in standing.roots
        and SCHEMAS[coverage.timeframe] in standing.schemas
        and (coverage.root, SCHEMAS[coverage.timeframe]) not in waiting
    ]


def _plan(session: Session, standing: Standing, clients: Clients, jobs: OpenJobs) -> Plan:
    timeframes = tuple(t for t in TIMEFRAMES if SCHEMAS[t] in standing.schemas)
    scope = Scope(roots=standing.roots, timeframes=timeframes, newest_only=True)
    plan = make_plan(session, scope, clients)
    # A day of a thin root may have no bars: a job of it would be requested again each hour.
    free = tuple(r for r in plan.requests if r.records and (r.root, r.schema) not in jobs)
    return replace(plan, requests=free)


def _describe(jobs: OpenJobs) -> list[str]:
    found = []
    for row in jobs.values():
        state = "downloaded, not loaded" if row.state == "downloaded" else row.state
        found.append(f"{row.root} {row.schema}: {row.job_id or 'no job yet'} is {state}")
    return found


def _submitting(uses: Sequence[Entry], rows: Sequence[JobRow]) -> Entry | None:
    """Return the newest use with a request of which it is unknown whether it was bought."""
    unknown = {row.plan_hash for row in rows if row.state == "submitting"}
    return next((use for use in uses if use.plan_hash in unknown), None)


def _counted(
    uses: Sequence[Entry], rows: Sequence[JobRow], plan: Plan, now: dt.datetime
) -> Entry | None:
    """Return the use that counted this plan before the process ended, without submitting any."""
    if any(row.plan_hash == plan.plan_hash for row in rows):
        return None
    return next(
        (
            use
            for use in uses
            if use.plan_hash == plan.plan_hash and now - use.recorded_at < _RESUMABLE
        ),
        None,
    )


def _approve(session: Session, standing: Standing, plan: Plan, use: Entry) -> None:
    """Approve the plan in the standing approval's name, up to what was counted, once."""
    if any(s.approval.plan_hash == plan.plan_hash for s in list_approvals(session)):
        return
    month_end = (use.recorded_at.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
    approve(
        session,
        plan,
        by=f"standing approval {standing.approval_id} ({standing.granted_by})",
        max_usd=(use.usd or 0.0) * _MARGIN,
        expires=min(standing.valid_until, month_end.date() - dt.timedelta(days=1)),
    )
