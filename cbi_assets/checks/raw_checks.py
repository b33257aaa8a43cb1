"""Run the checks on the raw tables, by root and timeframe."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

import polars as pl

from cbi_assets.checks.check import Check, CheckContext, run_sql_checks
from cbi_assets.drive.inventory import missing_days_of
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.ledger.vendor_days import unsettled_days
from cbi_assets.market.bars import SECONDS, Timeframe
from cbi_assets.market.sessions import trade_dates
from cbi_assets.market.ticks import TICKS
from cbi_assets.session import Project
from cbi_assets.tables import RAW
from cbi_assets.warehouse.base import Params

FRESH_TRADE_DATES: Final = 5
"""Bars are fresh if the newest is from one of the last five trade dates that have closed."""

_FINER: Final[dict[Timeframe, tuple[Timeframe, str]]] = {"1d": ("1h", "DAY"), "1h": ("1m", "HOUR")}


def run_raw(context: CheckContext, checks: Sequence[Check]) -> list[CheckResult]:
    """Run checks on a raw table's own bars."""
    timeframe = checks[0].timeframe
    assert timeframe is not None
    session = context.session
    roots = context.roots_in(checks[0].table)
    params: Params = {
        "timeframe": timeframe,
        "micros": SECONDS[timeframe] * 1_000_000,
        "roots": roots,
        "datasets": list(session.project.rules.datasets),
    }
    frames = {
        "ticks": pl.DataFrame(
            [tick for tick in session.universe.ticks() if tick.root in roots],
            schema=TICKS,
            orient="row",
        ),
        "wanted": _wanted(session.project, timeframe, roots, session.now),
        "closed": _closed(session.project, roots, session.now, _missing_days(context)),
        "unsettled": pl.DataFrame(
            unsettled_days(session, timeframe),
            schema={"root": pl.String, "series": pl.String, "day": pl.Date, "condition": pl.String},
            orient="row",
        ),
    }
    return run_sql_checks(context, checks, roots, params, frames)


def run_rebuilds(context: CheckContext, checks: Sequence[Check]) -> list[CheckResult]:
    """Compare a raw table's bars with those aggregated from the next finer timeframe.

    A symbol's bars are compared on the UTC days for which both tables contain bars of it.
    """
    timeframe = checks[0].timeframe
    assert timeframe is not None
    finer, step = _FINER[timeframe]
    roots = context.roots_in(checks[0].table)
    tables = {"finer": RAW[finer].id, "step": step}
    params = {"roots": roots}
    return run_sql_checks(context, checks, roots, params, tables=tables, sql_file="rebuilds")


def _missing_days(context: CheckContext) -> Sequence[dt.date]:
    if context.missing_days is not None:
        return context.missing_days
    return missing_days_of(context.session.catalog.files().values())


def _wanted(
    project: Project, timeframe: Timeframe, roots: Sequence[str], as_of: dt.datetime
) -> pl.DataFrame:
    """Return the first date wanted of each root, and the oldest that is fresh."""
    rows = []
    for root in roots:
        spec = project.universe.roots.get(root)
        start = project.universe.wanted_from(root) if spec else project.universe.history_start
        calendar = spec.calendar if spec else None
        first = trade_dates(calendar, start, start + dt.timedelta(days=14))[0]
        closed = trade_dates(
            calendar, as_of.date() - dt.timedelta(days=30), as_of.date() - dt.timedelta(days=1)
        )
        is_wanted = spec is not None and timeframe in spec.timeframes
        rows.append((root, is_wanted, first, closed[-FRESH_TRADE_DATES]))
    schema = {
        "root": pl.String,
        "is_wanted": pl.Boolean,
        "first_date": pl.Date,
        "fresh_from": pl.Date,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _closed(
    project: Project,
    roots: Sequence[str],
    as_of: dt.datetime,
    missing_days: Sequence[dt.date],
) -> pl.DataFrame:
    """Return the weekdays on which a root may have no bar: root, trade_date."""
    end = as_of.date()
    frames = [pl.DataFrame(schema={"root": pl.String, "trade_date": pl.Date})]
    for root in roots:
        spec = project.universe.roots.get(root)
        traded = trade_dates(spec.calendar if spec else None, end=end)
        weekdays = pl.date_range(traded[0], end, eager=True)
        shut = set(weekdays.filter(weekdays.dt.weekday() <= 5)) - set(traded)
        shut |= {*project.sources.databento.known_gaps.get(root, ()), *missing_days}
        frames.append(
            pl.DataFrame({"trade_date": sorted(shut)}).select(
                pl.lit(root).alias("root"), "trade_date"
            )
        )
    return pl.concat(frames)
