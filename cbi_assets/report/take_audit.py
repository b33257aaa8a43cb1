"""Take the audit: read drive, plans and warehouse in one snapshot, and compute every figure."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl

from cbi_assets.config.settings import Settings
from cbi_assets.counted_steps import log_step, log_steps
from cbi_assets.drive.file_records import StagingDetails
from cbi_assets.drive.inventory import missing_days_of
from cbi_assets.drive.survey import Survey
from cbi_assets.errors import LedgerMovedError
from cbi_assets.ledger.versions import ledger_version
from cbi_assets.load.load import inventory
from cbi_assets.report.audit_model import Audit
from cbi_assets.report.charted_roots import CHARTED, NEWEST, charts_of
from cbi_assets.report.check_states import history_of, incidents_of, runs_of
from cbi_assets.report.checklists import checklists_of
from cbi_assets.report.decisions import decisions_of
from cbi_assets.report.gaps import gaps_of
from cbi_assets.report.light_rules import State, lights_of
from cbi_assets.report.plan_status import needs_of, read_plans, sources_of
from cbi_assets.report.read_lights import is_mounted, last_scan, read_state
from cbi_assets.report.table_summaries import (
    arrivals_of,
    books_of,
    daily_of,
    loads_of,
    months_of,
    partitions_of,
    row_counts_sql,
    tables_of,
)
from cbi_assets.session import Project, Session
from cbi_assets.tables import ACCEPTANCES, RAW, STAGING_FILES
from cbi_assets.warehouse.sql_files import load_sql

_ACCEPTANCES_SQL: Final = (
    "SELECT path, job_id AS job, accepted_by, why, accepted_at "
    f"FROM `{ACCEPTANCES.id}` ORDER BY accepted_at, path"
)
MAX_READS: Final = 3
"""How often to read the tables if loads elsewhere publish meanwhile."""


@dataclass(frozen=True)
class Snapshot:
    """Everything read from the warehouse at one version of its books; `frames` by query name."""

    version: int
    frames: dict[str, pl.DataFrame]
    state: State


def take_audit(session: Session) -> Audit:
    """Return the audit at the session's time, without its changes since the last one.

    Reads new files of a mounted drive as `cbi inventory` does; publishes nothing and runs no check.
    Raises LedgerMovedError if loads elsewhere keep publishing.
    """
    project, now = session.project, session.now
    mounted = is_mounted(session)
    survey = inventory(session) if mounted else last_scan(session)
    datasets = project.rules.datasets
    missing_days = {name: missing_days_of(survey.files, name) for name in datasets}
    snapshot = _read_snapshot(session, survey)
    log_step("computing the audit's figures")
    _, broken_plans = read_plans(session.home)
    universe, frames, demo = session.universe, snapshot.frames, session.home.is_demo
    days, state = frames["days"], snapshot.state
    loads = loads_of(frames["loads"], frames["staging_loads"])
    audit = Audit(
        made_at=now.astimezone(dt.UTC),
        through=state.today,
        home=str(session.home.root),
        demo=demo,
        warehouse=_warehouse_name(session.settings),
        ledger_version=snapshot.version,
        tables=tables_of(frames["row_counts"]),
        partitions=partitions_of(universe, days),
        months=months_of(universe, days, state.today),
        books=books_of(state.books),
        loads=loads,
        drive=state.drive,
        acceptances=frames["acceptances"],
        staging=_staging(project, survey, frames["staging_files"], mounted),
        sources=sources_of(project.sources, datasets),
        needs=needs_of(session, state.wanted),
        gaps=gaps_of(project, days, missing_days, frames["reach"], frames["quarantined_days"]),
        checks=state.checks,
        history=history_of(frames["history"]),
        check_runs=runs_of(frames["history"]),
        incidents=incidents_of(frames["history"], loads),
        daily=daily_of(universe, days),
        arrivals=arrivals_of(universe, frames["arrivals"]),
        rolls=frames["rolls"],
        charts=charts_of(universe, frames["sessions"], frames["rolls"]),
        plan=state.plan,
        lights=lights_of(state),
    )
    return replace(
        audit,
        decisions=decisions_of(audit, frames["quarantined"], frames["conflicts"], broken_plans),
        checklists=checklists_of(audit, state),
    )


def _read_snapshot(session: Session, survey: Survey) -> Snapshot:
    """Read the warehouse, again if another machine's load published meanwhile."""
    warehouse, queries = session.warehouse, _queries()
    for _ in range(MAX_READS):
        snapshot = Snapshot(
            version=ledger_version(warehouse),
            frames={
                name: warehouse.query(*queries[name])
                for name in log_steps(queries, lambda name: f"reading {name}")
            },
            state=read_state(session, survey),
        )
        if ledger_version(warehouse) == snapshot.version:
            return snapshot
    raise LedgerMovedError(
        "loads elsewhere keep publishing", remedy="Run `cbi audit` again after them."
    )


def _queries() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the queries of one snapshot and their parameters, by the name of their result."""
    names = ("reach", "loads", "staging_loads", "quarantined", "quarantined_days", "conflicts",
             "arrivals", "history", "sessions", "rolls")  # fmt: skip
    params = {"sessions": {"roots": list(CHARTED), "newest": NEWEST}}
    days = [load_sql("report/days", table=spec.id, timeframe=name) for name, spec in RAW.items()]
    return {
        "days": ("\nUNION ALL\n".join(days), {}),
        "row_counts": (row_counts_sql(), {}),
        "staging_files": (f"SELECT * FROM `{STAGING_FILES.id}` ORDER BY path, source", {}),
        "acceptances": (_ACCEPTANCES_SQL, {}),
        **{name: (load_sql(f"report/{name}"), params.get(name, {})) for name in names},
    }


def _staging(
    project: Project, survey: Survey, validated: pl.DataFrame, mounted: bool
) -> pl.DataFrame:
    """Return verdict and counts of each source in each staging file, in order of path.

    A file that no load has validated is `waiting`. `present` is null if the folder is not there.
    """
    folder = project.settings.staging
    is_readable = mounted and folder is not None and folder.is_dir()
    records = {
        file.path: file.details.records if isinstance(file.details, StagingDetails) else 0
        for file in survey.files
        if file.area == "staging"
    }
    known = validated.select(
        "path", "source", "layout", "file_verdict", "verdict", "reason",
        pl.col("row_count").alias("rows"), "observations", "published", "duplicates", "refused",
        "conflicts", pl.lit(None, pl.Boolean).alias("present"),
    )  # fmt: skip
    why = "not validated yet: run `cbi load`"
    new = [
        (path, "", "", "waiting", "waiting", why, rows, 0, 0, 0, 0, 0, None)
        for path, rows in records.items()
        if path not in known["path"]
    ]
    staging = known.vstack(pl.DataFrame(new, schema=known.schema, orient="row"))
    if is_readable:
        staging = staging.with_columns(present=pl.col("path").is_in(list(records)))
    return staging.sort("path", "source")


def _warehouse_name(settings: Settings) -> str:
    name = settings.cbi_warehouse
    return f"bigquery ({settings.cbi_bq_project})" if name == "bigquery" else name
