"""Collect the active events from the ledger, the plans and the disks.

The raw tables are not read, so that collecting every few minutes costs next to nothing on a
warehouse that bills by bytes.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Collection, Iterator
from itertools import groupby

import polars as pl

from cbi_assets.alerts.alert import Event, list_some
from cbi_assets.checks import FRESH_TRADE_DATES
from cbi_assets.downloads.plan_model import Plan
from cbi_assets.downloads.seal import StandingError
from cbi_assets.downloads.standing import find_standing
from cbi_assets.errors import UsageError
from cbi_assets.formatting import dollars, span
from cbi_assets.ledger.books import newest_bars
from cbi_assets.ledger.check_results import failed_upstream
from cbi_assets.market.sessions import last_session, trade_date_of, trade_dates
from cbi_assets.report.read_lights import last_scan
from cbi_assets.session import Project, Session
from cbi_assets.tables import APPROVALS, BAR_CONFLICTS, DAILY_ML_MATRIX, QUARANTINED_BARS, RAW
from cbi_assets.warehouse.base import Warehouse
from cbi_assets.warehouse.sql_files import load_sql

_HYSTERESIS = 1.1
"""An alerted disk counts as full until this many times the limit is free."""

_NewestStarts = dict[tuple[str, str], dt.datetime]
"""The newest published bar's start, UTC, by timeframe and root of the universe."""


def collect(session: Session, sent: Collection[str] = ()) -> list[Event]:
    """Return every event active at the session's clock, except failed runs, which Dagster knows.

    `sent` are the keys of events sent before.
    """
    warehouse = session.warehouse
    newest = _newest_starts(session)
    return [
        *_failed_checks(warehouse),
        *_stale_bars(session, newest),
        *_stale_matrix(session, newest),
        *_unresolved_records(warehouse),
        *_refused_files(session),
        *_unapproved_plan(session),
        *_refused_standing_approval(session),
        *_failed_downloads(warehouse),
        *full_disks(session.project, sent),
    ]


def _failed_checks(warehouse: Warehouse) -> Iterator[Event]:
    rows = warehouse.query(load_sql("alerts/failed_checks")).rows(named=True)
    for (table, check), group in groupby(rows, lambda r: (r["table_id"], r["check_name"])):
        failures = [f"{r['partition_key'] or 'the table'} ({r['actual']})" for r in group]
        yield Event(
            "check",
            f"{table}.{check}",
            "; ".join(failures),
            f"{check} fails on {table}: {list_some(failures)}.",
            "`cbi check` shows details.",
        )


def _newest_starts(session: Session) -> _NewestStarts:
    rows = newest_bars(session.warehouse, session.now).select("timeframe", "root", "last_ts_event")
    return {
        (timeframe, root): start
        for timeframe, root, start in rows.iter_rows()
        if root in session.universe.roots and start is not None
    }


def _stale_bars(session: Session, newest: _NewestStarts) -> Iterator[Event]:
    """Apply the rule of `bars_are_fresh`, whose own results are as old as its last run."""
    yesterday = session.now.date() - dt.timedelta(days=1)
    for timeframe, table in RAW.items():
        stale: dict[str, dt.date] = {}
        for (of_timeframe, root), start in newest.items():
            calendar = session.universe.roots[root].calendar
            starts = pl.Series([start], dtype=pl.Datetime("us", "UTC"))
            last = trade_date_of(starts, calendar)[0]
            if of_timeframe != timeframe or last is None:
                continue
            missing = trade_dates(calendar, last + dt.timedelta(days=1), yesterday)
            if len(missing) >= FRESH_TRADE_DATES:
                stale[root] = last
        if stale:
            yield Event(
                "stale",
                table.id,
                "; ".join(f"{root} {last}" for root, last in stale.items()),
                f"{table.id} is stale: it ends on {_span_of(stale)} for {list_some(list(stale))}.",
                "`cbi plan --newest` shows what to download.",
            )


def _stale_matrix(session: Session, newest: _NewestStarts) -> Iterator[Event]:
    """The matrix ends before its bars; rows of roots that a build leaves out wait for a person."""
    warehouse = session.warehouse
    bars: dict[str, dt.date] = {}
    for (_, root), start in newest.items():
        last = last_session(start, session.universe.roots[root].calendar)
        bars[root] = max(last, bars.get(root, last))
    rows = warehouse.query(load_sql("alerts/newest_rows")).rows()
    behind = {root: last for root, last in rows if root in bars and last < bars[root]}
    failed = failed_upstream(warehouse, list(behind)) if behind else {}
    waiting = [f"{root} ({'; '.join(why)})" for root, why in failed.items()]
    if behind:
        yield Event(
            "stale",
            DAILY_ML_MATRIX.id,
            "; ".join(f"{root} {last}" for root, last in behind.items()),
            f"{DAILY_ML_MATRIX.id} is behind its bars: it ends on {_span_of(behind)} for "
            f"{list_some(list(behind))}."
            + (f" Rows wait until checks pass: {list_some(waiting)}." if waiting else ""),
            "Fix what failed, then run `cbi build`." if waiting else "Run `cbi build`.",
        )


def _span_of(dates: dict[str, dt.date]) -> str:
    return span(min(dates.values()), max(dates.values()))


def _unresolved_records(warehouse: Warehouse) -> Iterator[Event]:
    for table, sql, what, remedy in (
        (
            BAR_CONFLICTS,
            "alerts/conflicting_bars",
            "Bars that differ from published ones are",
            "Compare both versions, then `cbi unload` the wrong file, or `cbi accept --job` "
            "a later version.",
        ),
        (
            QUARANTINED_BARS,
            "alerts/quarantined_records",
            "Invalid records are",
            "Each row has its reason; unload the file, or ask Databento.",
        ),
    ):
        rows = warehouse.query(load_sql(sql)).rows()
        if rows:
            counts = [f"{root or 'no root'}|{timeframe} {n}" for timeframe, root, n in rows]
            text = f"{what} in {table.id}: {list_some(counts)}."
            yield Event("decision", table.id, "; ".join(counts), text, remedy)


def _refused_files(session: Session) -> Iterator[Event]:
    """Files that may be of bars and do not load, as the drive was last read."""
    reasons = [f"{file.path}: {file.reason}" for file in last_scan(session).refused]
    if reasons:
        yield Event(
            "decision",
            "refused files",
            "; ".join(reasons),
            f"Files on the drive are refused: {list_some(reasons)}",
            "`cbi inventory` lists them.",
        )


def _unapproved_plan(session: Session) -> Iterator[Event]:
    """The newest plan, if it was not approved: it replaces the earlier ones."""
    plans = []
    for path in sorted(session.home.plans.glob("*.json")):
        try:
            plans.append(Plan.load(path))
        except UsageError:
            continue  # an invalid plan cannot be approved: `cbi approve` reports it
    if not plans:
        return
    newest = max(plans, key=lambda plan: (plan.made_at, plan.plan_hash))
    name = newest.plan_hash[:12]
    approved = session.warehouse.query(
        f"SELECT plan_hash FROM `{APPROVALS.id}` WHERE plan_hash = @plan LIMIT 1",
        {"plan": newest.plan_hash},
    )
    if newest.requests and approved.is_empty():
        yield Event(
            "decision",
            "plan",
            newest.plan_hash,
            f"Plan {name} needs an approval; requests: {len(newest.requests)}, cost: "
            f"{dollars(newest.cost_usd)} ({newest.basis}).",
            f"Read it, then `cbi approve {name} --by NAME --max-usd N`.",
        )


def _refused_standing_approval(session: Session) -> Iterator[Event]:
    """A standing approval that ended, or that cannot be verified: nothing is bought under it."""
    try:
        find_standing(session)
    except StandingError as error:
        if error.code not in ("none", "revoked"):
            text = f"{error.subject}: {error.problem.removesuffix('.')}."
            yield Event("decision", "standing approval", error.code, text, error.remedy)


def _failed_downloads(warehouse: Warehouse) -> Iterator[Event]:
    rows = warehouse.query(load_sql("alerts/failed_downloads")).rows(named=True)
    for plan, group in groupby(rows, lambda row: row["plan_hash"]):
        failed = [
            f"{r['root']} {r['schema']} {r['job_id'] or 'no job'} {r['state']}" for r in group
        ]
        yield Event(
            "decision",
            f"download {plan[:12]}",
            "; ".join(failed),
            f"Requests of plan {plan[:12]} were not downloaded: {list_some(failed)}.",
            f"`cbi download {plan[:12]}` shows what to do.",
        )


def full_disks(project: Project, sent: Collection[str] = ()) -> Iterator[Event]:
    """Yield an event for the home and the drive if less than CBI_ALERT_FREE_GIB is free."""
    limit = project.settings.cbi_alert_free_gib * 2**30
    places = {"CBI_HOME": project.home.root, "CBI_DRIVE": project.settings.cbi_drive}
    for setting, path in places.items():
        if path is None or not path.expanduser().is_dir():
            continue
        full = Event(
            "disk",
            setting,
            "full",
            f"{setting}: less than {limit / 2**30:,.1f} GiB free on {path}.",
            "Free some space.",
        )
        factor = _HYSTERESIS if full.key in sent else 1.0
        if shutil.disk_usage(path.expanduser()).free < limit * factor:
            yield full
