"""Find what is missing: the wanted universe minus what is published minus what Databento lacks."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import polars as pl

from cbi_assets.checks.slices import SliceBook
from cbi_assets.config.downloads import Policy, Series, load_policy
from cbi_assets.databento_api.batch_request import Schema
from cbi_assets.downloads.contract_windows import DailyBars, published_days
from cbi_assets.downloads.missing_ranges import Range, find_ranges, modified_ranges
from cbi_assets.downloads.plan_model import PublishedSeries
from cbi_assets.downloads.published_days import read_published_days
from cbi_assets.drive.conditions import MISSING, PENDING, DayCondition
from cbi_assets.ledger.vendor_days import (
    SeriesDays,
    conditions_by_job,
    newest_modifications,
    read_fetches,
    series_days,
)
from cbi_assets.market.bars import TIMEFRAMES, Timeframe
from cbi_assets.market.sessions import trade_dates
from cbi_assets.session import Project, Session

if TYPE_CHECKING:
    from cbi_assets.databento_api.client import Clients

SCHEMAS: Final[dict[Timeframe, Schema]] = {"1d": "ohlcv-1d", "1h": "ohlcv-1h", "1m": "ohlcv-1m"}

_DAY: Final = dt.timedelta(days=1)
_LONGEST_CLOSURE: Final = dt.timedelta(days=14)


@dataclass(frozen=True)
class Scope:
    """What a plan covers; by default the universe through the last complete trade date.

    `through` is the last trade date wanted. `newest_only` drops all ranges but
    the newest.
    """

    roots: tuple[str, ...] = ()
    timeframes: tuple[Timeframe, ...] = TIMEFRAMES
    through: dt.date | None = None
    newest_only: bool = False


UNIVERSE: Final = Scope()
"""Everything, through the last complete trade date."""


@dataclass(frozen=True)
class Coverage:
    """One root's wanted trade dates in one timeframe: published, lacking at Databento, missing.

    `known_gaps` are in sources.yaml; `reported_gaps` are the others that condition.json files
    report as missing; `awaited` are not published and still pending at Databento. `modified` are
    published days to request again.
    """

    root: str
    timeframe: Timeframe
    series: Series
    wanted: int
    published: int
    known_gaps: tuple[dt.date, ...]
    reported_gaps: tuple[dt.date, ...]
    ranges: tuple[Range, ...]
    awaited: tuple[dt.date, ...] = ()
    modified: tuple[Range, ...] = ()

    @property
    def missing(self) -> int:
        """The number of wanted trade dates that are neither published nor gaps."""
        return sum(len(found.trade_dates) for found in self.ranges) + len(self.awaited)


@dataclass(frozen=True)
class Wanted:
    """Every wanted root and timeframe, and every published series, through a trade date."""

    through: dt.date
    coverages: tuple[Coverage, ...]
    published: tuple[PublishedSeries, ...]


def last_complete(now: dt.datetime, end: dt.date | None = None) -> dt.date:
    """Return the last trade date whose session and UTC day are over at `now`, at most `end`."""
    newest = now.astimezone(dt.UTC).date() - _DAY
    newest = min(newest, end or newest)
    # Grains traded on every date on which any sector did.
    return trade_dates("grains", newest - _LONGEST_CLOSURE, newest)[-1]


def survey(
    session: Session,
    scope: Scope = UNIVERSE,
    clients: Clients | None = None,
    policy: Policy | None = None,
) -> Wanted:
    """Compare the universe with the raw tables.

    Parameters
    ----------
    session : Session
        Its clock decides which trade dates are complete.
    scope : Scope
        Roots, timeframes and the last trade date wanted.
    clients : Clients, optional
        If given, nothing is wanted that Databento does not deliver yet.
    policy : Policy, optional
        The project's own (downloads.yaml) if not given.

    Returns
    -------
    Wanted
        Coverages and published series, in the universe's order.
    """
    policy = policy or load_policy()
    project = session.project
    chosen = project.universe.select(scope.roots)
    datasets = project.universe.datasets(chosen)
    through = last_complete(_available_until(session, scope, clients, datasets), scope.through)
    vendors = {dataset: _vendor_days(session, dataset, through, clients) for dataset in datasets}
    conditions = conditions_by_job(session.catalog.files().values())
    fetches, book = read_fetches(session.warehouse), SliceBook(session.warehouse)
    coverages, published = [], []
    for timeframe in scope.timeframes:
        fetched = series_days(session, fetches, timeframe, conditions)
        rows = read_published_days(session.warehouse, book, timeframe, datasets)
        by_series = {
            (str(key[0]), str(key[1])): part
            for key, part in rows.partition_by("root", "series", as_dict=True).items()
        }
        for (root, name), days in by_series.items():
            if root in chosen:
                counts = (
                    timeframe in project.universe.roots[root].timeframes
                    and policy.series_of(root, timeframe).stored_as == name
                )
                published.append(_summarize(root, timeframe, name, counts, days))
        for root in chosen:
            if timeframe in project.universe.roots[root].timeframes:
                series = policy.series_of(root, timeframe)
                key = (root, series.stored_as)
                coverages.append(
                    _cover(project, root, timeframe, series, through, by_series.get(key),
                           vendors[project.universe.roots[root].dataset],
                           fetched.get(key, SeriesDays()))
                )  # fmt: skip
                if policy.strategy_of(root, timeframe) == "chain":
                    vendor = vendors[project.universe.roots[root].dataset]
                    coverages += _cover_contracts(session, root, timeframe, through, vendor)
    order = {root: place for place, root in enumerate(chosen)}
    return Wanted(
        through,
        tuple(sorted(coverages, key=lambda c: order[c.root])),
        tuple(sorted(published, key=lambda p: order[p.root])),
    )


def _available_until(
    session: Session, scope: Scope, clients: Clients | None, datasets: Sequence[str]
) -> dt.datetime:
    if clients is None:
        return session.now
    # Importing the client takes a second, which a plan without a key should not pay for.
    from cbi_assets.databento_api.quotes import available_until

    schemas = [SCHEMAS[timeframe] for timeframe in scope.timeframes]
    return min(session.now, *(available_until(clients, name, schemas) for name in datasets))


def _cover(
    project: Project,
    root: str,
    timeframe: Timeframe,
    series: Series,
    through: dt.date,
    days: pl.DataFrame | None,
    vendor: _VendorDays,
    fetched: SeriesDays,
) -> Coverage:
    first_day = project.universe.wanted_from(root)
    calendar = project.universe.roots[root].calendar
    first_date = project.universe.first_trade_date(root)
    wanted = trade_dates(calendar, first_date, through)
    before = trade_dates(calendar, first_date - _LONGEST_CLOSURE, first_date - _DAY)[-1]
    published = _published_days(days, trade_dates(calendar)) if days is not None else set()
    modified = sorted(fetched.modified(vendor.newest) & published - vendor.pending)
    # A day that was pending when it was fetched counts as missing, with the date open on it.
    pending = fetched.pending & published
    for day in pending:
        place = bisect_left(wanted, day)
        published -= {day, *wanted[place : place + 1]}
    known = project.sources.databento.gaps_of(project.universe.roots[root])
    lacking = [date for date in wanted if date not in published]
    gaps = known | vendor.missing
    return Coverage(
        root=root,
        timeframe=timeframe,
        series=series,
        wanted=len(wanted),
        published=len(wanted) - len(lacking),
        known_gaps=tuple(date for date in lacking if date in known),
        reported_gaps=tuple(d for d in lacking if d in vendor.missing and d not in known),
        ranges=tuple(
            replace(r, replaces=fetched.jobs_of(d for d in pending if r.start <= d < r.end))
            for r in find_ranges(wanted, before, first_day, published, gaps | vendor.pending)
        ),
        awaited=tuple(d for d in lacking if d in vendor.pending - gaps),
        modified=tuple(
            replace(r, replaces=fetched.jobs_of(r.trade_dates)) for r in modified_ranges(modified)
        ),
    )


def _cover_contracts(
    session: Session, root: str, timeframe: Timeframe, through: dt.date, vendor: _VendorDays
) -> list[Coverage]:
    """Return the coverage of each contract that the chain may need, on the dates it may."""
    universe, sources = session.universe, session.project.sources
    windows = DailyBars.read(session, [root]).windows(session, root, through)
    dates = trade_dates(universe.roots[root].calendar)
    published = published_days(session, root, timeframe, dates) if windows else {}
    known = sources.databento.gaps_of(universe.roots[root])
    gaps = known | vendor.missing
    found = []
    for window in windows:
        days = published.get(window.contract, set())
        lacking = [date for date in window.dates if date not in days]
        # its session opens on the evening before, which is of the UTC day of the date before
        two_before, before = dates[(place := bisect_left(dates, window.dates[0])) - 2 : place]
        found.append(
            Coverage(
                root=root,
                timeframe=timeframe,
                series=Series(stype_in="raw_symbol", symbol=window.symbol),
                wanted=len(window.dates),
                published=len(window.dates) - len(lacking),
                known_gaps=tuple(date for date in lacking if date in known),
                reported_gaps=tuple(d for d in lacking if d in vendor.missing and d not in known),
                ranges=find_ranges(window.dates, two_before, before, days, gaps | vendor.pending),
                awaited=tuple(d for d in lacking if d in vendor.pending - gaps),
            )
        )
    return found


@dataclass(frozen=True)
class _VendorDays:
    """What the vendor says of a dataset's days: in jobs' condition.json and, with a key, now."""

    newest: Mapping[dt.date, dt.date]
    missing: set[dt.date]
    pending: set[dt.date]  # now, by the API


def _vendor_days(
    session: Session, dataset: str, through: dt.date, clients: Clients | None
) -> _VendorDays:
    conditions = conditions_by_job(session.catalog.files().values(), dataset)
    current: list[DayCondition] = []
    if clients is not None:
        from cbi_assets.databento_api.quotes import get_conditions

        first = session.universe.history_start
        current = get_conditions(clients, dataset, first, through)
    listed = [day for days in conditions.values() for day in days.values()]
    missing = {day.day for day in listed if day.condition == MISSING}
    missing -= {day.day for day in current}  # which is what the vendor says now
    missing |= {day.day for day in current if day.condition == MISSING}
    pending = {day.day for day in current if day.condition == PENDING}
    return _VendorDays(newest_modifications(conditions, current), missing, pending)


def _published_days(days: pl.DataFrame, dates: Sequence[dt.date]) -> set[dt.date]:
    """Return the UTC days with a bar of the trade date that is open at their 00:00."""
    published = set()
    for trade_date, day in days.select("trade_date", "utc_day").iter_rows():
        place = bisect_left(dates, day)
        if place < len(dates) and dates[place] == trade_date:
            published.add(day)
    return published


def _summarize(
    root: str, timeframe: Timeframe, name: str, counts: bool, days: pl.DataFrame
) -> PublishedSeries:
    dates = sorted(set(days["trade_date"]))
    return PublishedSeries(
        root, timeframe, name, counts, len(dates), int(days["bars"].sum()), dates[0], dates[-1]
    )
