"""Run the checks on the raw tables, by root and timeframe."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Final

import polars as pl

from cbi_assets.checks.check import Check, CheckContext, PlannedRunner, run_together, to_result
from cbi_assets.checks.inline_sql import render_check_sql
from cbi_assets.checks.sliced_table import (
    SLICE_CHECKS,
    SlicedTable,
    book_of,
    findings_by_slice,
    profile_frames,
    roots_of,
    sum_findings,
)
from cbi_assets.checks.slices import (
    CHANGED,
    SLICES,
    Slice,
    SliceKey,
    Span,
    digest,
    update_slices,
)
from cbi_assets.drive.inventory import missing_days_of
from cbi_assets.formatting import plural
from cbi_assets.ledger.bar_ledger import bar_ledger_query
from cbi_assets.ledger.books import KNOWN_TRUSTS, PUBLISHED_FILES
from cbi_assets.ledger.check_results import CheckResult
from cbi_assets.ledger.vendor_days import read_fetches, unsettled_days
from cbi_assets.market.bars import Timeframe
from cbi_assets.market.sessions import trade_dates
from cbi_assets.session import Project
from cbi_assets.tables import LOADS, RAW, SOURCE_FILES
from cbi_assets.warehouse.base import Params, Statement
from cbi_assets.warehouse.sql_files import load_sql

FRESH_TRADE_DATES: Final = 5
"""Bars are fresh if the newest is from one of the last five trade dates that have closed."""

_FILES: Final = (
    "(SELECT root, dataset, source_file_id, COUNT(*) AS bars FROM `{table}` "
    "GROUP BY root, dataset, source_file_id)"
)
"""Where a pasted check reads what a profile contains."""

_LEDGER: Final = {"loads": LOADS.id, "source_files": SOURCE_FILES.id}
"""Where it reads the ledger."""

_OVERLAPS: Final = "no_overlapping_loads_disagree"

CONFLICTS: Final = Statement(load_sql("alerts/conflicting_bars"))
RAW_READS: Final = (SLICES, bar_ledger_query(), PUBLISHED_FILES, KNOWN_TRUSTS, CONFLICTS)
"""What `run_raw` reads besides bars."""

_UNSETTLED: Final = pl.Schema(
    {"root": pl.String, "series": pl.String, "day": pl.Date, "condition": pl.String}
)

_FINER: Final[dict[Timeframe, tuple[Timeframe, str]]] = {"1d": ("1h", "DAY"), "1h": ("1m", "HOUR")}


def _run_raw(context: CheckContext, checks: Sequence[Check]) -> list[CheckResult]:
    """Run checks on a raw table's own bars.

    SLICE_CHECKS read the slices that are owed, all in one statement a span; the others read what is
    known of all slices. Unless the context is full, slices that were checked before and have not
    changed since are not read again.
    """
    timeframe = checks[0].timeframe
    assert timeframe is not None
    table = SlicedTable(context, timeframe, context.table_id(checks[0].table))
    slices = table.check([check.name for check in checks])
    roots = context.roots if context.roots is not None else roots_of(slices)
    if not roots:
        return []
    session = context.session
    params = table.params | {"roots": list(roots)}
    frames = {"ticks": table.ticks.filter(pl.col("root").is_in(list(roots)))}
    found: dict[str, pl.DataFrame] = {}
    if whole := [check.name for check in checks if check.name not in SLICE_CHECKS]:
        frames |= {
            "wanted": _wanted(session.project, timeframe, roots, session.now),
            "closed": _closed(session.project, roots, session.now, _missing_days(context)),
            "unsettled": _unsettled(context, timeframe),
        }
        found = _run_on_frames(context, timeframe, whole, params, frames | profile_frames(slices))
    names = {"table": table.id, "days": table.id, "files": _FILES.format(table=table.id), **_LEDGER}
    results = []
    for check in checks:
        rows = found[check.name].partition_by("root", as_dict=True) if check.name in found else {}
        for root in roots:
            sql = render_check_sql(session.warehouse, check.name, names, params, frames, root)
            own = [piece for (own_root, _), piece in slices.items() if own_root == root]
            if check.name in SLICE_CHECKS:
                offenders, sample = sum_findings(check.name, own)
                results.append(check.result(context, root, offenders, sample, sql))
                continue
            result = to_result(context, check, root, rows.get((root,)), sql)
            changed = [piece for piece in own if CHANGED in piece.findings]
            if check.name == "source_is_databento" and result.passed and changed:
                result = _changed_outside(context, check, root, changed, sql)
            results.append(result)
    return results


run_raw: Final = PlannedRunner(lambda *_: RAW_READS, _run_raw)
"""Runs checks on a raw table's own bars."""


def _run_on_frames(
    context: CheckContext,
    timeframe: Timeframe,
    names: Sequence[str],
    params: Params,
    frames: Mapping[str, pl.DataFrame],
) -> dict[str, pl.DataFrame]:
    """Run the checks that need no bar: they read what slices and ledger say, which is in memory.

    Conflicts are read if there are any.
    """
    warehouse = context.session.warehouse
    loads = context.once(("loads",), lambda: warehouse.query(PUBLISHED_FILES.sql))
    files = context.once(("source files",), lambda: warehouse.query(KNOWN_TRUSTS.sql))
    conflicts = context.once(("conflicts",), lambda: warehouse.query(CONFLICTS.sql))
    found = run_together(
        warehouse.for_frames(),
        [name for name in names if name != _OVERLAPS],
        {},
        params,
        {**frames, "loads": loads.filter(timeframe=timeframe), "source_files": files},
    )
    has_conflicts = conflicts.filter(pl.col("root").is_in(params["roots"]), timeframe=timeframe)
    if _OVERLAPS in names and not has_conflicts.is_empty():
        found |= run_together(warehouse, [_OVERLAPS], {}, params, {})
    return found


def _changed_outside(
    context: CheckContext, check: Check, root: str, changed: Sequence[Slice], sql: str
) -> CheckResult:
    """Return the result for slices whose bars are others than when the ledger said the same."""
    bars = sum(piece.findings[CHANGED]["offenders"] for piece in changed)
    months = ", ".join(f"{piece.month:%Y-%m}" for piece in changed)
    sample = [{"root": root, "month": piece.month, "bars": piece.bars} for piece in changed]
    actual = (
        f"{plural(len(changed), 'month')} changed by neither a load nor an unload: {months}. "
        "Unload the files that cover them, then load again"
    )
    return check.result(context, root, bars, sample[:20], sql, actual=actual)


def run_rebuilds(context: CheckContext, checks: Sequence[Check]) -> list[CheckResult]:
    """Compare a raw table's bars with those aggregated from the next finer timeframe.

    Bars are matched by dataset, root and instrument id, whatever symbol they were requested by, on
    the UTC days for which both tables contain bars of the instrument: an id stands for one
    instrument on a UTC day, and one instrument stands behind a continuous symbol. Unless the
    context is full, slices of which neither table has changed are not compared again.
    """
    (check,) = checks
    timeframe = check.timeframe
    assert timeframe is not None
    finer, step = _FINER[timeframe]
    session = context.session
    warehouse = session.warehouse
    names = {"table": RAW[timeframe].id, "finer": RAW[finer].id, "step": step}
    own = SlicedTable(context, timeframe, names["table"])
    known, spans = own.bounds() if context.full else ([], None)
    table_id = f"{names['table']} from {names['finer']}"
    book = book_of(context)
    stored = book.stored(table_id)
    coarse, fine = book.ledger(timeframe), book.ledger(finer)
    ledger = {key: digest(coarse[key], fine[key]) for key in coarse.keys() & fine.keys()}
    every = sorted({*known, *(root for root, _ in stored.keys() | coarse.keys())})
    params = {**own.params, "roots": every}

    def read(span: Span) -> dict[SliceKey, Slice]:
        within = params | {"first": span.first, "end": span.end}
        rows = warehouse.query(load_sql("checks/rebuilds", **names), within)
        found = findings_by_slice({check.name: rows})
        return {key: Slice(*key, "", "", findings=findings) for key, findings in found.items()}

    rules = dict.fromkeys(every, digest(load_sql("checks/rebuilds", **names)))
    slices = update_slices(stored, ledger, rules, spans, read, partial(context.store, table_id))
    roots = context.roots
    if roots is None:
        roots = known if context.full else sorted({root for root, _ in coarse})
    results = []
    for root in roots:
        pieces = [piece for (own_root, _), piece in slices.items() if own_root == root]
        offenders, sample = sum_findings(check.name, pieces)
        found = [piece.findings[check.name] for piece in pieces if check.name in piece.findings]
        compared = sum(each["sample"][0]["compared"] for each in found)
        actual = plural(offenders, check.noun) + (f" of {compared:,} compared" if compared else "")
        one = params | {"roots": [root]}
        sql = render_check_sql(warehouse, "rebuilds", names, one, {}, root)
        results.append(check.result(context, root, offenders, sample, sql, actual=actual))
    return results


def _unsettled(context: CheckContext, timeframe: Timeframe) -> pl.DataFrame:
    """Return the days that are not final: root, series, day, condition."""
    session = context.session

    def fetches() -> pl.DataFrame:
        return context.once(("fetches",), lambda: read_fetches(session.warehouse))

    days = unsettled_days(session, timeframe, fetches)
    return pl.DataFrame(days, schema=_UNSETTLED, orient="row")


def _missing_days(context: CheckContext) -> dict[str, Collection[dt.date]]:
    """Return the days that the vendor lacks, by dataset."""
    datasets = context.session.project.rules.datasets
    if context.missing_days is not None:
        return dict.fromkeys(datasets, context.missing_days)
    files = context.session.catalog.files().values()
    return {dataset: missing_days_of(files, dataset) for dataset in datasets}


def _wanted(
    project: Project, timeframe: Timeframe, roots: Sequence[str], as_of: dt.datetime
) -> pl.DataFrame:
    """Return the dates wanted of each root, and the oldest that is fresh."""
    rows = []
    for root in roots:
        spec = project.universe.roots.get(root)
        start = project.universe.first_trade_date(root) if spec else project.universe.history_start
        calendar = spec.calendar if spec else None
        first = trade_dates(calendar, start, start + dt.timedelta(days=14))[0]
        closed = trade_dates(
            calendar, as_of.date() - dt.timedelta(days=30), as_of.date() - dt.timedelta(days=1)
        )
        is_wanted = spec is not None and timeframe in spec.timeframes
        last = (spec and spec.ended) or dt.date.max
        rows.append((root, is_wanted, first, last, min(last, closed[-FRESH_TRADE_DATES])))
    schema = {
        "root": pl.String,
        "is_wanted": pl.Boolean,
        "first_date": pl.Date,
        "last_date": pl.Date,
        "fresh_from": pl.Date,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _closed(
    project: Project,
    roots: Sequence[str],
    as_of: dt.datetime,
    missing_days: Mapping[str, Collection[dt.date]],
) -> pl.DataFrame:
    """Return the weekdays on which a root may have no bar: root, trade_date."""
    end = as_of.date()
    frames = [pl.DataFrame(schema={"root": pl.String, "trade_date": pl.Date})]
    for root in roots:
        spec = project.universe.roots.get(root)
        traded = trade_dates(spec.calendar if spec else None, end=end)
        weekdays = pl.date_range(traded[0], end, eager=True)
        shut = set(weekdays.filter(weekdays.dt.weekday() <= 5)) - set(traded)
        shut |= project.sources.databento.gaps_of(spec)
        shut |= set(missing_days[project.datasets[root]]) if spec else set()
        frames.append(
            pl.DataFrame({"trade_date": sorted(shut)}).select(
                pl.lit(root).alias("root"), "trade_date"
            )
        )
    return pl.concat(frames)
