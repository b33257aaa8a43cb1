"""What stands now and a person should know of: read from the ledger, the plans and the disks.

The large tables are not read: where a warehouse bills, a look every few minutes costs next to
nothing.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from pathlib import Path

import polars as pl

from cbi_assets.alerts.alert import Event, list_some
from cbi_assets.checks import FRESH_TRADE_DATES
from cbi_assets.downloads.plan_model import Plan
from cbi_assets.errors import UsageError
from cbi_assets.market.sessions import trade_date_of, trade_dates
from cbi_assets.session import Project
from cbi_assets.tables import (
    APPROVALS,
    BAR_CONFLICTS,
    DAILY_ML_MATRIX,
    QUARANTINED_BARS,
    RAW,
)
from cbi_assets.warehouse.base import Warehouse
from cbi_assets.warehouse.sql_files import load_sql

_RELIEF = 1.1
"""A disk that was told full counts as full until this much more than the limit is free."""


def look(
    project: Project, warehouse: Warehouse, now: dt.datetime, told: Collection[str] = ()
) -> list[Event]:
    """Every event that stands at `now` (UTC), but for failed runs, which Dagster knows.

    `told` are the keys of events that were told before. Hold the home.
    """
    newest = _newest_trade_dates(project, warehouse, now)
    return [
        *_failed_checks(warehouse),
        *_stale_bars(project, newest, now),
        *_stale_matrix(warehouse, newest),
        *_set_aside(warehouse),
        *_waiting_plans(project, warehouse),
        *_troubled_downloads(warehouse),
        *full_disks(project, told),
    ]


def _failed_checks(warehouse: Warehouse) -> Iterator[Event]:
    rows = warehouse.query(load_sql("alerts/failed_checks")).rows(named=True)
    for (table, check), group in groupby(rows, lambda r: (r["table_id"], r["check_name"])):
        found = [f"{r['partition_key'] or 'the table'} ({r['actual']})" for r in group]
        yield Event(
            "check",
            f"{table}.{check}",
            "; ".join(found),
            f"{check} does not hold on {table}: {list_some(found)}.",
            "`cbi check` says more.",
        )


def _newest_trade_dates(
    project: Project, warehouse: Warehouse, now: dt.datetime
) -> dict[tuple[str, str], dt.date]:
    """The newest published trade date by timeframe and root of the universe."""
    found: dict[tuple[str, str], dt.date] = {}
    rows = warehouse.query(load_sql("alerts/newest_bars"), {"now": now})
    for timeframe, root, start in rows.iter_rows():
        spec = project.universe.roots.get(root)
        if spec is None:
            continue
        stamps = pl.Series([start], dtype=pl.Datetime("us", "UTC"))
        date = trade_date_of(stamps, spec.calendar)[0]
        if date is not None:
            found[timeframe, root] = date
    return found


def _stale_bars(
    project: Project, newest: dict[tuple[str, str], dt.date], now: dt.datetime
) -> Iterator[Event]:
    """By the measure of the check `bars_are_fresh`, which knows only what it is run on."""
    yesterday = now.date() - dt.timedelta(days=1)
    for timeframe, table in RAW.items():
        stale: dict[str, dt.date] = {}
        for (held, root), last in newest.items():
            calendar = project.universe.roots[root].calendar
            missing = trade_dates(calendar, last + dt.timedelta(days=1), yesterday)
            if held == timeframe and len(missing) >= FRESH_TRADE_DATES:
                stale[root] = last
        if stale:
            yield Event(
                "stale",
                table.id,
                "; ".join(f"{root} {last}" for root, last in stale.items()),
                f"{table.id} is stale: it ends on {_span(stale)} for {list_some(list(stale))}.",
                "`cbi plan --newest` says what to download.",
            )


def _stale_matrix(warehouse: Warehouse, newest: dict[tuple[str, str], dt.date]) -> Iterator[Event]:
    bars: dict[str, dt.date] = {}
    for (_, root), last in newest.items():
        bars[root] = max(last, bars.get(root, last))
    rows = warehouse.query(load_sql("alerts/newest_rows")).rows()
    behind = {root: last for root, last in rows if root in bars and last < bars[root]}
    if behind:
        yield Event(
            "stale",
            DAILY_ML_MATRIX.id,
            "; ".join(f"{root} {last}" for root, last in behind.items()),
            f"{DAILY_ML_MATRIX.id} lags behind its bars: it ends on {_span(behind)} for "
            f"{list_some(list(behind))}.",
            "Run `cbi build`.",
        )


def _span(dates: dict[str, dt.date]) -> str:
    first, last = min(dates.values()), max(dates.values())
    return f"{first}" if first == last else f"{first} to {last}"


def _set_aside(warehouse: Warehouse) -> Iterator[Event]:
    for table, what, mend in (
        (
            BAR_CONFLICTS,
            "Bars that disagree with published ones wait",
            "Compare both versions there, then `cbi unload` the file that is wrong.",
        ),
        (
            QUARANTINED_BARS,
            "Records that are no sound bars wait",
            "Each says why there; unload its file or ask the vendor.",
        ),
    ):
        rows = warehouse.query(load_sql("alerts/set_aside", table=table.id)).rows()
        if rows:
            counts = [f"{root or 'no root'}|{timeframe} {n}" for timeframe, root, n in rows]
            text = f"{what} in {table.id}: {list_some(counts)}."
            yield Event("decision", table.id, "; ".join(counts), text, mend)


def _waiting_plans(project: Project, warehouse: Warehouse) -> Iterator[Event]:
    """The newest plan, where nobody approved it: it takes the place of the ones before."""
    plans = list(_read_plans(project.home.plans.glob("*.json")))
    if not plans:
        return
    newest = max(plans, key=lambda plan: (plan.made_at, plan.plan_hash))
    name = newest.plan_hash[:12]
    approved = warehouse.query(
        f"SELECT plan_hash FROM `{APPROVALS.id}` WHERE plan_hash = @plan LIMIT 1",
        {"plan": newest.plan_hash},
    )
    if newest.requests and approved.is_empty():
        cost = (
            "at an unknown cost" if newest.cost_usd is None else f"for {newest.cost_usd:,.2f} USD"
        )
        yield Event(
            "decision",
            "plan",
            newest.plan_hash,
            f"Plan {name} waits for an approval, {cost} ({newest.basis}); requests: "
            f"{len(newest.requests)}.",
            f"Read it, then `cbi approve {name} --by NAME --max-usd N`.",
        )


def _read_plans(paths: Iterable[Path]) -> Iterator[Plan]:
    for path in sorted(paths):
        try:
            yield Plan.load(path)
        except UsageError:
            # what is no plan cannot be approved either; `cbi approve` says so to whoever tries
            continue


def _troubled_downloads(warehouse: Warehouse) -> Iterator[Event]:
    rows = warehouse.query(load_sql("alerts/troubled_downloads")).rows(named=True)
    for plan, group in groupby(rows, lambda row: row["plan_hash"]):
        found = [f"{r['root']} {r['schema']} {r['job_id'] or 'no job'} {r['state']}" for r in group]
        yield Event(
            "decision",
            f"download {plan[:12]}",
            "; ".join(found),
            f"Requests of plan {plan[:12]} did not come: {list_some(found)}.",
            f"`cbi download {plan[:12]}` says what can be done.",
        )


def full_disks(project: Project, told: Collection[str] = ()) -> Iterator[Event]:
    """The home and the drive, where less than CBI_ALERT_FREE_GIB is free."""
    limit = project.settings.cbi_alert_free_gib * 2**30
    places = {"CBI_HOME": project.home.root, "CBI_DRIVE": project.settings.cbi_drive}
    for setting, path in places.items():
        if path is None or not path.expanduser().is_dir():
            continue
        short = Event(
            "disk",
            setting,
            "full",
            f"{setting}: less than {limit / 2**30:,.1f} GiB free on {path}.",
            "Make room.",
        )
        relief = _RELIEF if short.key in told else 1.0
        if shutil.disk_usage(path.expanduser()).free < limit * relief:
            yield short
