"""The own chain of outrights: which contract is held on each trade date, and every roll.

The contract for trade date D is decided from data through the root's trade date before, D-1, alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from cbi_assets.market.bars import Columns
from cbi_assets.market.deadlines import DeadlineRule, deadline
from cbi_assets.market.sessions import Calendar
from cbi_assets.market.symbology import MONTH_CODES

HELD_COLUMNS: Final[Columns] = {"root": pl.String, "trade_date": pl.Date, "contract": pl.String}

ROLL_COLUMNS: Final[Columns] = {
    "roll_date": pl.Date,
    "root": pl.String,
    "from_contract": pl.String,
    "to_contract": pl.String,
    "method": pl.String,
    "decided_on": pl.Date,
    "deadline": pl.Date,
    "from_close": pl.Float64,
    "from_volume": pl.Int64,
    "to_close": pl.Float64,
    "to_volume": pl.Int64,
}

_DECIDED: Final = tuple(ROLL_COLUMNS)[:7]
_UNKNOWN: Final = -1


@dataclass(frozen=True)
class RollRule:
    """The contract months that a root's chain may hold, as month codes, and its deadlines' rule."""

    months: str
    deadline: DeadlineRule


@dataclass(frozen=True)
class Chain:
    """`held`: HELD_COLUMNS, one row a root and trade date on which a contract is held. `rolls`:
    ROLL_COLUMNS, one row a roll. Both by root and date."""

    held: pl.DataFrame
    rolls: pl.DataFrame


def chain(
    outrights: pl.DataFrame, rules: Mapping[str, RollRule], calendars: Mapping[str, Calendar]
) -> Chain:
    """Work out each root's chain and its rolls.

    `outrights` has root, contract (`ZLZ2025`), trade_date, close (native units) and volume
    (contracts), one row a contract and trade date; `rules` and `calendars` know every root in it.

    The held contract is left for the later eligible month that traded most on the trade date
    before, if that traded more than the held one did (method `volume`); where both traded alike, or
    the held one's volume is not known, it stays. On its deadline it must go: to the later eligible
    month that traded most, whatever it traded itself (method `deadline`). Of two that traded alike
    the nearer is taken. A month past its own deadline is never entered, and none is gone back to.

    The first date of a history has no held contract, since nothing came before it; nor has a date
    from a deadline on until a later month is known to have traded. A trade date here is one on
    which any outright of the root has a row.
    """
    held, rolls = [pl.DataFrame(schema=HELD_COLUMNS)], []
    parts = {rows["root"][0]: rows for rows in outrights.partition_by("root")}
    for root, rows in sorted(parts.items(), key=lambda part: part[0]):
        stints = _Stints.of(rows, rules[root], calendars[root])
        held.append(stints.held(root))
        rolls += stints.rolls(root)
    decided = pl.DataFrame(
        rolls, schema={name: ROLL_COLUMNS[name] for name in _DECIDED}, orient="row"
    )
    # first the few rows that matter, of very many
    seen = outrights.join(
        decided, left_on=["root", "trade_date"], right_on=["root", "decided_on"], how="semi"
    )
    for leg in ("from", "to"):
        evidence = seen.select(
            "root",
            pl.col("contract").alias(f"{leg}_contract"),
            pl.col("trade_date").alias("decided_on"),
            pl.col("close").alias(f"{leg}_close"),
            pl.col("volume").alias(f"{leg}_volume"),
        )
        decided = decided.join(
            evidence,
            on=["root", f"{leg}_contract", "decided_on"],
            how="left",
            maintain_order="left",
        )
    return Chain(
        pl.concat(held),
        decided.select(pl.col(name).cast(dtype) for name, dtype in ROLL_COLUMNS.items()),
    )


@dataclass(frozen=True)
class _Stint:
    """A contract (its place among the root's) held on the dates from place `start` to `stop`."""

    contract: int
    start: int
    stop: int
    method: str


@dataclass(frozen=True)
class _Stints:
    """One root's chain. `deadlines` stand beside `contracts`."""

    dates: npt.NDArray[np.datetime64]
    contracts: list[str]
    deadlines: npt.NDArray[np.datetime64]
    stints: list[_Stint]

    @classmethod
    def of(cls, rows: pl.DataFrame, rule: RollRule, calendar: Calendar) -> _Stints:
        months = {name: _month_of(name) for name in rows["contract"].unique()}
        contracts = sorted(
            (name for name, (_, month) in months.items() if MONTH_CODES[month - 1] in rule.months),
            key=lambda name: months[name],
        )
        ends = [deadline(rule.deadline, *months[name], calendar) for name in contracts]
        deadlines = np.array(ends, dtype="datetime64[D]")
        dates, row = np.unique(rows["trade_date"].to_numpy(), return_inverse=True)
        dates = dates.astype("datetime64[D]")
        column = (
            rows["contract"]
            .replace_strict(
                {name: place for place, name in enumerate(contracts)},
                default=None,
                return_dtype=pl.Int32,
            )
            .fill_null(_UNKNOWN)
            .to_numpy()
        )
        volumes = np.full((len(dates), len(contracts)), _UNKNOWN, dtype=np.int64)
        eligible = column >= 0
        known = rows["volume"].fill_null(_UNKNOWN).to_numpy()
        volumes[row[eligible], column[eligible]] = known[eligible]
        return cls(dates, contracts, deadlines, _hold(dates, volumes, deadlines))

    def held(self, root: str) -> pl.DataFrame:
        """HELD_COLUMNS of the root."""
        dates = [self.dates[stint.start : stint.stop] for stint in self.stints]
        names = [self.contracts[stint.contract] for stint in self.stints]
        lengths = [len(part) for part in dates]
        return pl.DataFrame(
            {
                "trade_date": np.concatenate([self.dates[:0], *dates]),
                "contract": pl.Series(np.repeat(np.array(names, dtype=object), lengths)),
            },
            schema_overrides={"contract": pl.String},
        ).select(pl.lit(root).alias("root"), "trade_date", "contract")

    def rolls(self, root: str) -> list[tuple[object, ...]]:
        """The root's rolls, with what is known of them before their evidence is looked up."""
        found: list[tuple[object, ...]] = []
        for left, entered in pairwise(self.stints):
            until: dt.date = self.deadlines[left.contract].item()
            found.append(
                (
                    self.dates[entered.start].item(),
                    root,
                    self.contracts[left.contract],
                    self.contracts[entered.contract],
                    entered.method,
                    self.dates[entered.start - 1].item(),
                    until,
                )
            )
        return found


def _month_of(contract: str) -> tuple[int, int]:
    """Year and month (1-12) of a contract such as `ZLZ2025`."""
    return int(contract[-4:]), MONTH_CODES.index(contract[-5]) + 1


def _hold(
    dates: npt.NDArray[np.datetime64],
    volumes: npt.NDArray[np.int64],
    deadlines: npt.NDArray[np.datetime64],
) -> list[_Stint]:
    """The stints by `volumes` (dates by contracts in calendar order, -1 where not known)."""
    # row i decides date i + 1, for which a contract past its deadline is no candidate
    own = volumes[:-1]
    wanted = np.where(dates[1:, None] < deadlines[None, :], own, _UNKNOWN)
    last, row, rows = -1, 0, len(own)
    stints: list[_Stint] = []
    while row < rows and last + 1 < len(deadlines):
        # nothing is held at `row` yet
        later = wanted[row, last + 1 :]
        if later.max() == _UNKNOWN:
            row += 1
            continue
        is_next = bool(stints) and stints[-1].stop == row + 1
        by_volume = is_next and 0 <= own[row, last] < later.max()
        current = last + 1 + int(later.argmax())
        end = int(np.searchsorted(dates[1:], deadlines[current]))
        stop = row + _first_overtaken(own[row:end, current], wanted[row:end, current + 1 :])
        stints.append(_Stint(current, row + 1, stop + 1, "volume" if by_volume else "deadline"))
        last, row = current, stop
    return stints


def _first_overtaken(own: npt.NDArray[np.int64], later: npt.NDArray[np.int64]) -> int:
    """The first row on which a later month traded more than the held one; else past the end."""
    if later.shape[1] == 0:
        return len(own)
    found = np.flatnonzero((own >= 0) & (later.max(axis=1) > own))
    return int(found[0]) if len(found) else len(own)
