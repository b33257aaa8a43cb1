"""The checks on the raw tables, by root and timeframe."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import polars as pl

from cbi_assets.checks.check import Check, CheckResult, run_checks
from cbi_assets.market.bars import SECONDS, Timeframe
from cbi_assets.market.sessions import trade_dates
from cbi_assets.session import Project, Session
from cbi_assets.tables import RAW
from cbi_assets.warehouse.base import Params

FRESH_TRADE_DATES = 5
"""Bars are fresh when the newest is of one of the last five trade dates that have closed."""

RAW_CHECKS = (
    Check("row_count_matches_files", "The table holds as many bars of each file as the books say."),
    Check("no_duplicate_bars", "No two bars share symbol and start.", counts="repeated bars"),
    Check(
        "source_is_databento",
        "Every bar comes from a Databento file that the books know.",
        counts="bars from elsewhere",
    ),
    Check(
        "no_overlapping_loads_disagree",
        "Where files overlap, they agree on every bar; both versions are kept where they do not.",
        counts="bars in conflict",
    ),
    Check(
        "ohlc_is_consistent",
        "Open and close lie between low and high, and no price or volume is missing.",
        counts="inconsistent bars",
    ),
    Check(
        "schema_matches_timeframe",
        "Every bar starts where a bar of its timeframe does: on the minute, on the hour or at "
        "midnight UTC; and its file is of that timeframe.",
        counts="bars of another timeframe",
    ),
    Check(
        "coverage_is_uniform",
        "Each root covers the dates wanted of it, up to the newest date of the table.",
        "WARN",
    ),
    Check(
        "no_unexplained_gaps",
        "No trade date is missing inside a series' range, but for those that the vendor lacks.",
        "WARN",
        counts="missing trade dates",
    ),
    Check(
        "bars_are_fresh",
        "The newest bar is of one of the last five trade dates that have closed.",
        "WARN",
    ),
)


def check_raw(
    session: Session,
    timeframe: Timeframe,
    roots: Sequence[str],
    missing_days: Sequence[dt.date] = (),
    checks: Sequence[Check] = RAW_CHECKS,
    table: str | None = None,
) -> list[CheckResult]:
    """Run the raw-table checks on these roots. `table` is another id."""
    project, as_of = session.project, session.now
    names = {"table": table or RAW[timeframe].id}
    frames = {
        "wanted": _wanted(project, timeframe, roots, as_of),
        "closed": _closed(project, roots, as_of, missing_days),
    }
    params: Params = {
        "timeframe": timeframe,
        "seconds": SECONDS[timeframe],
        "roots": list(roots),
        "datasets": list(project.rules.datasets),
    }
    return run_checks(session, checks, names, params, roots, timeframe, frames)


def _wanted(
    project: Project, timeframe: Timeframe, roots: Sequence[str], as_of: dt.datetime
) -> pl.DataFrame:
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
    """Weekdays on which a root may have no bar: root, trade_date."""
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
