"""Read what the three lights depend on: a few small tables, and the last scan of the drive."""

from __future__ import annotations

import datetime as dt
from contextlib import AbstractContextManager
from typing import Final

import polars as pl

from cbi_assets.config.downloads import load_policy
from cbi_assets.counted_steps import log_step
from cbi_assets.downloads.approvals import APPROVALS_QUERY, USES_QUERY, list_approvals
from cbi_assets.downloads.wanted import Wanted, last_complete
from cbi_assets.downloads.wanted_memory import READS, survey_unless_known
from cbi_assets.drive.manifests import absent_files
from cbi_assets.drive.survey import Survey
from cbi_assets.ledger.books import books_by_file, books_query, newest_bars, newest_bars_query
from cbi_assets.market.bars import TIMEFRAMES
from cbi_assets.market.sessions import last_session, trade_dates
from cbi_assets.report.check_states import checks_of
from cbi_assets.report.drive_state import describe_drive
from cbi_assets.report.light_rules import SeriesEnd, State, lights_of
from cbi_assets.report.lights import Lights
from cbi_assets.report.plan_status import plan_of, read_plans
from cbi_assets.session import Project, Session
from cbi_assets.tables import CHECK_RESULTS, STAGING_FILES
from cbi_assets.warehouse.base import Statement
from cbi_assets.warehouse.sql_files import load_sql

_DAY = dt.timedelta(days=1)
_RESULTS: Final = Statement(
    f"SELECT {', '.join(CHECK_RESULTS.column_names)} FROM `{CHECK_RESULTS.id}`"
)
_STAGING: Final = Statement(f"SELECT path, loaded_at FROM `{STAGING_FILES.id}`")


def read_lights(
    session: Session, survey: Survey | None = None, wanted: Wanted | None = None
) -> Lights:
    """Return the lights at the session's time.

    `survey` is by default the drive's last scan, and `wanted` is what comparing the universe with
    the raw tables finds, or found before from the same input.
    """
    return lights_of(read_state(session, survey, wanted))


def reading_lights_ahead(session: Session) -> AbstractContextManager[None]:
    """Read what the lights depend on together with what a command reads first.

    At its end, only what the command itself wrote is read again.
    """
    return session.reading_ahead(_queries(session.now, None))


def read_state(
    session: Session, survey: Survey | None = None, wanted: Wanted | None = None
) -> State:
    """Return what the lights depend on; `survey` and `wanted` are those of `read_lights`."""
    log_step("reading the lights")
    with session.reading_ahead(_queries(session.now, wanted)):
        return _read_state(session, survey or last_scan(session), wanted)


def _queries(now: dt.datetime, wanted: Wanted | None) -> list[Statement]:
    """Return what is read in one statement."""
    of_wanted = READS if wanted is None else ()
    return [
        books_query(),
        *of_wanted,
        newest_bars_query(now),
        _RESULTS,
        _STAGING,
        Statement(load_sql("report/built_roots")),
        USES_QUERY,
        APPROVALS_QUERY,
        Statement(load_sql("alerts/failed_downloads")),
    ]


def _read_state(session: Session, survey: Survey, wanted: Wanted | None) -> State:
    project, warehouse = session.project, session.warehouse
    by_file = books_by_file(warehouse)
    wanted = wanted or survey_unless_known(session)
    newest = newest_bars(warehouse, session.now)
    results = warehouse.query(_RESULTS.sql)
    staging = warehouse.query(_STAGING.sql)
    built = warehouse.query(load_sql("report/built_roots"))
    plans, _ = read_plans(session.home)
    today = last_complete(session.now)
    drive, roots = session.settings.cbi_drive, session.universe.roots
    in_staging = {file.path for file in survey.files if file.area == "staging"}
    return State(
        today=today,
        drive=describe_drive(survey, drive, is_mounted(session), roots, by_file),
        staging_waiting=len(in_staging - set(staging["path"])),
        books=by_file,
        checks=checks_of(results, newest, staging["loaded_at"].max()),  # type: ignore[arg-type]
        ends=ends_of(project, newest, today),
        built=built,
        wanted=wanted,
        plan=plan_of(project, load_policy(), plans, wanted, list_approvals(session)),
        has_key=session.settings.databento_api_key is not None,
        failed_requests=warehouse.query(load_sql("alerts/failed_downloads")).height,
    )


def is_mounted(session: Session) -> bool:
    """Return whether the drive that the settings name is there."""
    drive = session.settings.cbi_drive
    return drive is not None and drive.is_dir()


def last_scan(session: Session) -> Survey:
    """Return the drive's files as of the last scan, without looking at the drive."""
    files = list(session.catalog.files().values())
    return Survey(files, [], [], session.catalog.contents(), 0, lacking=absent_files(files))


def ends_of(project: Project, newest: pl.DataFrame, today: dt.date) -> tuple[SeriesEnd, ...]:
    """Return the end of each root and timeframe of the universe, in its order.

    `newest` is `newest_bars`' frame.
    """
    last = {(root, t): start for t, root, start in newest.drop("loaded_at").iter_rows() if start}
    ends = []
    for root, spec in project.universe.roots.items():
        for timeframe in TIMEFRAMES:
            if (start := last.get((root, timeframe))) is None:
                continue
            date = last_session(start, spec.calendar)
            since = trade_dates(spec.calendar, date + _DAY, today) if date < today else []
            ends.append(SeriesEnd(root, timeframe, date, len(since), bool(spec.timeframes)))
    return tuple(ends)
