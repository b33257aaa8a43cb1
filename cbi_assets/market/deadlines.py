"""By when a contract must be left: its first notice or its last trade, by the exchange's rule.

Business days are the sector's trade dates. The rules are those of the CBOT, CME, NYMEX and COMEX
rulebooks as they stand; where an older contract traded longer (Brent before March 2016), it is
left earlier than it had to be.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import cache
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from cbi_assets.market.sessions import FIRST, LAST, Calendar, trade_dates

DeadlineRule = Literal[
    "first_notice",
    "last_day_of_prior_month",
    "third_friday",
    "crude_oil",
    "mini_crude_oil",
    "natural_gas",
    "brent",
    "live_cattle",
    "lean_hogs",
    "feeder_cattle",
    "two_days_before_third_wednesday",
    "day_before_third_wednesday",
]

_Dates = npt.NDArray[np.datetime64]
_MONTH: Final = np.timedelta64(1, "M")
_MONDAY, _WEDNESDAY, _THURSDAY, _FRIDAY = 0, 2, 3, 4


@cache
def deadline(rule: DeadlineRule, year: int, month: int, calendar: Calendar) -> dt.date | None:
    """The first trade date on which the contract of that month may not be held any more.

    It is the date of the first notice or of the last trade, so the contract is left on the trade
    date before at the latest. None for a contract whose dates the calendar does not reach.
    """
    if not dt.date(FIRST.year + 1, 1, 1) <= dt.date(year, month, 1) <= LAST:
        return None
    dates = _business_days(calendar)
    index = _RULES[rule](dates, np.datetime64(f"{year}-{month:02}", "M"))
    found: dt.date = dates[index].item()
    return found


@cache
def _business_days(calendar: Calendar) -> _Dates:
    return np.array(trade_dates(calendar), dtype="datetime64[D]")


def _first(dates: _Dates, day: np.datetime64) -> int:
    """Where the first trade date on or after `day` stands."""
    return int(np.searchsorted(dates, day.astype("datetime64[D]"), side="left"))


def _last(dates: _Dates, day: np.datetime64) -> int:
    """Where the last trade date on or before `day` stands."""
    return int(np.searchsorted(dates, day.astype("datetime64[D]"), side="right")) - 1


def _nth_weekday(month: np.datetime64, weekday: int, nth: int) -> np.datetime64:
    first: dt.date = month.astype("datetime64[D]").item()
    ahead = (weekday - first.weekday()) % 7
    return np.datetime64(first + dt.timedelta(days=ahead + 7 * (nth - 1)), "D")


def _last_of_prior_month(dates: _Dates, month: np.datetime64) -> int:
    return _first(dates, month) - 1


def _third_friday(dates: _Dates, month: np.datetime64) -> int:
    return _last(dates, _nth_weekday(month, _FRIDAY, 3))


def _crude_oil(dates: _Dates, month: np.datetime64) -> int:
    twenty_fifth = (month - _MONTH).astype("datetime64[D]") + np.timedelta64(24, "D")
    return _last(dates, twenty_fifth) - 3


def _mini_crude_oil(dates: _Dates, month: np.datetime64) -> int:
    return _crude_oil(dates, month) - 1


def _natural_gas(dates: _Dates, month: np.datetime64) -> int:
    return _first(dates, month) - 3


def _brent(dates: _Dates, month: np.datetime64) -> int:
    # London's holidays are not in the calendar: a date early, which February's contract is anyway
    return _first(dates, month - _MONTH) - 2


def _live_cattle(dates: _Dates, month: np.datetime64) -> int:
    return _first(dates, _nth_weekday(month, _MONDAY, 1))


def _lean_hogs(dates: _Dates, month: np.datetime64) -> int:
    return _first(dates, month) + 9


def _feeder_cattle(dates: _Dates, month: np.datetime64) -> int:
    week = np.timedelta64(7, "D")
    if month.item().month == 11:
        thursday = _nth_weekday(month, _THURSDAY, 4) - week  # before Thanksgiving
    else:
        thursday = _nth_weekday(month + _MONTH, _THURSDAY, 1) - week
    # five trade dates from the Friday before to the Thursday: no holiday among them
    while _last(dates, thursday) - _first(dates, thursday - np.timedelta64(6, "D")) != 4:
        thursday -= week
    return _last(dates, thursday)


def _two_days_before_third_wednesday(dates: _Dates, month: np.datetime64) -> int:
    return _first(dates, _nth_weekday(month, _WEDNESDAY, 3)) - 2


def _day_before_third_wednesday(dates: _Dates, month: np.datetime64) -> int:
    return _first(dates, _nth_weekday(month, _WEDNESDAY, 3)) - 1


_RULES: Final[dict[DeadlineRule, Callable[[_Dates, np.datetime64], int]]] = {
    "first_notice": _last_of_prior_month,
    "last_day_of_prior_month": _last_of_prior_month,
    "third_friday": _third_friday,
    "crude_oil": _crude_oil,
    "mini_crude_oil": _mini_crude_oil,
    "natural_gas": _natural_gas,
    "brent": _brent,
    "live_cattle": _live_cattle,
    "lean_hogs": _lean_hogs,
    "feeder_cattle": _feeder_cattle,
    "two_days_before_third_wednesday": _two_days_before_third_wednesday,
    "day_before_third_wednesday": _day_before_third_wednesday,
}
