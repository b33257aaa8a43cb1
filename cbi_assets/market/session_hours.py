"""The hours of CME's sectors in Chicago time: when each trade date's session closes, by era.

A close is the end of the last trading that belongs to the trade date. Where sources differ, the
latest stands, so that a row stamped with it never predates its own bars. Early closes come from
pandas_market_calendars, corrected here where bars or the exchange's notices say otherwise; bars
prove the hour, not the minute.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from functools import cache
from typing import Final, Literal, NamedTuple

from cbi_assets.market.library_closes import library_closes

Calendar = Literal[
    "grains", "mini_grains", "livestock", "dairy", "lumber", "equity", "nikkei", "energy", "metals",
    "softs", "fx", "rates", "crypto", "volatility",
]  # fmt: skip

FIRST: Final = dt.date(2000, 1, 1)
LAST: Final = dt.date(2040, 12, 31)

_FRIDAY: Final = 4


class Hours(NamedTuple):
    """A sector's close from trade date `first` on: Monday to Thursday, and on Friday."""

    first: dt.date
    weekdays: dt.time
    friday: dt.time


def _same(first: dt.date, hour: int, minute: int = 0) -> Hours:
    return Hours(first, dt.time(hour, minute), dt.time(hour, minute))


_GLOBEX: Final = (_same(FIRST, 16, 15), _same(dt.date(2015, 9, 21), 16))
_TO_FOUR: Final = (_same(FIRST, 16),)
# Until the trade date of 2012-11-19, equities traded to 15:15, and again from 15:30 to 16:30 on all
# days but Friday. The exchange counts that hour to the next trade date, `trade_date_of` to this.
_EQUITY: Final = (
    Hours(FIRST, dt.time(16, 30), dt.time(15, 15)),
    _same(dt.date(2012, 11, 19), 16, 15),
    _same(dt.date(2015, 9, 21), 16),
)

# Sources: CME's notices, as reported at the time.
# - grains: 14:00 with the 21-hour day of 2012-05-21 (CBOT, May 2012), back to 13:15 on 2013-04-08
#   (CBOT filing 13-092), 13:20 from 2015-07-06 (CME, 9 June 2015).
# - mini_grains: 13:45 (Reuters, 2013-03-05). In the months of the 21-hour day their last bars are
#   of the hour from 14:00; the minute is not known.
# - livestock: 16:00, Fridays 13:55, before and after the shorter days of 2014-10-27 (CME, 3 October
#   2014); 13:05 from 2016-02-29 (SER-7591).
# - dairy, lumber: bars of the hours to 16:00 (dairy on Fridays to 13:55) and to 15:05.
# - equity, energy, metals: 16:00 with the earlier maintenance of 2015-09-21.
# - softs (NYMEX's cocoa, coffee, cotton and sugar, CME's palm oil): delisted, and no source has
#   their hours: the end of Globex's day.
# - volatility (Cboe's futures exchange): to 16:00, as the vendor describes XCBF.PITCH.
REGULAR: Final[dict[Calendar, tuple[Hours, ...]]] = {
    "grains": (
        _same(FIRST, 13, 15),
        _same(dt.date(2012, 5, 21), 14),
        _same(dt.date(2013, 4, 8), 13, 15),
        _same(dt.date(2015, 7, 6), 13, 20),
    ),
    "mini_grains": (
        _same(FIRST, 13, 45),
        _same(dt.date(2012, 5, 21), 15),
        _same(dt.date(2013, 4, 8), 13, 45),
    ),
    "livestock": (
        Hours(FIRST, dt.time(16, 0), dt.time(13, 55)),
        _same(dt.date(2016, 2, 29), 13, 5),
    ),
    "dairy": (Hours(FIRST, dt.time(16, 0), dt.time(13, 55)),),
    "lumber": (_same(FIRST, 15, 5),),
    "equity": _EQUITY,
    "nikkei": _EQUITY,
    "energy": _GLOBEX,
    "metals": _GLOBEX,
    "softs": _GLOBEX,
    "fx": _TO_FOUR,
    "rates": _TO_FOUR,
    "crypto": _TO_FOUR,
    "volatility": _TO_FOUR,
}

# National days of mourning. CME_TradeDate follows the equity products, which closed at 08:30 on
# 2025-01-09 and in the hour from 08:00 on 2018-12-05. Rates and agriculture closed at 12:15 on
# 2025-01-09 (CME's notice of 2024-12-30); rates did not trade on 2018-12-05, all others did.
_MOURNING: Final = (dt.date(2018, 12, 5), dt.date(2025, 1, 9))

# Good Fridays with the jobs report. FX and rates trade to 10:15, and the day is a business day of
# its own for them (CME's notice FRB 15-03 of 2015-03-25, for 2015-04-03). The library has these
# closes, but for FX in 2012 and 2015. No notice says the same of equities and crypto, whose hours
# to 08:15 or 10:15 belong to Monday, as CME_TradeDate has it.
_JOBS_REPORT_FRIDAYS: Final = tuple(
    dt.date.fromisoformat(day)
    for day in ("2012-04-06", "2015-04-03", "2021-04-02", "2023-04-07", "2026-04-03")
)
_JOBS_REPORT_CLOSE: Final = dt.time(10, 15)

REVISIONS: Final[dict[Calendar, int]] = {"fx": 2, "rates": 2}
"""How often a sector's trade dates have changed since 1, if they have. What was landed under an
earlier revision is read again."""

# Calendars of pandas_market_calendars that list the sectors' early closes.
_LIBRARY: Final[dict[Calendar, str]] = {
    "grains": "CME_Agriculture",
    "mini_grains": "CME_Agriculture",
    "livestock": "CMEGlobex_Livestock",
    "dairy": "CMEGlobex_Livestock",
    "lumber": "CMEGlobex_Livestock",
    "equity": "CME Globex Equity",
    "nikkei": "CME Globex Equity",
    "energy": "CMEGlobex_EnergyAndMetals",
    "metals": "CMEGlobex_EnergyAndMetals",
    "fx": "CMEGlobex_FX",
    "rates": "CME Globex Fixed Income",
    "crypto": "CME Globex Crypto",
    "volatility": "CFE",
}

# The library has 12:00 for grains and 12:05 for livestock; the exchange announced 12:15 for both
# when it last closed them early (2025-01-09). The latest is used for all. Of the mini contracts the
# minute is not known.
_AGRICULTURE: Final[dict[Calendar, dt.time]] = {
    "grains": dt.time(12, 15),
    "mini_grains": dt.time(13, 0),
    "livestock": dt.time(12, 15),
    "dairy": dt.time(12, 15),
    "lumber": dt.time(12, 15),
}
# Days on which the grains and livestock closed early by their bars, and which the library lacks.
_AGRICULTURE_DAYS: Final = tuple(
    dt.date.fromisoformat(day)
    for day in (
        "2010-12-31", "2013-07-03", "2014-07-03", "2015-07-02", "2016-12-23", "2017-07-03",
        "2017-12-22", "2018-07-03", "2019-07-03", "2020-07-02",
    )
)  # fmt: skip
_GRAINS_DAY: Final = dt.date(2012, 7, 3)  # livestock traded to its regular close
# Livestock closed at Friday's time before Good Friday, while Thursdays were longer, and on a New
# Year's Eve.
_LIVESTOCK_AS_ON_FRIDAY: Final = tuple(
    dt.date.fromisoformat(day)
    for day in ("2011-04-21", "2012-04-05", "2013-03-28", "2014-04-17", "2015-04-02", "2015-12-31")
)

# NYMEX and COMEX close at 13:45 New York time on December 24; the library has it for 2026 only.
_CHRISTMAS_EVE: Final = dt.time(12, 45)
# On the day after Thanksgiving of 2024 and 2025 they, FX and crypto traded in the hour from 13:00.
# The library has 13:45 for energy and metals from 2026.
_AFTER_THANKSGIVING: Final = dt.time(13, 45)
_LATER_SINCE: Final = 2024
# Hurricane Sandy: the ends of the hours of the last bars.
_SANDY: Final[dict[Calendar, dict[dt.date, dt.time]]] = {
    "equity": {dt.date(2012, 10, 29): dt.time(9), dt.date(2012, 10, 30): dt.time(9)},
    "rates": {dt.date(2012, 10, 29): dt.time(11)},
}


def traded_without_equities(calendar: Calendar | None) -> tuple[dt.date, ...]:
    """Return the sector's trade dates that CME_TradeDate lacks; none for an unknown sector."""
    match calendar:
        case None | "equity" | "volatility":
            return ()
        case "rates":
            return (*_MOURNING[1:], *_JOBS_REPORT_FRIDAYS)
        case "fx":
            return (*_MOURNING, *_JOBS_REPORT_FRIDAYS)
    return _MOURNING


@cache
def early_closes(calendar: Calendar) -> dict[dt.date, dt.time]:
    """Return the sector's early closes in Chicago time, by date.

    They include days that are not trade dates of the sector.
    """
    found = library_closes(_LIBRARY[calendar]) if calendar in _LIBRARY else {}
    match calendar:
        case "grains" | "mini_grains" | "livestock" | "dairy" | "lumber":
            days = {*found, _MOURNING[1]}
            if calendar in ("grains", "mini_grains", "livestock"):
                days |= {*_AGRICULTURE_DAYS}
            if calendar in ("grains", "mini_grains"):
                days |= {_GRAINS_DAY}
            found = dict.fromkeys(sorted(days), _AGRICULTURE[calendar])
            if calendar == "livestock":
                found |= dict.fromkeys(_LIVESTOCK_AS_ON_FRIDAY, dt.time(13, 55))
        case "energy" | "metals":
            # The library closes 2010-12-31 at 15:15; both traded in the hour from 16:00.
            found.pop(dt.date(2010, 12, 31), None)
            found |= dict.fromkeys(_every_year(12, 24), _CHRISTMAS_EVE)
            found |= _after_thanksgiving(found)
        case "equity":
            # Traded again from 15:30 to 16:30, by the bars.
            del found[dt.date(2012, 7, 3)]
        case "nikkei":
            # By the bars: regular hours, as on every July 3 since 2020.
            found = {d: t for d, t in found.items() if not _is_july_3(d, 2012, *range(2020, 2041))}
        case "fx":
            found |= {dt.date(2010, 12, 31): dt.time(12, 15)} | _after_thanksgiving(found)
            found |= dict.fromkeys(_JOBS_REPORT_FRIDAYS, _JOBS_REPORT_CLOSE)
        case "rates":
            # On Fridays before holidays the library has 15:15, to 2015; the regular close is later,
            # and bars cannot tell.
            found = {day: time for day, time in found.items() if time < dt.time(15)}
            found |= {_MOURNING[1]: dt.time(12, 15)}
        case "crypto":
            # By the bars: regular hours on July 3 since 2023.
            found = {d: t for d, t in found.items() if not _is_july_3(d, *range(2023, 2041))}
            found |= _after_thanksgiving(found)
    return found | _SANDY.get(calendar, {})


def _after_thanksgiving(days: Iterable[dt.date]) -> dict[dt.date, dt.time]:
    """Return the Fridays after Thanksgiving among the days since the close is later, with it."""
    return {
        day: _AFTER_THANKSGIVING
        for day in days
        if day.year >= _LATER_SINCE and day.month == 11 and day.weekday() == _FRIDAY
    }


def _is_july_3(day: dt.date, *years: int) -> bool:
    return (day.month, day.day) == (7, 3) and day.year in years


def _every_year(month: int, day: int) -> list[dt.date]:
    return [dt.date(year, month, day) for year in range(FIRST.year, LAST.year + 1)]
