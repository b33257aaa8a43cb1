"""The model of universe.yaml: the roots, timeframes and dates that the project wants."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from functools import cache
from math import gcd
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    model_validator,
)

from cbi_assets.config.yaml_files import YamlModel, parse_config, read_packaged
from cbi_assets.errors import UsageError
from cbi_assets.market.bars import PRICE_UNIT, TIMEFRAMES, Timeframe
from cbi_assets.market.deadlines import DeadlineRule
from cbi_assets.market.rolls import RollRule
from cbi_assets.market.sessions import Calendar
from cbi_assets.market.symbology import MONTH_CODES
from cbi_assets.market.ticks import Tick

FOUND: Final = 5
"""The tier of roots that are on the drive and were not asked for: loaded, not planned."""


def _check_month_order(months: str) -> str:
    if sorted(set(months), key=MONTH_CODES.index) != list(months):
        raise ValueError("month codes must be unique and in calendar order")
    return months


def _check_nanos(tick: float) -> float:
    if tick <= 0 or round(tick * PRICE_UNIT) / PRICE_UNIT != tick:
        raise ValueError("must be a positive multiple of 1e-9")
    return tick


Exchange = Literal["CBOT", "CME", "NYMEX", "COMEX", "CFE"]

TickSize = Annotated[float, AfterValidator(_check_nanos)]

Months = Annotated[
    str, StringConstraints(pattern=f"^[{MONTH_CODES}]+$"), AfterValidator(_check_month_order)
]
"""Contract months as month codes, in calendar order."""


class Roll(YamlModel):
    """How a root's chain rolls: deadline rule and eligible months (None for all listed ones)."""

    deadline: DeadlineRule | Literal["unknown"]
    months: Months | None = None


class Root(YamlModel):
    """One futures product, in one of the vendor's datasets.

    `listed` is its first trade date, `ended` the last with a bar. `tick` is in `units`;
    `earlier_ticks` has the tick up to and including a trade date. Its contracts trade up to
    `months_after` months past their contract month. A root of tier FOUND is on the drive and wanted
    in no timeframe.
    """

    name: str
    tier: int = Field(ge=1, le=5)
    exchange: Exchange
    dataset: str = "GLBX.MDP3"
    calendar: Calendar
    months: Months
    tick: TickSize
    earlier_ticks: dict[dt.date, TickSize] = Field(default_factory=dict)
    units: str
    currency: Literal["USD", "JPY"] = "USD"
    timeframes: tuple[Timeframe, ...] = ()
    listed: dt.date | None = None
    ended: dt.date | None = None
    note: str | None = None
    months_after: int = Field(default=0, ge=0, le=11)
    roll: Roll

    @model_validator(mode="after")
    def _check_roll_months(self) -> Root:
        unlisted = sorted(set(self.roll.months or "") - set(self.months), key=MONTH_CODES.index)
        if unlisted:
            raise ValueError(f"roll.months names {', '.join(unlisted)}, which months does not list")
        if (self.tier == FOUND) == bool(self.timeframes):
            raise ValueError(f"timeframes are named by every root but those of tier {FOUND}")
        return self

    @property
    def roll_rule(self) -> RollRule | None:
        """The eligible months and deadline rule, for `market.rolls.chain`; None if unknown."""
        if self.roll.deadline == "unknown":
            return None
        return RollRule(self.roll.months or self.months, self.roll.deadline)

    def tick_eras(self) -> Iterator[tuple[dt.date, int]]:
        """Yield the last trade date of each era and its finest step in 1e-9, newest era first.

        Before a change to a finer tick, legs of spreads already trade on it.
        """
        nanos = 0
        for last, tick in sorted({**self.earlier_ticks, dt.date.max: self.tick}.items())[::-1]:
            nanos = gcd(nanos, round(tick * PRICE_UNIT))
            yield last, nanos


class Universe(YamlModel):
    """All roots by name, and the first day of the vendor's history."""

    history_start: dt.date
    roots: dict[Annotated[str, StringConstraints(pattern="^[A-Z0-9]{1,4}$")], Root]

    def first_trade_date(self, root: str) -> dt.date:
        """Return the first trade date wanted for `root`: its listing, or the history's start."""
        return max(self.history_start, self.roots[root].listed or self.history_start)

    def wanted_from(self, root: str) -> dt.date:
        """Return the first UTC day wanted for `root`: a session opens on the evening before."""
        return max(self.history_start, self.first_trade_date(root) - dt.timedelta(days=1))

    def datasets(self, roots: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the vendor's datasets that `roots` are in, or all roots' if empty, sorted."""
        return tuple(sorted({self.roots[root].dataset for root in roots or self.roots}))

    def calendars(self) -> dict[str, Calendar]:
        """Return every root's sector calendar."""
        return {name: root.calendar for name, root in self.roots.items()}

    def months_after(self) -> dict[str, int]:
        """Return the roots whose contracts trade past their month, and for how many months."""
        return {name: root.months_after for name, root in self.roots.items() if root.months_after}

    def ticks(self) -> tuple[Tick, ...]:
        """Return the ticks of every root, oldest first, from the first date to the last."""
        ticks: list[Tick] = []
        for name, root in self.roots.items():
            first = dt.date.min
            for last, nanos in reversed(list(root.tick_eras())):
                if ticks and ticks[-1].root == name and ticks[-1].tick_nanos == nanos:
                    first = ticks.pop().first_date
                ticks.append(Tick(name, first, last, nanos))
                if last < dt.date.max:
                    first = last + dt.timedelta(days=1)
        return tuple(ticks)

    def roll_rules(self) -> dict[str, RollRule]:
        """Return the roll rules of the roots whose rule is known."""
        rules = {name: root.roll_rule for name, root in self.roots.items()}
        return {name: rule for name, rule in rules.items() if rule is not None}

    def select(self, roots: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return `roots` in the file's order, or all if empty.

        Raises UsageError if one is unknown.
        """
        for root in roots:
            if root not in self.roots:
                raise UsageError(
                    "not a root of the universe",
                    subject=f"--symbol {root}",
                    remedy=f"Use one of {', '.join(self.roots)}, or add it to universe.yaml.",
                )
        return tuple(root for root in self.roots if not roots or root in roots)


def select_timeframes(timeframes: tuple[str, ...] = ()) -> tuple[Timeframe, ...]:
    """Return `timeframes`, longest first, or all if empty. Raises UsageError if one is unknown."""
    for timeframe in timeframes:
        if timeframe not in TIMEFRAMES:
            raise UsageError(
                "not a timeframe of the raw tables",
                subject=f"--timeframe {timeframe}",
                remedy=f"Use one of {', '.join(TIMEFRAMES)}.",
            )
    return tuple(name for name in TIMEFRAMES if not timeframes or name in timeframes)


def parse_universe(text: str, name: str = "universe.yaml") -> Universe:
    """Parse universe.yaml. Raises UsageError that names the wrong key."""
    return parse_config(Universe, text, name)


@cache
def load_universe() -> Universe:
    """Read the packaged universe.yaml."""
    return parse_universe(read_packaged("universe.yaml"))
