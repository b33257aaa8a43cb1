"""Features of one root's own sessions: averages, oscillators, bands, ranges.

A window's closes are chained at rolls: the close of an earlier trade date is the row's close,
divided by each growth (close / prior close, of one contract) since. It ends before an unknown
growth. Nothing is carried from row to row and every sum has a fixed order, so that a row is the
same to the last bit wherever the history starts and ends, as long as it has LONGEST trade dates
before the row. Libraries' recursive functions depend on the first value they were given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
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

_BANDS: Final = 2.0


@dataclass(frozen=True)
class History:
    """One root's active sessions by trade date, oldest first; NaN where a value is unknown.

    `growth` is close / prior close of one contract. `depth` is the largest number of closes in a
    window.
    """

    high: Floats
    low: Floats
    close: Floats
    growth: Floats
    depth: int

    @cached_property
    def run(self) -> npt.NDArray[np.int64]:
        """How many growths are known in a row, up to each date."""
        places = np.arange(len(self.growth))
        unknown = np.maximum.accumulate(np.where(np.isnan(self.growth), places, -1))
        return places - unknown

    @cached_property
    def levels(self) -> list[Floats]:
        """The closes of 0, 1, 2 … trade dates before each date, relative to it; 0 if unknown."""
        inverse = np.divide(1, self.growth, out=np.zeros(len(self.growth)), where=self.growth > 0)
        levels = [np.ones(len(inverse))]
        # more than one date before the first are unknown on every date
        for back in range(1, min(self.depth, len(inverse) + 1)):
            level = np.zeros(len(inverse))
            level[back - 1 :] = levels[-1][back - 1 :] * inverse[: len(inverse) - back + 1]
            levels.append(level)
        return levels

    def known(self, values: Floats, growths: int) -> Floats:
        """Return values in native units; NaN before so many growths are known in a row."""
        return np.where(self.run >= growths, values * self.close, np.nan)


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
    depth = max((_depth(feature) for feature in features), default=1)
    history = History(high, low, close, growth, depth)
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


def _depth(feature: Feature) -> int:
    """Return how many closes the feature's window has at most."""
    fast_slow_signal = EMA_MEMORY * (MACD[1] + MACD[2]) - 1
    window = feature.window or 0
    return {
        "sma": window,
        "ema": EMA_MEMORY * window,
        "rsi": WILDER_MEMORY * window + 1,
        "atr": WILDER_MEMORY * window,
        "bollinger_upper": window,
        "bollinger_lower": window,
        "macd": fast_slow_signal,
        "macd_signal": fast_slow_signal,
        "macd_histogram": fast_slow_signal,
    }.get(feature.measure, 1)


def _floats(values: pl.Series) -> Floats:
    return values.cast(pl.Float64).fill_null(np.nan).to_numpy().astype(np.float64)


def _ln(above: str, below: str) -> pl.Expr:
    return (pl.col(above) / pl.col(below)).log()


def _if_positive(value: pl.Expr) -> pl.Expr:
    """Return a value only where all prices are positive: others have no logarithm."""
    return pl.when(pl.min_horizontal("open", "high", "low", "close") > 0).then(value)


def _weighted(levels: Sequence[Floats], weights: Sequence[float]) -> Floats:
    """Sum the levels, newest first. Elementwise: NumPy's own sums change order with the shape."""
    total, term = np.zeros(len(levels[0])), np.empty(len(levels[0]))
    for level, weight in zip(levels, weights, strict=False):
        total += np.multiply(level, weight, out=term)
    return total


def _growth(history: History, days: int) -> Floats:
    product = np.ones(len(history.growth))
    for back in range(days):
        product *= _shifted(history.growth, back)
    return product - 1


def _lag(history: History, sessions: int) -> Floats:
    return _shifted(history.growth, sessions) - 1


def _shifted(values: Floats, back: int) -> Floats:
    """Return the values of `back` places before; NaN where there is none."""
    if not back:
        return values
    found = np.full(len(values), np.nan)
    found[back:] = values[:-back]
    return found


def _mean(history: History, days: int) -> Floats:
    return _weighted(history.levels[:days], [1.0] * days) / days


def _sma(history: History, days: int) -> Floats:
    return history.known(_mean(history, days), days - 1)


@cache
def _ema_weights(days: int) -> tuple[tuple[float, ...], Floats]:
    """Return the weights of the closes, newest first, and the sum of each so many."""
    weights = tuple((1 - 2 / (days + 1)) ** age for age in range(EMA_MEMORY * days))
    return weights, np.cumsum(weights)


def _ema(history: History, days: int) -> Floats:
    weights, totals = _ema_weights(days)
    total = totals[np.minimum(history.run, len(weights) - 1)]
    return history.known(_weighted(history.levels, weights) / total, days - 1)


@cache
def _macd_weights() -> tuple[list[float], list[float]]:
    """Return the weights of the closes, newest first: of the line, and of its signal."""
    fast, slow, signal = (
        [weight / math.fsum(_ema_weights(days)[0]) for weight in _ema_weights(days)[0]]
        for days in MACD
    )
    line = [(fast[k] if k < len(fast) else 0.0) - slow[k] for k in range(len(slow))]
    depth = len(slow) + len(signal) - 1
    smoothed = [
        math.fsum(
            signal[age] * line[k - age] for age in range(len(signal)) if 0 <= k - age < len(line)
        )
        for k in range(depth)
    ]
    return line + [0.0] * (depth - len(line)), smoothed


def _macd(history: History, _: int) -> Floats:
    line, _signal = _macd_weights()
    return history.known(_weighted(history.levels, line), len(line) - 1)


def _macd_signal(history: History, _: int) -> Floats:
    _line, signal = _macd_weights()
    return history.known(_weighted(history.levels, signal), len(signal) - 1)


def _macd_histogram(history: History, _: int) -> Floats:
    return _macd(history, 0) - _macd_signal(history, 0)


def _band(history: History, days: int, deviations: float) -> Floats:
    mean = _mean(history, days)
    squares = _weighted([(level - mean) ** 2 for level in history.levels[:days]], [1.0] * days)
    return history.known(mean + deviations * np.sqrt(squares / days), days - 1)


def _bollinger_upper(history: History, days: int) -> Floats:
    return _band(history, days, _BANDS)


def _bollinger_lower(history: History, days: int) -> Floats:
    return _band(history, days, -_BANDS)


def _wilder(history: History, days: int, values: Iterator[Floats]) -> Floats:
    """Return Wilder's average of values, newest first: the mean of the first `days`, then 1/days.

    It starts with the run of known growths, or WILDER_MEMORY * days values ago.
    """
    count = np.minimum(history.run, WILDER_MEMORY * days)
    keep = 1 - 1 / days
    # powers by table: NumPy's pow may round differently from one place of an array to the next
    powers = np.array([keep**age for age in range(WILDER_MEMORY * days + 1)])
    total = np.zeros(len(count))
    first = powers[np.maximum(count - days, 0)] / days
    for age, value in zip(range(WILDER_MEMORY * days), values, strict=False):
        weight = np.where(age < count - days, powers[age] / days, first)
        total += np.where(age < count, weight, 0) * value
    return total


def _rsi(history: History, days: int) -> Floats:
    levels = history.levels[: WILDER_MEMORY * days + 1]
    rises = _wilder(history, days, (np.maximum(new - old, 0) for new, old in pairwise(levels)))
    falls = _wilder(history, days, (np.maximum(old - new, 0) for new, old in pairwise(levels)))
    moves = rises + falls
    index = np.divide(100 * rises, moves, out=np.full(len(moves), np.nan), where=moves > 0)
    return np.where(history.run >= days, index, np.nan)


def _atr(history: History, days: int) -> Floats:
    is_known = history.growth > 0
    prior = np.divide(history.close, history.growth, out=history.close.copy(), where=is_known)
    true_range = np.maximum(history.high, prior) - np.minimum(history.low, prior)
    share = np.divide(true_range, history.close, out=np.zeros(len(prior)), where=is_known)
    past = (
        np.nan_to_num(_shifted(share, back)) * level for back, level in enumerate(history.levels)
    )
    return history.known(_wilder(history, days, past), days)


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
