"""Why a root has no bar on a date inside its range: four answers, from what is known of the date.

- closed session: a weekday on which the exchange does not trade.
- vendor's gap: the vendor's own history lacks it, by sources.yaml or the jobs' condition.json.
- no trade: a loaded file reaches over the date and holds no record of it; no trade, no bar.
- lost: none of these. Records of it were set aside, another timeframe has bars of it, or no loaded
  file reaches over it.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cbi_assets.market.bars import Timeframe
from cbi_assets.market.sessions import Calendar, trade_dates
from cbi_assets.report.facts import Gap, GapKind

_DAY = dt.timedelta(days=1)
_SATURDAY = 5


@dataclass(frozen=True)
class Evidence:
    """What is known of one root's dates in one timeframe.

    `held`: trade dates with a bar. `elsewhere`: those of other timeframes, with which. `vendor`:
    trade dates that the vendor lacks, and who says so. `reach`: first and last UTC day of each
    loaded file. `set_aside`: UTC days of records that are quarantined.
    """

    root: str
    timeframe: Timeframe
    calendar: Calendar | None
    held: Collection[dt.date]
    elsewhere: Mapping[dt.date, str]
    vendor: Mapping[dt.date, str]
    reach: Sequence[tuple[dt.date, dt.date]]
    set_aside: Collection[dt.date]


def find_gaps(evidence: Evidence) -> list[Gap]:
    """The gaps between the first and the last date held, in order; dates in a row that have one
    reason are one gap. Closed sessions are one gap together."""
    if not evidence.held:
        return []
    first, last = min(evidence.held), max(evidence.held)
    traded = set(trade_dates(evidence.calendar, first, last))
    held = set(evidence.held)
    reach = _Reach(evidence.reach)
    found: list[tuple[GapKind, str, list[dt.date]]] = []
    closed: list[dt.date] = []
    latest: tuple[GapKind, str] | None = None
    date = first
    while date <= last:
        if date.weekday() >= _SATURDAY or date in held:
            latest = latest if date.weekday() >= _SATURDAY else None
        elif date not in traded:
            closed.append(date)
        else:
            answer = _answer(date, evidence, reach)
            if answer != latest:
                found.append((*answer, []))
            found[-1][2].append(date)
            latest = answer
        date += _DAY
    gaps = [
        Gap(evidence.root, evidence.timeframe, kind, dates[0], dates[-1], len(dates), why)
        for kind, why, dates in found
    ]
    if closed:
        why = "the exchange does not trade on these weekdays"
        gaps.insert(
            0,
            Gap(evidence.root, evidence.timeframe, "closed session", closed[0], closed[-1],
                len(closed), why),
        )  # fmt: skip
    return gaps


class _Reach:
    """Whether some loaded file reaches over a day."""

    def __init__(self, spans: Sequence[tuple[dt.date, dt.date]]) -> None:
        self._starts: list[dt.date] = []
        self._ends: list[dt.date] = []
        for start, end in sorted(spans):
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._starts.append(start)
                self._ends.append(end)

    def covers(self, day: dt.date) -> bool:
        place = bisect_right(self._starts, day) - 1
        return place >= 0 and day <= self._ends[place]


def _answer(date: dt.date, evidence: Evidence, reach: _Reach) -> tuple[GapKind, str]:
    if date in evidence.vendor:
        return "vendor's gap", f"told by {evidence.vendor[date]}"
    if date in evidence.set_aside:
        return "lost", "its records are in quarantine"
    covered = reach.covers(date)
    if date in evidence.elsewhere:
        told = f"the {evidence.elsewhere[date]} table has bars of it"
        return "lost", told if covered else f"no loaded file reaches over it; {told}"
    if covered:
        return "no trade", "a loaded file reaches over it and holds no record of it"
    return "lost", "no loaded file reaches over it"
