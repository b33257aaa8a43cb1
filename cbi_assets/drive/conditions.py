"""The vendor's condition of each UTC day: available, degraded, pending or missing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

PENDING: Final = "pending"
MISSING: Final = "missing"
AVAILABLE: Final = "available"

_DAY: Final = dt.timedelta(days=1)


@dataclass(frozen=True)
class DayCondition:
    """One UTC day's condition, and the date on which the vendor last modified its data."""

    day: dt.date
    condition: str
    modified: dt.date | None = None


@dataclass(frozen=True)
class ConditionRun:
    """Consecutive days, `first` to `last`, of the same condition and date of modification."""

    first: dt.date
    last: dt.date
    condition: str
    modified: dt.date | None = None

    def days(self) -> Iterator[DayCondition]:
        """Yield each day."""
        for n in range((self.last - self.first).days + 1):
            yield DayCondition(self.first + _DAY * n, self.condition, self.modified)

    def to_json(self) -> list[str | None]:
        """Return the run as JSON values, dates in ISO format."""
        modified = None if self.modified is None else self.modified.isoformat()
        return [self.first.isoformat(), self.last.isoformat(), self.condition, modified]

    @classmethod
    def from_json(cls, values: list[Any]) -> ConditionRun:
        """Parse what `to_json` returned."""
        first, last, condition, modified = values
        return cls(_date(first), _date(last), condition, modified and _date(modified))


def parse_conditions(document: Any) -> list[DayCondition]:
    """Return the days of a condition.json, or of metadata.get_dataset_condition.

    Raises KeyError, TypeError or ValueError if it is neither.
    """
    found = []
    for item in document:
        condition = item["condition"]
        if not isinstance(condition, str) or not condition:
            raise TypeError(f"condition {condition!r} is not a text")
        stated = item.get("last_modified_date")
        modified = None if stated is None else _date(stated)
        found.append(DayCondition(_date(item["date"]), condition, modified))
    return found


def runs_of(days: Iterable[DayCondition]) -> tuple[ConditionRun, ...]:
    """Return the fewest runs of these days, in order. Of a day listed twice, the last counts."""
    runs: list[ConditionRun] = []
    by_day = {day.day: day for day in days}
    for date in sorted(by_day):
        day = by_day[date]
        newest = runs[-1] if runs else None
        if newest and (newest.last + _DAY, newest.condition, newest.modified) == (
            date, day.condition, day.modified,
        ):  # fmt: skip
            runs[-1] = ConditionRun(newest.first, date, day.condition, day.modified)
        else:
            runs.append(ConditionRun(date, date, day.condition, day.modified))
    return tuple(runs)


def _date(text: str) -> dt.date:
    return dt.date.fromisoformat(text)
