"""Each root's front-month chain: the active contract of every trade date, and every roll.

The contract for trade date D is chosen only from data through the root's trade date before, D-1.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from cbi_assets.market.bars import Columns
from cbi_assets.market.deadlines import DeadlineRule, deadline
from cbi_assets.market.sessions import Calendar, trade_dates
from cbi_assets.market.symbology import MONTH_CODES

FRONT_MONTH_COLUMNS: Final[Columns] = {
    "root": pl.String,
    "trade_date": pl.Date,
    "contract": pl.String,
}

USUAL_DATES: Final = 20
"""How many trade dates before a date its usual volume is the mean of."""

THIN_SHARE: Final = 0.05
"""A trade date is thin if its volume is a smaller share of the usual one."""

_UNKNOWN: Final = -1
"""An unknown volume, or a contract that is not eligible."""


@dataclass(frozen=True)
class RollRule:
    """A root's eligible contract months, as month codes, and its deadline rule."""

    months: str
    deadline: DeadlineRule


@dataclass(frozen=True)
class Chain:
    """The front-month chains of some roots.

    Attributes
    ----------
    front_months : pl.DataFrame
        FRONT_MONTH_COLUMNS, one row per root and trade date that has an active contract.
    rolls : pl.DataFrame
        One row per roll.

    Both are sorted by root and date.
    """

    front_months: pl.DataFrame
    rolls: pl.DataFrame


def chain(
    outrights: pl.DataFrame,
    rules: Mapping[str, RollRule],
    calendars: Mapping[str, Calendar],
    roll_schema: pl.Schema,
) -> Chain:
    """Build each root's front-month chain and list its rolls.

    The chain rolls to the later eligible month with the most volume on the prior trade date, if
    that is more than the active contract's own (method `volume`). It stays on a tie, and if the
    active contract's volume is unknown. On the active contract's deadline it rolls to the later
    eligible month with the most volume, whatever that is (method `deadline`). The nearer of two
    months with equal volume wins. The chain never returns to an earlier month, and never enters a
    month past its own deadline. A thin trade date decides nothing: after a holiday a few contracts
    of a dead month would. The one before it decides instead.

    A history's first date has no active contract, as nothing precedes it. Neither has a date on or
    after a deadline, until a later month is known to have traded. A trade date here is one on which
    any outright of the root has a row.

    Parameters
    ----------
    outrights : pl.DataFrame
        root, contract (`ZLZ2025`), trade_date, close (native units), volume (contracts): one row
        per contract and trade date, in any order.
    rules, calendars : Mapping
        Roll rule and sector calendar by root. A root without a rule gets no chain.
    roll_schema : pl.Schema
        Columns of the roll calendar.

    Returns
    -------
    Chain
        In `rolls`, `decided_on` is the trade date before the roll; both legs' close and volume are
        of that date, and null if unknown. `deadline` is the old contract's.
    """
    front_months = [pl.DataFrame(schema=FRONT_MONTH_COLUMNS)]
    rolls: list[dict[str, Any]] = []
    parts = {rows["root"][0]: rows for rows in outrights.partition_by("root")}
    for root, rows in sorted(parts.items(), key=lambda part: part[0]):
        if root not in rules:
            continue
        history = _History.of(rows, rules[root], calendars[root])
        periods = _holding_periods(history.dates, history.volumes, history.deadlines)
        front_months.append(history.front_months(root, periods))
        rolls += history.rolls(root, periods)
    return Chain(pl.concat(front_months), pl.DataFrame(rolls, schema=roll_schema))


def candidates(
    outrights: pl.DataFrame, rules: Mapping[str, RollRule], calendars: Mapping[str, Calendar]
) -> pl.DataFrame:
    """Return the contracts that a chain may need bars of, for every trade date.

    On each date these are the front month, and the later eligible month with the most volume on
    the date before: the one that the chain rolls to next, whose own close and volume a roll needs.
    Both depend on nothing later than the date before. A thin date is passed over as in `chain`.

    Parameters
    ----------
    outrights, rules, calendars
        As for `chain`.

    Returns
    -------
    pl.DataFrame
        FRONT_MONTH_COLUMNS, sorted, for the dates in `outrights` and the one after the newest.
    """
    found = [pl.DataFrame(schema=FRONT_MONTH_COLUMNS)]
    for part in outrights.sort("trade_date").partition_by("root"):
        root = part["root"][0]
        if root in rules:
            newest: dt.date = part["trade_date"].to_list()[-1]
            after = trade_dates(calendars[root], newest + dt.timedelta(days=1))[0]
            history = _History.of(part, rules[root], calendars[root]).until(after)
            found.append(history.candidates(root))
    return pl.concat(found).unique().sort("root", "trade_date", "contract")


@dataclass(frozen=True)
class _HoldingPeriod:
    """A contract that is active on the dates from index `start` up to, not including, `stop`."""

    contract: int
    start: int
    stop: int
    method: str


@dataclass(frozen=True)
class _History:
    """One root's trade dates and eligible contracts, nearest first.

    `closes` (NaN if unknown) and `volumes` (_UNKNOWN if unknown) are by date and contract.
    """

    dates: npt.NDArray[np.datetime64]
    contracts: list[str]
    deadlines: npt.NDArray[np.datetime64]
    closes: npt.NDArray[np.float64]
    volumes: npt.NDArray[np.int64]

    @classmethod
    def of(cls, rows: pl.DataFrame, rule: RollRule, calendar: Calendar) -> _History:
        months = {name: _month_of(name) for name in rows["contract"].unique()}
        contracts = sorted(
            (name for name, (_, month) in months.items() if MONTH_CODES[month - 1] in rule.months),
            key=lambda name: months[name],
        )
        deadlines = [deadline(rule.deadline, *months[name], calendar) for name in contracts]
        dates, row = np.unique(rows["trade_date"].to_numpy(), return_inverse=True)
        column = (
            rows["contract"]
            .replace_strict(
                {name: index for index, name in enumerate(contracts)},
                default=_UNKNOWN,
                return_dtype=pl.Int32,
            )
            .to_numpy()
        )
        eligible = column >= 0
        cells = row[eligible], column[eligible]
        closes = np.full((len(dates), len(contracts)), np.nan)
        closes[cells] = rows["close"].to_numpy()[eligible]
        volumes = np.full(closes.shape, _UNKNOWN, dtype=np.int64)
        volumes[cells] = rows["volume"].fill_null(_UNKNOWN).to_numpy()[eligible]
        return cls(
            dates.astype("datetime64[D]"),
            contracts,
            np.array(deadlines, dtype="datetime64[D]"),
            closes,
            volumes,
        )

    def until(self, date: dt.date) -> _History:
        """Return the history with one more date, on which nothing is known yet."""
        unknown = np.full((1, len(self.contracts)), _UNKNOWN, dtype=np.int64)
        return replace(
            self,
            dates=np.append(self.dates, np.datetime64(date, "D")),
            closes=np.vstack([self.closes, unknown.astype(np.float64)]),
            volumes=np.vstack([self.volumes, unknown]),
        )

    def candidates(self, root: str) -> pl.DataFrame:
        """Return FRONT_MONTH_COLUMNS of each date's front month and next one."""
        periods = _holding_periods(self.dates, self.volumes, self.deadlines)
        active = np.full(len(self.dates), _UNKNOWN)
        for period in periods:
            active[period.start : period.stop] = period.contract
        decisive = _without_thin_dates(self.volumes)[:-1]
        is_later = np.arange(len(self.contracts))[None, :] > active[1:, None]
        is_open = self.dates[1:, None] < self.deadlines[None, :]
        volumes = np.where(is_later & is_open, decisive, _UNKNOWN)
        following = np.full(len(self.dates), _UNKNOWN)
        if self.contracts and len(decisive):
            largest = volumes.argmax(axis=1)
            known = volumes.max(axis=1) > _UNKNOWN
            following[1:] = np.where(known, largest, _UNKNOWN)
        parts = [
            pl.DataFrame(
                {
                    "trade_date": self.dates[chosen >= 0],
                    "contract": [self.contracts[n] for n in chosen[chosen >= 0]],
                },
                schema_overrides={"contract": pl.String},
            )
            for chosen in (active, following)
        ]
        return pl.concat(parts).select(pl.lit(root).alias("root"), "trade_date", "contract")

    def front_months(self, root: str, periods: list[_HoldingPeriod]) -> pl.DataFrame:
        """Return FRONT_MONTH_COLUMNS of the root."""
        dates = [self.dates[period.start : period.stop] for period in periods]
        names = [self.contracts[period.contract] for period in periods]
        lengths = [len(part) for part in dates]
        return pl.DataFrame(
            {
                "trade_date": np.concatenate([self.dates[:0], *dates]),
                "contract": pl.Series(np.repeat(np.array(names, dtype=object), lengths)),
            },
            schema_overrides={"contract": pl.String},
        ).select(pl.lit(root).alias("root"), "trade_date", "contract")

    def rolls(self, root: str, periods: list[_HoldingPeriod]) -> Iterator[dict[str, Any]]:
        """Yield the root's rolls by column."""
        for old, new in pairwise(periods):
            decided = new.start - 1
            yield {
                "roll_date": self.dates[new.start].item(),
                "root": root,
                "from_contract": self.contracts[old.contract],
                "to_contract": self.contracts[new.contract],
                "method": new.method,
                "decided_on": self.dates[decided].item(),
                "deadline": self.deadlines[old.contract].item(),
                "from_close": self._close(decided, old.contract),
                "from_volume": self._volume(decided, old.contract),
                "to_close": self._close(decided, new.contract),
                "to_volume": self._volume(decided, new.contract),
            }

    def _close(self, date: int, contract: int) -> float | None:
        close = float(self.closes[date, contract])
        return None if np.isnan(close) else close

    def _volume(self, date: int, contract: int) -> int | None:
        volume = int(self.volumes[date, contract])
        return None if volume == _UNKNOWN else volume


def _month_of(contract: str) -> tuple[int, int]:
    """Year and month (1-12) of a contract such as `ZLZ2025`."""
    return int(contract[-4:]), MONTH_CODES.index(contract[-5]) + 1


def _holding_periods(
    dates: npt.NDArray[np.datetime64],
    volumes: npt.NDArray[np.int64],
    deadlines: npt.NDArray[np.datetime64],
) -> list[_HoldingPeriod]:
    """Return the periods in which each contract is active, in order."""
    # Row i decides date i + 1, on which a contract past its deadline is not a candidate.
    decisive = _without_thin_dates(volumes)[:-1]
    candidates = np.where(dates[1:, None] < deadlines[None, :], decisive, _UNKNOWN)
    active, row = -1, 0
    periods: list[_HoldingPeriod] = []
    while row < len(decisive) and active + 1 < len(deadlines):
        later = candidates[row, active + 1 :]
        if later.max() == _UNKNOWN:
            row += 1
            continue
        follows = bool(periods) and periods[-1].stop == row + 1
        by_volume = follows and 0 <= decisive[row, active] < later.max()
        active += 1 + int(later.argmax())
        end = int(np.searchsorted(dates[1:], deadlines[active]))
        stop = row + _first_overtaken(decisive[row:end, active], candidates[row:end, active + 1 :])
        method = "volume" if by_volume else "deadline"
        periods.append(_HoldingPeriod(active, row + 1, stop + 1, method))
        row = stop
    return periods


def _without_thin_dates(volumes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the volumes with those of the date before in place of each thin date's.

    A date's volume is that of its most traded month. The first USUAL_DATES are never thin.
    """
    largest = volumes.max(axis=1, initial=0)
    sums = np.concatenate([[0], largest.cumsum()])
    is_thin = np.zeros(len(largest), dtype=bool)
    usual = (sums[USUAL_DATES:-1] - sums[: -USUAL_DATES - 1]) / USUAL_DATES
    is_thin[USUAL_DATES:] = largest[USUAL_DATES:] < THIN_SHARE * usual
    newest = np.maximum.accumulate(np.where(is_thin, 0, np.arange(len(largest))))
    return volumes[newest]


def _first_overtaken(own: npt.NDArray[np.int64], later: npt.NDArray[np.int64]) -> int:
    """Return the first row on which a later month traded more, or the number of rows."""
    if later.shape[1] == 0:
        return len(own)
    found = np.flatnonzero((own >= 0) & (later.max(axis=1) > own))
    return int(found[0]) if len(found) else len(own)
