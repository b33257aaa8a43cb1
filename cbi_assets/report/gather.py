"""Take the audit: read drive, warehouse and plans once, and work everything out from that."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from cbi_assets.config.downloads import load_policy
from cbi_assets.downloads.approvals import Listed, list_approvals
from cbi_assets.downloads.wanted import Wanted, last_complete
from cbi_assets.downloads.wanted import survey as survey_wanted
from cbi_assets.drive.survey import Survey
from cbi_assets.errors import LedgerMovedError
from cbi_assets.ledger.books import books_by_file
from cbi_assets.ledger.versions import ledger_version
from cbi_assets.load.load import inventory, missing_days_of
from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.report.checked import checks_of, history_of
from cbi_assets.report.checklists import checklists_of
from cbi_assets.report.decisions import decisions_of, next_step
from cbi_assets.report.drive_section import describe_drive
from cbi_assets.report.facts import Audit, StagingSource
from cbi_assets.report.inventory import (
    Days,
    books_of,
    gaps_of,
    loads_of,
    months_of,
    partitions_of,
    stock_sql,
    tables_of,
)
from cbi_assets.report.planned import needs_of, plan_of, read_plans, source_rules
from cbi_assets.report.trading import CHARTED, NEWEST, charts_of
from cbi_assets.session import Project, Session
from cbi_assets.tables import ALL_TABLES, RAW, STAGING_FILES
from cbi_assets.warehouse.base import Warehouse
from cbi_assets.warehouse.sql_files import load_sql

_ROUNDS: Final = 3
"""How often the tables are read anew because a load elsewhere published meanwhile."""


@dataclass(frozen=True)
class Snapshot:
    """All that was read of the warehouse, at one version of its books."""

    version: int
    stock: pl.DataFrame
    days: Days
    by_file: pl.DataFrame
    reach: pl.DataFrame
    loads: pl.DataFrame
    staging_loads: pl.DataFrame
    staging: pl.DataFrame
    quarantined: pl.DataFrame
    quarantined_days: pl.DataFrame
    conflicts: pl.DataFrame
    results: pl.DataFrame
    history: pl.DataFrame
    sessions: pl.DataFrame
    rolls: pl.DataFrame
    built: pl.DataFrame
    approvals: list[Listed]
    wanted: Wanted


def take_audit(session: Session) -> Audit:
    """The audit at the session's time, without what changed since the last one.

    New files of a mounted drive are read, as `cbi inventory` reads them;
    nothing is published and no check is run.
    """
    project, now = session.project, session.now
    drive = project.settings.cbi_drive
    mounted = drive is not None and drive.is_dir()
    catalog = session.catalog
    known = Survey(list(catalog.files().values()), [], [], catalog.contents(), 0)
    survey = inventory(session) if mounted else known
    missing_days = missing_days_of(survey.files)
    through = last_complete(now)
    snapshot = read_snapshot(project, session.warehouse, now, through, missing_days)
    plans, broken_plans = read_plans(project)
    loads = loads_of(snapshot.loads, snapshot.staging_loads)
    newest = max((load.loaded_at for load in loads), default=None)
    loaded = {} if newest is None else {spec.id: newest for spec in ALL_TABLES}
    for timeframe, spec in RAW.items():
        own = [load.loaded_at for load in loads if load.timeframe == timeframe]
        loaded[spec.id] = max(own, default=dt.datetime.min.replace(tzinfo=dt.UTC))
    audit = Audit(
        made_at=now.astimezone(dt.UTC),
        through=through,
        home=str(project.home.root),
        demo=project.home.is_demo,
        warehouse=_warehouse_name(project),
        ledger_version=snapshot.version,
        tables=tables_of(snapshot.stock),
        partitions=partitions_of(project, snapshot.days),
        months=months_of(project, snapshot.days, through),
        books=books_of(snapshot.by_file),
        loads=loads,
        drive=describe_drive(survey, drive, mounted, project.universe.roots, snapshot.by_file),
        staging=_staging(project, survey, snapshot.staging, mounted),
        sources=source_rules(project.sources, project.home.is_demo),
        needs=needs_of(project, snapshot.wanted),
        gaps=gaps_of(
            project, snapshot.days, snapshot.reach, snapshot.quarantined_days, missing_days
        ),
        checks=checks_of(snapshot.results, loaded),
        history=history_of(snapshot.history),
        charts=charts_of(project, snapshot.sessions, snapshot.rolls),
        plan=plan_of(project, load_policy(), plans, snapshot.wanted, snapshot.approvals),
    )
    has_key = project.settings.databento_api_key is not None
    audit = replace(
        audit,
        decisions=decisions_of(audit, snapshot.quarantined, snapshot.conflicts, broken_plans),
        checklists=checklists_of(audit, snapshot.built, has_key),
    )
    return replace(audit, next_step=next_step(audit, snapshot.built))


def read_snapshot(
    project: Project,
    warehouse: Warehouse,
    now: dt.datetime,
    through: dt.date,
    missing_days: list[dt.date],
) -> Snapshot:
    """Read the warehouse at one version of its books: again, where another machine's load went
    through meanwhile. Raises LedgerMovedError when that does not end."""
    for _ in range(_ROUNDS):
        found = _read(project, warehouse, now, through, missing_days)
        if ledger_version(warehouse) == found.version:
            return found
    raise LedgerMovedError("loads elsewhere keep publishing; run `cbi audit` again after them.")


def _read(
    project: Project,
    warehouse: Warehouse,
    now: dt.datetime,
    through: dt.date,
    missing_days: list[dt.date],
) -> Snapshot:
    charted = {"roots": list(CHARTED), "newest": NEWEST}
    return Snapshot(
        version=ledger_version(warehouse),
        stock=warehouse.query(stock_sql()),
        days={
            timeframe: warehouse.query(load_sql("report/days", table=RAW[timeframe].id))
            for timeframe in TIMEFRAMES
        },
        by_file=books_by_file(warehouse),
        reach=warehouse.query(load_sql("report/reach")),
        loads=warehouse.query(load_sql("report/loads")),
        staging_loads=warehouse.query(load_sql("report/staging_loads")),
        staging=warehouse.query(f"SELECT * FROM `{STAGING_FILES.id}` ORDER BY path, source"),
        quarantined=warehouse.query(load_sql("report/quarantined")),
        quarantined_days=warehouse.query(load_sql("report/quarantined_days")),
        conflicts=warehouse.query(load_sql("report/conflicts")),
        results=warehouse.query("SELECT * FROM `ops.check_results`"),
        history=warehouse.query(load_sql("report/history")),
        sessions=warehouse.query(load_sql("report/sessions"), charted),
        rolls=warehouse.query(load_sql("report/rolls"), charted),
        built=warehouse.query(load_sql("report/built_roots")),
        approvals=list_approvals(warehouse, now),
        wanted=survey_wanted(project, load_policy(), warehouse, through, missing_days),
    )


def _staging(
    project: Project, survey: Survey, judged: pl.DataFrame, mounted: bool
) -> tuple[StagingSource, ...]:
    folder = project.settings.staging
    looked = mounted and folder is not None and folder.is_dir()
    there = {file.path: file for file in survey.files if file.area == "staging"}
    found = [
        StagingSource(
            path=row["path"],
            source=row["source"],
            layout=row["layout"],
            file_verdict=row["file_verdict"],
            verdict=row["verdict"],
            reason=row["reason"],
            rows=row["row_count"],
            observations=row["observations"],
            published=row["published"],
            duplicates=row["duplicates"],
            refused=row["refused"],
            conflicts=row["conflicts"],
            present=row["path"] in there if looked else None,
        )
        for row in judged.iter_rows(named=True)
    ]
    known = {row.path for row in found}
    for path, file in there.items():
        if path not in known:
            rows = file.facts.get("records", 0)
            why = "not judged yet: `cbi load` judges it"
            found.append(
                StagingSource(path, "", "", "waiting", "waiting", why, rows, 0, 0, 0, 0, 0, True)
            )
    return tuple(sorted(found, key=lambda row: (row.path, row.source)))


def _warehouse_name(project: Project) -> str:
    name = project.settings.cbi_warehouse
    return f"bigquery ({project.settings.cbi_bq_project})" if name == "bigquery" else name
