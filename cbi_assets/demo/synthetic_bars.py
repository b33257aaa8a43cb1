"""Generate synthetic bars in the exchange's trading hours: a seeded random walk, no real prices."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from cbi_assets.demo.encoder import bar_records
from cbi_assets.market.sessions import CHICAGO, Calendar, trade_dates

MINUTE = 60 * 10**9
"""Nanoseconds."""

_HOURS: dict[Calendar, tuple[tuple[int, int], ...]] = {
    # Chicago hours in which bars start: on the evening before the trade date, and on it.
    "grains": ((19, 24), (0, 14)),
    "mini_grains": ((19, 24), (0, 14)),
    "livestock": ((0, 0), (8, 14)),
    "dairy": ((17, 24), (0, 14)),
    "lumber": ((0, 0), (9, 15)),
    "equity": ((17, 24), (0, 16)),
    "energy": ((17, 24), (0, 16)),
    "metals": ((17, 24), (0, 16)),
    "nikkei": ((17, 24), (0, 16)),
    "softs": ((17, 24), (0, 16)),
    "fx": ((17, 24), (0, 16)),
    "rates": ((17, 24), (0, 16)),
    "crypto": ((17, 24), (0, 16)),
    "volatility": ((17, 24), (0, 16)),
}


def bar_starts(calendar: Calendar, first: dt.date, last: dt.date, minutes: int) -> list[int]:
    """Return the starts (ns, UTC) of a sector's bars of `minutes`, from `first` to `last`."""
    zone = ZoneInfo(CHICAGO)
    evening, day = _HOURS[calendar]
    starts: list[int] = []
    for date in trade_dates(calendar, first, last):
        for on, (begin, end) in ((date - dt.timedelta(days=1), evening), (date, day)):
            # clocks change on Sundays at 02:00, when no bar starts
            wall = dt.datetime.combine(on, dt.time(begin % 24), zone)
            start = int(wall.timestamp()) * 1_000_000_000
            starts.extend(range(start, start + (end - begin) * 60 * MINUTE, minutes * MINUTE))
    return starts


def random_walk(
    schema: str,
    instrument_id: int,
    starts: list[int],
    price: float,
    tick: float,
    seed: int,
) -> npt.NDArray[np.void]:
    """Return the bars of a random walk in whole ticks from `price`, as DBN records."""
    rng = np.random.default_rng(seed)
    moves = rng.integers(-4, 5, size=(len(starts), 4)).cumsum(axis=1)
    base = round(price / tick) + np.concatenate([[0], moves[:-1, 3].cumsum()])
    base = np.maximum(base, 50)
    path = base[:, None] + np.concatenate(
        [np.zeros((len(starts), 1), dtype=np.int64), moves], axis=1
    )
    unit = round(tick * 1_000_000_000)
    prices = {
        "open": path[:, 0] * unit,
        "high": path.max(axis=1) * unit,
        "low": path.min(axis=1) * unit,
        "close": path[:, -1] * unit,
    }
    volume = rng.integers(1, 5_000, size=len(starts))
    return bar_records(schema, instrument_id, starts, prices, volume)


def to_hourly(minutes: npt.NDArray[np.void], instrument_id: int) -> npt.NDArray[np.void]:
    """Aggregate 1m bars of one instrument, in order, to 1h bars, as DBN records."""
    hour = 3_600 * 10**9
    starts, first = np.unique(minutes["ts_event"] // hour * hour, return_index=True)
    last = np.append(first[1:], len(minutes)) - 1
    prices = {
        "open": minutes["open"][first],
        "high": np.maximum.reduceat(minutes["high"], first),
        "low": np.minimum.reduceat(minutes["low"], first),
        "close": minutes["close"][last],
    }
    volume = np.add.reduceat(minutes["volume"], first)
    return bar_records("ohlcv-1h", instrument_id, starts.tolist(), prices, volume)
