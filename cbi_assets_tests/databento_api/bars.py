"""The bars that the tests' vendor sells: a function of instrument and minute, equal in every job.

1m, 1h and 1d bars of a symbol agree with each other in every range, so overlapping jobs never
disagree. The prices are synthetic.
"""

from __future__ import annotations

import datetime as dt
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from cbi_assets.config.universe import load_universe
from cbi_assets.demo.encoder import SymbolIntervals, bar_records, encode_dbn, mappings
from cbi_assets.demo.synthetic_bars import bar_starts
from cbi_assets.market.sessions import Calendar
from cbi_assets.market.symbology import MONTH_CODES
from cbi_assets_tests.helpers import Records

BAR_BYTES = 56
_DAY = dt.timedelta(days=1)
_NS = 1_000_000_000
_EPOCH = dt.date(1970, 1, 1)
_EVERY_DAY = 24 * 60
_LONG = dt.timedelta(days=400)
"""Longer ranges are only counted, by weekdays; no test downloads them."""


@dataclass(frozen=True)
class Wanted:
    """A customer's request; `start` and `end` are UTC dates, half-open."""

    dataset: str
    schema: str
    symbols: tuple[str, ...]
    stype_in: str
    start: dt.date
    end: dt.date


def months_of(start: dt.date, end: dt.date) -> Iterator[tuple[dt.date, dt.date]]:
    """Yield the calendar months in [start, end), clipped to it, half-open."""
    while start < end:
        after = (start.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
        yield start, min(after, end)
        start = after


Moves = Mapping[dt.date, int]
"""By how many ticks the prices of UTC days are higher than before."""


def make_file(
    wanted: Wanted, start: dt.date, end: dt.date, moves: Moves | None = None
) -> bytes | None:
    """Return the wanted bars in [start, end) as a DBN file, None if there are none."""
    records = records_of(wanted, start, end, moves)
    if not len(records):
        return None
    return encode_dbn(records, wanted.dataset, wanted.schema, mapped(wanted), wanted.stype_in)


def records_of(wanted: Wanted, start: dt.date, end: dt.date, moves: Moves | None = None) -> Records:
    """Return the wanted bars in [start, end), in order of time."""
    parts: list[Records] = []
    for symbol, number, first, last in _intervals(wanted, start, end):
        parts.append(bars_of(symbol, wanted.schema, number, first, last, moves or {}))
    records = np.concatenate(parts) if parts else np.zeros(0)
    return records[np.argsort(records["ts_event"], kind="stable")] if len(records) else records


@cache
def count(wanted: Wanted) -> int:
    """Return the number of bars of a job, approximately for a long range."""
    if wanted.end - wanted.start > _LONG:
        weekdays = int(np.busday_count(wanted.start, wanted.end))
        a_day = {"ohlcv-1d": 1, "ohlcv-1h": 20, "ohlcv-1m": 1_200}[wanted.schema]
        each = 3 if wanted.stype_in == "parent" else 1
        return weekdays * a_day * each * len(wanted.symbols)
    parts = _intervals(wanted, wanted.start, wanted.end)
    return sum(len(bars_of(s, wanted.schema, n, first, last)) for s, n, first, last in parts)


def mapped(wanted: Wanted) -> list[SymbolIntervals]:
    """Return the instrument ID of each symbol of a job, by interval."""
    intervals: dict[str, list[tuple[int, dt.date, dt.date]]] = {}
    for symbol, number, first, last in _intervals(wanted, wanted.start, wanted.end):
        intervals.setdefault(symbol, []).append((number, first, last))
    return mappings(intervals)


def _intervals(
    wanted: Wanted, start: dt.date, end: dt.date
) -> Iterator[tuple[str, int, dt.date, dt.date]]:
    """Yield symbol as mapped, instrument ID, first day and day after the last, by month."""
    for requested in wanted.symbols:
        root = _root_of(requested)
        for first, last in months_of(start, end):
            near, next_ = _contracts(root, first)
            if wanted.stype_in == "continuous":
                yield requested, _number(near), first, last
            elif wanted.stype_in == "parent":
                for symbol in (near, next_, f"{near}-{next_}"):
                    yield symbol, _number(symbol), first, last
            else:
                yield requested, _number(requested), first, last


def _contracts(root: str, day: dt.date) -> tuple[str, str]:
    """Return the two contracts listed next after the month of `day`."""
    listed = load_universe().roots[root].months
    found: list[str] = []
    month = day.replace(day=1)
    while len(found) < 2:
        month = (month + dt.timedelta(days=32)).replace(day=1)
        code = MONTH_CODES[month.month - 1]
        if code in listed:
            found.append(f"{root}{code}{month.year % 10}")
    return found[0], found[1]


@cache
def symbols_by_number(start: dt.date, end: dt.date) -> dict[int, str]:
    """Return the raw symbols of the instruments behind every continuous symbol in [start, end)."""
    return {
        _number(symbol): symbol
        for root in load_universe().roots
        for first, _ in months_of(start, end)
        for symbol in _contracts(root, first)
    }


def _number(symbol: str) -> int:
    return zlib.crc32(symbol.encode()) & 0x3FFFFFFF


def bars_of(
    symbol: str,
    schema: str,
    number: int,
    start: dt.date,
    end: dt.date,
    moves: Moves | None = None,
) -> Records:
    """Return the bars of an instrument in [start, end), whatever symbol it is requested by."""
    root = load_universe().roots[_root_of(symbol)]
    minutes = 1 if schema == "ohlcv-1m" else 60
    starts = _starts(root.calendar, start - 5 * _DAY, end + 5 * _DAY, minutes)
    low, high = (int((day - _EPOCH).days) * 86_400 * _NS for day in (start, end))
    starts = np.sort(starts[(starts >= low) & (starts < high)])
    first_minute = starts // (60 * _NS)
    path = _path(number, first_minute[:, None] + np.arange(minutes + 1))
    volume = 1 + (first_minute[:, None] + np.arange(minutes) + number % 13) * 7 % 13
    opens, closes = path[:, 0], path[:, -1]
    highs, lows, volumes = path.max(axis=1) + 1, path.min(axis=1) - 1, volume.sum(axis=1)
    if schema == "ohlcv-1d" and len(starts):
        days = first_minute // _EVERY_DAY
        at = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
        ends = np.append(at[1:], len(days)) - 1
        starts, opens, closes = days[at] * _EVERY_DAY * 60 * _NS, opens[at], closes[ends]
        highs, lows = np.maximum.reduceat(highs, at), np.minimum.reduceat(lows, at)
        volumes = np.add.reduceat(volumes, at)
    for day, ticks in (moves or {}).items():
        moved = starts // (_EVERY_DAY * 60 * _NS) == (day - _EPOCH).days
        for column in (opens, highs, lows, closes):
            column[moved] += ticks
    unit = round(root.tick * _NS)
    prices = {"open": opens, "high": highs, "low": lows, "close": closes}
    return bar_records(
        schema, number, starts, {name: column * unit for name, column in prices.items()}, volumes
    )


@cache
def _starts(
    calendar: Calendar, first: dt.date, last: dt.date, minutes: int
) -> npt.NDArray[np.int64]:
    return np.array(bar_starts(calendar, first, last, minutes), dtype=np.int64)


def _root_of(symbol: str) -> str:
    if "." in symbol:
        return symbol.partition(".")[0]
    return symbol.partition("-")[0][:-2]


def _path(number: int, minute: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the price at the start of each minute, in ticks."""
    phase = number % 628 / 100
    wave = 30 * np.sin(minute / 97 + phase) + 400 * np.sin(minute / (_EVERY_DAY * 40) + phase)
    return 4_000 + np.rint(wave).astype(np.int64)
