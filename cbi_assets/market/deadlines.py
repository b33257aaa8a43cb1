"""Roll deadlines: a contract's first notice day or last trade day, by the exchange's rule.

Business days are the sector's trade dates. The rules are today's CBOT, CME, NYMEX and COMEX
rulebooks; an older contract that traded longer (Brent before March 2016) is rolled earlier than
necessary.
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
    "first_intention",
    "last_day_of_month",
    "last_friday",
    "day_before_second_friday",
    "three_month_sofr",
    "mini_natural_gas",
    "third_last_day_of_prior_month",
    "fifteenth",
    "vix",
]

_Dates = npt.NDArray[np.datetime64]
_MONTH: Final = np.timedelta64(1, "M")
_MONDAY, _WEDNESDAY, _THURSDAY, _FRIDAY = 0, 2, 3, 4


@cache
def deadline(rule: DeadlineRule, year: int, month: int, calendar: Calendar) -> dt.date | None:
    """Return the first trade date on which a contract must not be the active one.

    This is its first notice day or last trade day, so the chain rolls out of it by the trade date
    before.

    Parameters
    ----------
    rule : DeadlineRule
        The root's rule, from universe.yaml.
    year, month : int
        Contract month, January is 1.
    calendar : Calendar
        Sector calendar, for example "grains".

    Returns
    -------
    dt.date or None
        None for a contract month before 2001, or whose deadline is after 2040: the calendar does
        not cover it.
    """
    if not dt.date(FIRST.year + 1, 1, 1) <= dt.date(year, month, 1) <= LAST:
        return None
    dates = _business_days(calendar)
    index = _RULES[rule](dates, np.datetime64(f"{year}-{month:02}", "M"))
    if index == len(dates):
        return None
    found: dt.date = dates[index].item()
    return found


@cache
def _business_days(calendar: Calendar) -> _Dates:
    return np.array(trade_dates(calendar), dtype="datetime64[D]")


def _first(dates: _Dates, day: np.datetime64) -> int:
    """Return the index of the first trade date on or after `day`."""
    return int(np.searchsorted(dates, day.astype("datetime64[D]"), side="left"))


def _last(dates: _Dates, day: np.datetime64) -> int:
    """Return the index of the last trade date on or before `day`."""
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
    # A date early, as London's holidays are not in the calendar. February's does end on that date.
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
    # A week earlier while the Thursday or one of the four weekdays before it is a holiday.
    while _last(dates, thursday) - _first(dates, thursday - np.timedelta64(6, "D")) != 4:
        thursday -= week
    return _last(dates, thursday)


def _two_days_before_third_wednesday(dates: _Dates, month: np.datetime64) -> int:
    return _first(dates, _nth_weekday(month, _WEDNESDAY, 3)) - 2


def _day_before_third_wednesday(dates: _Dates, month: np.datetime64) -> int:
    return _first(dates, _nth_weekday(month, _WEDNESDAY, 3)) - 1


def _first_intention(dates: _Dates, month: np.datetime64) -> int:
    return _first(dates, month) - 2


def _last_day_of_month(dates: _Dates, month: np.datetime64) -> int:
    return _first(dates, month + _MONTH) - 1


def _last_friday(dates: _Dates, month: np.datetime64) -> int:
    next_month = _nth_weekday(month + _MONTH, _FRIDAY, 1)
    return _last(dates, next_month - np.timedelta64(7, "D"))


def _day_before_second_friday(dates: _Dates, month: np.datetime64) -> int:
    return _first(dates, _nth_weekday(month, _FRIDAY, 2)) - 1


def _three_month_sofr(dates: _Dates, month: np.datetime64) -> int:
    found = _first(dates, _nth_weekday(month + 3 * _MONTH, _WEDNESDAY, 3))
    return found - 1 if found < len(dates) else found


def _mini_natural_gas(dates: _Dates, month: np.datetime64) -> int:
    return _natural_gas(dates, month) - 1


def _third_last_day_of_prior_month(dates: _Dates, month: np.datetime64) -> int:
    return _first(dates, month) - 3


def _fifteenth(dates: _Dates, month: np.datetime64) -> int:
    return _first(dates, month.astype("datetime64[D]") + np.timedelta64(14, "D"))


def _vix(dates: _Dates, month: np.datetime64) -> int:
    friday = _nth_weekday(month + _MONTH, _FRIDAY, 3)
    if friday > dates[-1]:
        return len(dates)
    return _last(dates, dates[_last(dates, friday)] - np.timedelta64(30, "D"))


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
    "first_intention": _first_intention,
    "last_day_of_month": _last_day_of_month,
    "last_friday": _last_friday,
    "day_before_second_friday": _day_before_second_friday,
    "three_month_sofr": _three_month_sofr,
    "mini_natural_gas": _mini_natural_gas,
    "third_last_day_of_prior_month": _third_last_day_of_prior_month,
    "fifteenth": _fifteenth,
    "vix": _vix,
}
