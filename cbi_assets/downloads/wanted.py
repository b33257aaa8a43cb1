"""What is missing: the wanted universe minus what is published minus what the vendor lacks.

Days are whole UTC days, as the vendor cuts its jobs. A day belongs to the trade date that is open
at 00:00 UTC: the first trade date not before it. A trade date is published when its own day has a
bar of it: the evening before alone, the end of an older job, is not the trade date. A missing
trade date asks for the days up to its own that follow the trade date before it and the newest
published day; where nothing is published between two of them, one range runs over both.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from cbi_assets.config.downloads import Policy, Series
from cbi_assets.downloads.plan_model import Holding
from cbi_assets.market.bars import TIMEFRAMES, Timeframe
from cbi_assets.market.sessions import trade_dates
from cbi_assets.session import Project
from cbi_assets.tables import RAW
from cbi_assets.warehouse.base import Warehouse
from cbi_assets.warehouse.sql_files import load_sql

Kind = Literal["all", "head", "hole", "tail"]

_DAY: Final = dt.timedelta(days=1)
_LONGEST_CLOSURE: Final = dt.timedelta(days=14)
_SATURDAY: Final = 5


@dataclass(frozen=True)
class Range:
    """UTC days from `start` to before `end`, and the missing trade dates that they hold.

    `kind`: `all` where nothing of the series is published; else before it, inside it, after it.
    """

    start: dt.date
    end: dt.date
    trade_dates: tuple[dt.date, ...]
    kind: Kind


@dataclass(frozen=True)
class Coverage:
    """A root's wanted trade dates in one timeframe: published, lacking at the vendor, missing."""

    root: str
    timeframe: Timeframe
    series: Series
    wanted: int
    published: int
    known_gaps: tuple[dt.date, ...]
    told_gaps: tuple[dt.date, ...]
    """What the jobs' condition.json calls missing, where sources.yaml does not know of it."""
    ranges: tuple[Range, ...]

    @property
    def missing(self) -> int:
        """Trade dates wanted that are neither published nor known to lack at the vendor."""
        return sum(len(found.trade_dates) for found in self.ranges)


@dataclass(frozen=True)
class Wanted:
    """Every wanted root and timeframe, and every series held; `through` is the last trade date."""

    through: dt.date
    coverages: tuple[Coverage, ...]
    held: tuple[Holding, ...]


def last_complete(now: dt.datetime, end: dt.date | None = None) -> dt.date:
    """The newest trade date whose session and UTC day are over at `now`; not after `end`."""
    newest = now.astimezone(dt.UTC).date() - _DAY
    newest = min(newest, end or newest)
    # grains traded on every date that any sector did
    return trade_dates("grains", newest - _LONGEST_CLOSURE, newest)[-1]


def survey(
    project: Project,
    policy: Policy,
    warehouse: Warehouse,
    through: dt.date,
    missing_days: Collection[dt.date] = (),
    roots: Sequence[str] = (),
    timeframes: Sequence[Timeframe] = TIMEFRAMES,
) -> Wanted:
    """Compare the universe with the tables. `missing_days` is what condition.json files say."""
    chosen = project.universe.select(tuple(roots))
    coverages, held = [], []
    for timeframe in timeframes:
        rows = warehouse.query(
            load_sql("held_days", table=RAW[timeframe].id), {"dataset": policy.dataset}
        )
        series_held = {
            (str(key[0]), str(key[1])): part
            for key, part in rows.partition_by("root", "series", as_dict=True).items()
        }
        for (root, name), days in series_held.items():
            if root in chosen:
                counts = (
                    timeframe in project.universe.roots[root].timeframes
                    and policy.series_of(root, timeframe).stored_as == name
                )
                held.append(_holding(root, timeframe, name, counts, days))
        for root in chosen:
            if timeframe in project.universe.roots[root].timeframes:
                series = policy.series_of(root, timeframe)
                own = series_held.get((root, series.stored_as))
                coverages.append(
                    _cover(project, root, timeframe, series, through, own, missing_days)
                )
    order = {root: place for place, root in enumerate(chosen)}
    return Wanted(
        through,
        tuple(sorted(coverages, key=lambda c: order[c.root])),
        tuple(sorted(held, key=lambda h: order[h.root])),
    )


def find_ranges(
    wanted: Sequence[dt.date],
    before: dt.date,
    first_day: dt.date,
    held: Collection[dt.date],
    gaps: Collection[dt.date],
) -> tuple[Range, ...]:
    """The fewest ranges of UTC days that bring every missing trade date and no published day.

    `wanted` are consecutive trade dates in order, `before` the trade date before them, `first_day`
    the first UTC day wanted at all, `held` the published UTC days, `gaps` trade dates that the
    vendor lacks. A gap neither starts nor ends a range, nor makes one; inside a range it costs
    nothing, so it does not split it.
    """
    held_days, lacking = sorted(held), set(gaps)
    there = set(held)
    found: list[tuple[dt.date, dt.date, list[dt.date]]] = []
    for previous, trade_date in zip([before, *wanted], wanted, strict=False):
        if trade_date in there or trade_date in lacking:
            continue
        place = bisect_left(held_days, trade_date)
        since = held_days[place - 1] if place else previous
        start = max(previous + _DAY, since + _DAY, first_day)
        if start.weekday() == _SATURDAY:
            start += _DAY
        end = trade_date + _DAY
        if found and not _any_between(held_days, found[-1][1], start):
            found[-1] = (found[-1][0], end, found[-1][2])
        else:
            found.append((start, end, []))
        found[-1][2].append(trade_date)
    return tuple(
        Range(start, end, tuple(dates), _kind_of(start, end, held_days))
        for start, end, dates in found
    )


def _cover(
    project: Project,
    root: str,
    timeframe: Timeframe,
    series: Series,
    through: dt.date,
    days: pl.DataFrame | None,
    missing_days: Collection[dt.date],
) -> Coverage:
    first_day = project.universe.wanted_from(root)
    calendar = project.universe.roots[root].calendar
    wanted = trade_dates(calendar, first_day, through)
    before = trade_dates(calendar, first_day - _LONGEST_CLOSURE, first_day - _DAY)[-1]
    held = _held_days(days, trade_dates(calendar)) if days is not None else set()
    known = set(project.sources.databento.known_gaps.get(root, ()))
    lacking = [date for date in wanted if date not in held]
    return Coverage(
        root=root,
        timeframe=timeframe,
        series=series,
        wanted=len(wanted),
        published=len(wanted) - len(lacking),
        known_gaps=tuple(date for date in lacking if date in known),
        told_gaps=tuple(date for date in lacking if date in missing_days and date not in known),
        ranges=find_ranges(wanted, before, first_day, held, known | set(missing_days)),
    )


def _held_days(days: pl.DataFrame, dates: Sequence[dt.date]) -> set[dt.date]:
    """UTC days with a bar of the trade date that is open at their 00:00."""
    found = set()
    for trade_date, day in days.select("trade_date", "utc_day").iter_rows():
        place = bisect_left(dates, day)
        if place < len(dates) and dates[place] == trade_date:
            found.add(day)
    return found


def _holding(
    root: str, timeframe: Timeframe, name: str, counts: bool, days: pl.DataFrame
) -> Holding:
    dates = sorted(set(days["trade_date"]))
    return Holding(
        root, timeframe, name, counts, len(dates), int(days["bars"].sum()), dates[0], dates[-1]
    )


def _kind_of(start: dt.date, end: dt.date, held: Sequence[dt.date]) -> Kind:
    if not held:
        return "all"
    if end <= held[0]:
        return "head"
    return "tail" if start > held[-1] else "hole"


def _any_between(held: Sequence[dt.date], start: dt.date, end: dt.date) -> bool:
    """Whether a held day lies in [start, end)."""
    return bisect_left(held, start) < bisect_left(held, end)
