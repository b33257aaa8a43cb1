"""Features of one root's own sessions: averages, oscillators, bands, ranges.

A window's closes are chained at rolls: the close of an earlier trade date is the row's close,
divided by each growth (close / prior close, of one contract) since. It ends before an unknown
growth. Nothing is carried from row to row and every sum has a fixed order, so that a row is the
same to the last bit wherever the history starts and ends, as long as it has LONGEST trade dates
before the row. Libraries' recursive functions depend on the first value they were given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view

from cbi_assets.config.features import Feature

Floats = npt.NDArray[np.float64]

EMA_MEMORY: Final = 4
"""Closes in an average per day of its span: 0.03% of the weight is older."""

WILDER_MEMORY: Final = 10
"""Values in Wilder's average per day of its window: 0.003% of the weight is older."""

MACD: Final = (12, 26, 9)
"""Days of the fast average, of the slow one, and of the signal."""

LONGEST: Final = 1000
"""Trade dates before a row that suffice for its features of any window up to 250."""

_MACD_CLOSES: Final = EMA_MEMORY * (MACD[1] + MACD[2]) - 1
"""Closes in MACD's signal."""

_BANDS: Final = 2.0


@dataclass(frozen=True)
class History:
    """One root's active sessions by trade date, oldest first; NaN where a value is unknown.

    `growth` is close / prior close of one contract.
    """

    high: Floats
    low: Floats
    close: Floats
    growth: Floats

    @cached_property
    def run(self) -> npt.NDArray[np.int64]:
        """How many growths are known in a row, up to each date, from one date here to the next."""
        places = np.arange(len(self.growth))
        return places - np.maximum.accumulate(np.where(np.isnan(self.growth), places, 0))

    @cached_property
    def inverse(self) -> Floats:
        """The prior close in units of each close; 0 if unknown."""
        return np.divide(1, self.growth, out=np.zeros(len(self.growth)), where=self.growth > 0)

    @cached_property
    def ones(self) -> Floats:
        """Each close in units of itself."""
        return np.ones(len(self.growth))

    def known(self, values: Floats, growths: int) -> Floats:
        """Return values in native units; NaN before so many growths are known in a row."""
        return np.where(self.run >= growths, values * self.close, np.nan)

    def chained(self, values: Floats, decay: float, count: int) -> tuple[Floats, Floats]:
        """Sum the newest `count` values of each date, weighted decay^age and chained at rolls.

        A value is in units of its own date's close, the sum in units of the last one's. The second
        result is the weight of the next older value. Both double a sum over half the dates, so the
        order of the additions is the same for each date, and their number small.
        """
        total, weight, reach = np.zeros(len(values)), self.ones, 0
        block, factor, size = values, decay * self.inverse, 1
        while size <= count:
            if count & size:
                total = total + weight * _shifted(block, reach, 0)
                weight = weight * _shifted(factor, reach, 0)
                reach += size
            block = block + factor * _shifted(block, size, 0)
            factor = factor * _shifted(factor, size, 0)
            size *= 2
        return total, weight


def price_features(rows: pl.DataFrame, features: Sequence[Feature]) -> pl.DataFrame:
    """Compute features of one root's sessions.

    Parameters
    ----------
    rows : pl.DataFrame
        open, high, low, close, growth of the root's active sessions, sorted by trade date.
    features : sequence of Feature
        Those with a PriceMeasure.

    Returns
    -------
    pl.DataFrame
        One Float64 column per feature, by its name, in the order of `rows`. The catalogue states
        units and when a value is null.
    """
    high, low, close, growth = (_floats(rows[name]) for name in ("high", "low", "close", "growth"))
    history = History(high, low, close, growth)
    variances = rows.select(
        parkinson=_if_positive(_ln("high", "low").pow(2) / (4 * math.log(2))),
        garman_klass=_if_positive(
            _ln("high", "low").pow(2) / 2 - (2 * math.log(2) - 1) * _ln("close", "open").pow(2)
        ),
    )
    found = {}
    for feature in features:
        window = feature.window or 0
        if feature.measure in variances.columns:
            values = _root_mean(_floats(variances[feature.measure]), window)
        else:
            values = _MEASURES[feature.measure](history, window)
        found[feature.name] = pl.Series(feature.name, values, pl.Float64, nan_to_null=True)
    return pl.DataFrame(found)


def _floats(values: pl.Series) -> Floats:
    return values.cast(pl.Float64).fill_null(np.nan).to_numpy().astype(np.float64)


def _ln(above: str, below: str) -> pl.Expr:
    return (pl.col(above) / pl.col(below)).log()


def _if_positive(value: pl.Expr) -> pl.Expr:
    """Return a value only where all prices are positive: others have no logarithm."""
    return pl.when(pl.min_horizontal("open", "high", "low", "close") > 0).then(value)


def _shifted(values: Floats, back: int, missing: float = np.nan) -> Floats:
    """Return the values of `back` places before, and `missing` where there is none."""
    if not back:
        return values
    found = np.full(len(values), missing, np.float64)
    found[back:] = values[:-back]
    return found


def _growth(history: History, days: int) -> Floats:
    product = history.ones
    for back in range(days):
        product = product * _shifted(history.growth, back)
    return product - 1


def _lag(history: History, sessions: int) -> Floats:
    return _shifted(history.growth, sessions) - 1


def _mean(history: History, days: int) -> Floats:
    return history.chained(history.ones, 1.0, days)[0] / days


def _sma(history: History, days: int) -> Floats:
    return history.known(_mean(history, days), days - 1)


def _keep(days: int) -> float:
    """Return what is left of a value's weight in an exponential average a day later."""
    return 1 - 2 / (days + 1)


@cache
def _weights(days: int) -> Floats:
    """Return the sum of the newest 1, 2, … weights of an exponential average."""
    return np.cumsum([_keep(days) ** age for age in range(EMA_MEMORY * days)])


def _average(history: History, values: Floats, days: int) -> Floats:
    """Return the exponential average of values, in units of the close."""
    count = EMA_MEMORY * days
    weights = _weights(days)[np.minimum(history.run, count - 1)]
    return history.chained(values, _keep(days), count)[0] / weights


def _ema(history: History, days: int) -> Floats:
    return history.known(_average(history, history.ones, days), days - 1)


def _line(history: History) -> Floats:
    fast, slow, _ = MACD
    return _average(history, history.ones, fast) - _average(history, history.ones, slow)


def _macd(history: History, _: int) -> Floats:
    return history.known(_line(history), _MACD_CLOSES - 1)


def _macd_signal(history: History, _: int) -> Floats:
    return history.known(_average(history, _line(history), MACD[2]), _MACD_CLOSES - 1)


def _macd_histogram(history: History, _: int) -> Floats:
    return _macd(history, 0) - _macd_signal(history, 0)


def _band(history: History, days: int, deviations: float) -> Floats:
    mean = _mean(history, days)
    squares, level = np.zeros(len(mean)), history.ones
    for back in range(days):
        squares = squares + (level - mean) ** 2
        level = level * _shifted(history.inverse, back, 0)
    return history.known(mean + deviations * np.sqrt(squares / days), days - 1)


def _bollinger_upper(history: History, days: int) -> Floats:
    return _band(history, days, _BANDS)


def _bollinger_lower(history: History, days: int) -> Floats:
    return _band(history, days, -_BANDS)


def _wilder(history: History, days: int, values: Floats) -> Floats:
    """Return Wilder's average of values: the mean of the first `days`, then 1/days of each new one.

    It starts where the run of known growths does, or WILDER_MEMORY * days values ago.
    """
    keep, count = 1 - 1 / days, WILDER_MEMORY * days
    newer, weight = history.chained(values, keep, count - days)
    first = history.chained(values, 1.0, days)[0] / days
    found = newer / days + weight * _shifted(first, count - days, 0)
    for place in np.flatnonzero((history.run >= days) & (history.run < count)):
        found[place] = (
            first[place]
            if history.run[place] == days
            else keep * history.inverse[place] * found[place - 1] + values[place] / days
        )
    return found


def _rsi(history: History, days: int) -> Floats:
    change = np.where(history.growth > 0, 1 - history.inverse, 0)
    rises = _wilder(history, days, np.maximum(change, 0))
    falls = _wilder(history, days, np.maximum(-change, 0))
    moves = rises + falls
    index = np.divide(100 * rises, moves, out=np.full(len(moves), np.nan), where=moves > 0)
    return np.where(history.run >= days, index, np.nan)


def _atr(history: History, days: int) -> Floats:
    is_known = history.growth > 0
    prior = np.divide(history.close, history.growth, out=history.close.copy(), where=is_known)
    true_range = np.maximum(history.high, prior) - np.minimum(history.low, prior)
    share = np.divide(true_range, history.close, out=np.zeros(len(prior)), where=is_known)
    return history.known(_wilder(history, days, np.nan_to_num(share)), days)


def _root_mean(variances: Floats, days: int) -> Floats:
    """Return the root of the mean of the last `days` values that exist; NaN if today has none."""
    found = np.full(len(variances), np.nan)
    exist = np.flatnonzero(~np.isnan(variances))
    if len(exist) >= days:
        # copied into rows, so that each window is summed in the same order wherever it starts
        windows = np.ascontiguousarray(sliding_window_view(variances[exist], days))
        means = windows.mean(axis=1)
        found[exist[days - 1 :]] = np.sqrt(means, out=np.full(len(means), np.nan), where=means >= 0)
    return found


_MEASURES: Final[dict[str, Callable[[History, int], Floats]]] = {
    "growth": _growth,
    "lag": _lag,
    "sma": _sma,
    "ema": _ema,
    "rsi": _rsi,
    "macd": _macd,
    "macd_signal": _macd_signal,
    "macd_histogram": _macd_histogram,
    "bollinger_upper": _bollinger_upper,
    "bollinger_lower": _bollinger_lower,
    "atr": _atr,
}
