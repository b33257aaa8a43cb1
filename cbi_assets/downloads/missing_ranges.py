"""The ranges of UTC days to request for missing trade dates.

Days are whole UTC days, as in Databento's jobs. A day belongs to the trade date that is open at
00:00 UTC: the first trade date not before it. A trade date is published if its own day has a bar of
it; the evening before alone, the end of an older job, is not enough. For a missing trade date, the
days after the previous trade date and the newest published day, through its own, are requested. If
nothing is published between two missing trade dates, one range covers both. Days that were pending
when they were fetched count as missing; days modified since are requested again, apart.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["all", "head", "hole", "tail", "modified"]

_DAY: Final = dt.timedelta(days=1)
_NEWEST: Final = dt.timedelta(days=14)
"""How far back a hole is of the newest days: of a day that was pending when the next was bought."""

_SATURDAY: Final = 5
_SUNDAY: Final = 6


@dataclass(frozen=True)
class Range:
    """UTC days, half-open, and the missing trade dates in them.

    `kind` is `all` if nothing of the series is published, else where the range is: before, between
    or after the published days. `modified` days are published, in an older version. `replaces` are
    the jobs whose bars of these days are pending or modified: they do not fulfil it.
    """

    start: dt.date
    end: dt.date
    trade_dates: tuple[dt.date, ...]
    kind: Kind
    replaces: tuple[str, ...] = ()

    def is_newest(self, through: dt.date) -> bool:
        """Return whether it is of the newest days, if trade dates are wanted up to `through`.

        It is after the last published day, or between published ones in the last two weeks.
        """
        return self.kind == "tail" or (self.kind == "hole" and self.start > through - _NEWEST)


def find_ranges(
    wanted: Sequence[dt.date],
    before: dt.date,
    first_day: dt.date,
    published: Collection[dt.date],
    gaps: Collection[dt.date],
) -> tuple[Range, ...]:
    """Return the fewest ranges of UTC days with every missing trade date and no published day.

    A gap neither starts nor ends a range, nor makes one. Inside a range it costs nothing, so it
    does not split it.

    Parameters
    ----------
    wanted : Sequence[date]
        Consecutive trade dates, in order.
    before : date
        The trade date before the first wanted one.
    first_day : date
        The first UTC day wanted.
    published : Collection[date]
        Published UTC days.
    gaps : Collection[date]
        Trade dates that Databento lacks.
    """
    days, lacking, existing = sorted(published), set(gaps), set(published)
    found: list[tuple[dt.date, list[dt.date]]] = []
    last_place = -1
    for previous, trade_date in zip([before, *wanted], wanted, strict=False):
        if trade_date in existing or trade_date in lacking:
            continue
        place = bisect_left(days, trade_date)
        if place == last_place:  # no day is published since the last missing trade date
            found[-1][1].append(trade_date)
            continue
        last_place = place
        since = days[place - 1] if place else previous
        start = max(previous + _DAY, since + _DAY, first_day)
        if start.weekday() == _SATURDAY:
            start += _DAY
        if not found or _any_between(days, found[-1][1][-1] + _DAY, start):
            found.append((start, []))
        found[-1][1].append(trade_date)
    return tuple(
        Range(start, end, tuple(dates), _kind_of(start, end, days))
        for start, dates in found
        for end in [dates[-1] + _DAY]
    )


def modified_ranges(modified: Sequence[dt.date]) -> tuple[Range, ...]:
    """Return the days as ranges that contain no other day, except Saturdays."""
    found: list[list[dt.date]] = []
    for day in modified:
        before = day - _DAY * (2 if day.weekday() == _SUNDAY else 1)
        if found and found[-1][-1] >= before:
            found[-1].append(day)
        else:
            found.append([day])
    return tuple(Range(days[0], days[-1] + _DAY, tuple(days), "modified") for days in found)


def _kind_of(start: dt.date, end: dt.date, published: Sequence[dt.date]) -> Kind:
    if not published:
        return "all"
    if end <= published[0]:
        return "head"
    return "tail" if start > published[-1] else "hole"


def _any_between(days: Sequence[dt.date], start: dt.date, end: dt.date) -> bool:
    """Whether one of the sorted days is in [start, end)."""
    return bisect_left(days, start) < bisect_left(days, end)
