"""Trade dates and session closes of CME's sectors.

A trade date is the date of Chicago's wall clock seven hours later, moved on to the next date on
which the exchange trades: the evening session belongs to the next day, and a holiday's stub to
the next trade date. Holidays come from pandas_market_calendars; it is asked for dates only and
never used to drop a bar.
"""

from __future__ import annotations

import datetime as dt
import warnings
from functools import cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

Calendar = Literal["grains", "livestock", "equity", "energy", "metals", "fx"]

CHICAGO: Final = "America/Chicago"
FIRST: Final = dt.date(2000, 1, 1)
LAST: Final = dt.date(2040, 12, 31)

# National days of mourning: CME_TradeDate follows the equity products, which closed at 08:30 on
# 2025-01-09 (16 of 23 hours, 7% of a day's volume) and all day on 2018-12-05. Every other sector
# traded whole sessions and settled: 23 hours to 16:00 in CL, GC, 6E and NG on 2025-01-09.
_TRADED_WITHOUT_EQUITIES: Final = (dt.date(2018, 12, 5), dt.date(2025, 1, 9))

# Regular end of the session at Chicago, by sector (CME Globex trading hours).
_CLOSE: Final[dict[Calendar, dt.time]] = {
    "grains": dt.time(13, 20),
    "livestock": dt.time(13, 5),
    "equity": dt.time(16, 0),
    "energy": dt.time(16, 0),
    "metals": dt.time(16, 0),
    "fx": dt.time(16, 0),
}


@cache
def _exchange_dates() -> npt.NDArray[np.datetime64]:
    with warnings.catch_warnings():
        # pandas 2 on NumPy 2.5 warns of its own timedeltas; nothing a user could mend
        warnings.simplefilter("ignore", DeprecationWarning)
        import pandas_market_calendars  # 0.7 s, and only a load or a build needs it

        days = pandas_market_calendars.get_calendar("CME_TradeDate").valid_days(FIRST, LAST)
    dates: npt.NDArray[np.datetime64] = days.tz_localize(None).values.astype("datetime64[D]")
    return dates


@cache
def _trade_dates(calendar: Calendar | None) -> npt.NDArray[np.datetime64]:
    if calendar in (None, "equity"):
        return _exchange_dates()
    extra = np.array(_TRADED_WITHOUT_EQUITIES, dtype="datetime64[D]")
    return np.union1d(_exchange_dates(), extra)


def trade_dates(
    calendar: Calendar | None, start: dt.date = FIRST, end: dt.date = LAST
) -> list[dt.date]:
    """The sector's trade dates in [start, end]; None is a root whose sector is not known."""
    dates = _trade_dates(calendar)
    low, high = np.searchsorted(dates, np.array([start, end], dtype="datetime64[D]"))
    inclusive = high + (high < len(dates) and dates[high] == np.datetime64(end))
    found: list[dt.date] = dates[low:inclusive].tolist()
    return found


@cache
def _session_ends(calendar: Calendar | None) -> npt.NDArray[np.int64]:
    """The instants (microseconds, UTC) at which each trade date ends: 17:00 at Chicago."""
    dates = pl.Series(_trade_dates(calendar)).cast(pl.Datetime("us"))
    ends = dates.dt.offset_by("17h").dt.replace_time_zone(CHICAGO)
    return ends.dt.convert_time_zone("UTC").to_physical().to_numpy()


def trade_date_of(ts_event: pl.Series, calendar: Calendar | None) -> pl.Series:
    """The trade date (Date) of each bar start `ts_event` (Datetime in microseconds, UTC).

    It is the first one that has not ended by then. Null where `ts_event` is null or lies outside
    2000 to 2040.
    """
    dates, ends = _trade_dates(calendar), _session_ends(calendar)
    index = np.searchsorted(ends, ts_event.to_physical().fill_null(0).to_numpy(), side="right")
    start = ends[0] - 86_400_000_000
    inside = (ts_event.to_physical() >= start) & (ts_event.to_physical() < ends[-1])
    days = dates.astype(np.int64)[np.minimum(index, len(dates) - 1)]
    found = pl.Series("trade_date", days).cast(pl.Int32).cast(pl.Date)
    return pl.select(pl.when(inside).then(found)).to_series().alias("trade_date")


def session_close(trade_date: dt.date, calendar: Calendar) -> dt.datetime:
    """The regular close of the sector's session on `trade_date`, as an instant in UTC."""
    local = dt.datetime.combine(trade_date, _CLOSE[calendar], ZoneInfo(CHICAGO))
    return local.astimezone(dt.UTC)
