"""What a user asks for, composed of its steps: load, resolve, unload, build, train, check, …

The command line, Dagster and the demo call these; the steps by themselves check nothing.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cbi_assets.build.build import BUILD_READS, BuildOutcome, build_tables
from cbi_assets.build.training import TrainingOutcome, build_training, training_reads
from cbi_assets.checks import CHECKS, CheckContext, checks_run_by, run_all, run_checks
from cbi_assets.checks.built_checks import run_matrix, run_rolls
from cbi_assets.checks.fold_checks import run_folds
from cbi_assets.checks.profiles import profile_partitions
from cbi_assets.checks.raw_checks import RAW_READS, run_raw
from cbi_assets.checks.staging_checks import STAGING_IDS, run_bridge, run_observations
from cbi_assets.checks.training_checks import run_training, training_queries
from cbi_assets.counted_steps import log_steps
from cbi_assets.ledger.check_results import (
    FAILED_UPSTREAM,
    CheckResult,
    failed_upstream,
    record_results,
)
from cbi_assets.ledger.costs import record_cost
from cbi_assets.ledger.pending_events import Partition, PendingEvents
from cbi_assets.load.load import LoadOutcome, load_bars
from cbi_assets.load.partition_profiles import PartitionProfile
from cbi_assets.load.resolve import Resolved, ask_for_names
from cbi_assets.load.revisions import Revision, record_revision
from cbi_assets.load.staging.load_staging import StagingOutcome, load_staging_files
from cbi_assets.load.unload import UnloadOutcome, UnloadPlan, unload_bars
from cbi_assets.market.bars import TIMEFRAMES, Timeframe
from cbi_assets.session import NEWEST_LOAD, Session
from cbi_assets.tables import DAILY_ML_MATRIX, ROLL_CALENDAR, SESSIONS
from cbi_assets.warehouse.row_counts import rows_by_root_query

if TYPE_CHECKING:
    from cbi_assets.databento_api.client import Clients

_READ_BY_CHECKS: Final = (
    NEWEST_LOAD,
    FAILED_UPSTREAM,
    STAGING_IDS,
    *RAW_READS,
    *(rows_by_root_query(spec) for spec in (SESSIONS, ROLL_CALENDAR, DAILY_ML_MATRIX)),
)
"""What checks read, whatever has changed."""

logger = logging.getLogger(__name__)


def load(
    session: Session, partitions: Collection[Partition] | None = None, *, landed_only: bool = False
) -> LoadOutcome:
    """Load all that is new on the drive, and check and profile the partitions that changed.

    These are the partitions whose changes are not reported to Dagster yet, also those of an earlier
    load that was killed.

    Parameters
    ----------
    session : Session
        The session.
    partitions : collection of (root, timeframe), optional
        What to load (default: everything).
    landed_only : bool
        Load what is landed, and read no new file: one may still be being copied.

    Raises
    ------
    UsageError
        If a setting is wrong.
    AuditError
        If staged and landed bars disagree; then nothing was published.
    """
    session.require_clock()
    with session.reading_ahead(RAW_READS):
        outcome = load_bars(session, partitions, _check_canary, landed_only=landed_only)
        changed = PendingEvents(session.home).partitions()
        checks, profiles = _check_and_profile(session, changed)
    cost = record_cost(session, outcome.load_id)
    return replace(outcome, checks=checks, profiles=profiles, cost=cost)


def resolve(
    session: Session, clients: Clients, roots: Collection[str]
) -> tuple[Resolved, LoadOutcome]:
    """Ask Databento which contracts anonymous bars of these roots are of, and name the bars.

    Resolving costs nothing, and nothing is asked twice. No new file is loaded.

    Raises
    ------
    ServiceError, UsageError
        If Databento does not answer; what it answered before that is recorded.
    """
    session.require_clock()
    resolved = ask_for_names(session, clients, roots)
    return resolved, load(session, (), landed_only=True)


def unload(session: Session, plan: UnloadPlan) -> UnloadOutcome:
    """Remove the plan's bars, and check and profile what is left of the partitions they were in.

    Raises UsageError if a file that repeats these bars is no longer landed.
    """
    outcome = unload_bars(session, plan)
    checks, profiles = _check_and_profile(session, outcome.partitions)
    return replace(outcome, checks=checks, profiles=profiles)


def accept_revision(
    session: Session, revision: Revision, *, by: str, why: str
) -> tuple[str, LoadOutcome]:
    """Replace published days by a job's later version, on record.

    Returns the acceptance's ID and the load that published the later version. If the process is
    killed in between, the next load publishes it. Raises UsageError if name or reason is empty.
    """
    session.require_clock()
    acceptance = record_revision(session, revision, by=by, why=why)
    unload_bars(session, revision.plan)
    return acceptance, load(session, landed_only=True)


def load_staging(session: Session) -> StagingOutcome:
    """Load the new files of the staging folder, and check the observations if there were any.

    Raises AuditError if the books do not balance; then nothing was published.
    """
    session.require_clock()
    outcome = load_staging_files(session)
    if outcome.load_id is None:
        return outcome
    checks = run_checks(CheckContext(session, full=False), checks_run_by(run_observations))
    record_results(session, checks)
    return replace(outcome, checks=checks)


def build(
    session: Session,
    *,
    roots: tuple[str, ...] = (),
    start: dt.date | None = None,
    end: dt.date | None = None,
    whole: bool = False,
    limit: int | None = None,
) -> BuildOutcome:
    """Build what is made from the raw tables, and check it.

    A root whose raw bars failed an ERROR check when last checked is left unchanged, and
    features of other roots do not use it.

    Parameters
    ----------
    session : Session
        Its time becomes `ingestion_ts`; no other column depends on it.
    roots : tuple of str
        The roots to build (default: all).
    start, end : date, optional
        First and last trade date of the matrix rows to write.
    whole : bool
        Whether to build sessions again that an earlier build made from the same bars.
    limit : int, optional
        Build and check this many rows, the newest, and publish nothing.
    """
    with session.reading_ahead([NEWEST_LOAD, *BUILD_READS]):
        session.require_clock()
        outcome = build_tables(session, roots=roots, start=start, end=end, whole=whole, limit=limit)
    built = list(outcome.rows)
    if limit is not None:
        if outcome.preview is None:
            return outcome
        scratch = session.warehouse.stage_frame("matrix_preview", outcome.preview)
        preview = CheckContext(session, built, scratch=scratch)
        return replace(outcome, checks=run_checks(preview, checks_run_by(run_matrix)))
    checks = run_all(
        (CheckContext(session, built), checks_run_by(run_matrix)),
        (CheckContext(session, outcome.rolled), checks_run_by(run_rolls)),
        (CheckContext(session), checks_run_by(run_bridge)),
    )
    record_results(session, checks)
    return replace(outcome, checks=checks)


def train(
    session: Session,
    *,
    roots: tuple[str, ...] = (),
    changed: Mapping[str, Collection[dt.date]] | None = None,
) -> TrainingOutcome:
    """Build the training tables from what `build` published, and check those that changed.

    A root whose raw bars failed an ERROR check when last checked is left unchanged.

    Parameters
    ----------
    session : Session
        The session.
    roots : tuple of str
        The roots whose tables to build (default: all).
    changed : mapping of str to dates, optional
        `BuildOutcome.changed_months` of what this process has just built.
    """
    chosen = session.universe.select(roots)
    with session.reading_ahead([FAILED_UPSTREAM, *training_reads(session)]):
        failed = failed_upstream(session.warehouse, chosen)
        outcome = build_training(
            session, [root for root in chosen if root not in failed], changed or {}
        )
    rewritten = {name for name in outcome.written if outcome.written[name] or outcome.removed[name]}
    if not rewritten:
        return outcome
    context = CheckContext(session, full=False)
    with session.reading_ahead(training_queries(context)):
        checks = run_checks(
            context,
            [
                *(c for c in checks_run_by(run_training) if c.table.name in rewritten),
                *checks_run_by(run_folds),
            ],
        )
    record_results(session, checks)
    return replace(outcome, checks=checks)


def check(session: Session, *, full: bool = False) -> list[CheckResult]:
    """Run every check on every table, record the results and return them.

    Months of raw bars that have not changed since they were checked are not read again, unless
    `full`, which also finds those that were changed by other programs.

    Those of the raw tables run first: `matrix_is_point_in_time`, like a build, leaves out roots
    whose bars failed. If a check cannot run, what the others found before is recorded.
    """
    context = CheckContext(session, full=full)
    with session.reading_ahead(_READ_BY_CHECKS):
        session.require_clock()
        try:
            return run_checks(context, CHECKS)
        finally:
            record_results(session, context.results)


def _check_canary(
    session: Session, timeframe: Timeframe, roots: Sequence[str], scratch: str
) -> list[CheckResult]:
    checks = [c for c in CHECKS if c.in_canary and c.timeframe == timeframe]
    return run_checks(CheckContext(session, roots, scratch=scratch), checks)


def _check_and_profile(
    session: Session, partitions: Collection[Partition]
) -> tuple[list[CheckResult], list[PartitionProfile]]:
    context, chosen = CheckContext(session, full=False), _by_timeframe(partitions)
    results: list[CheckResult] = []
    for timeframe, roots in log_steps(
        chosen, lambda own: f"checking {len(own[1])} partitions of {own[0]}", logger=logger
    ):
        results += run_checks(replace(context, roots=roots), checks_run_by(run_raw, timeframe))
    record_results(session, results)
    return results, [
        profile
        for timeframe, roots in chosen
        for profile in profile_partitions(context, timeframe, roots)
    ]


def _by_timeframe(partitions: Collection[Partition]) -> list[tuple[Timeframe, list[str]]]:
    roots = {t: sorted(root for root, own in partitions if own == t) for t in TIMEFRAMES}
    return [(timeframe, own) for timeframe, own in roots.items() if own]
