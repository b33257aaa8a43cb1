"""The universe: which roots, timeframes and dates the project wants, as a validated model."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from cbi_assets.config.yaml_files import packaged, parse_config
from cbi_assets.errors import UsageError
from cbi_assets.market.bars import TIMEFRAMES, Timeframe
from cbi_assets.market.deadlines import DeadlineRule
from cbi_assets.market.rolls import RollRule
from cbi_assets.market.sessions import Calendar
from cbi_assets.market.symbology import MONTH_CODES


def _in_calendar_order(months: str) -> str:
    if sorted(set(months), key=MONTH_CODES.index) != list(months):
        raise ValueError("month codes must be unique and in calendar order")
    return months


Months = Annotated[
    str, StringConstraints(pattern=f"^[{MONTH_CODES}]+$"), AfterValidator(_in_calendar_order)
]
"""Contract months as month codes."""


class Roll(BaseModel):
    """How a root's chain rolls: the months it may hold (all that are listed, where none is named)
    and the rule of its deadlines."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deadline: DeadlineRule
    months: Months | None = None


class Root(BaseModel):
    """One futures product. `tick` is in `units`; `listed` is its first trade date at CME."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    tier: int = Field(ge=1, le=4)
    exchange: Literal["CBOT", "CME", "NYMEX", "COMEX"]
    calendar: Calendar
    months: Months
    tick: float = Field(gt=0)
    units: str
    timeframes: tuple[Timeframe, ...] = Field(min_length=1)
    listed: dt.date | None = None
    roll: Roll

    @model_validator(mode="after")
    def _rolls_into_listed_months(self) -> Root:
        unlisted = sorted(set(self.roll.months or "") - set(self.months), key=MONTH_CODES.index)
        if unlisted:
            raise ValueError(f"roll.months names {', '.join(unlisted)}, which months does not list")
        return self

    @property
    def roll_rule(self) -> RollRule:
        """What `market.rolls.chain` needs to know of the root."""
        return RollRule(self.roll.months or self.months, self.roll.deadline)


class Universe(BaseModel):
    """All roots by name, and the first day of the vendor's history."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    history_start: dt.date
    roots: dict[Annotated[str, StringConstraints(pattern="^[A-Z0-9]{1,4}$")], Root]

    def wanted_from(self, root: str) -> dt.date:
        """The first day wanted for `root`: the vendor's history or the listing date."""
        return max(self.history_start, self.roots[root].listed or self.history_start)

    def calendars(self) -> dict[str, Calendar]:
        """The sector calendar of every root."""
        return {name: root.calendar for name, root in self.roots.items()}

    def roll_rules(self) -> dict[str, RollRule]:
        """How the chain of every root rolls."""
        return {name: root.roll_rule for name, root in self.roots.items()}

    def select(self, roots: tuple[str, ...] = ()) -> tuple[str, ...]:
        """`roots` if given, else all, in the file's order. Raises UsageError for an unknown one."""
        for root in roots:
            if root not in self.roots:
                raise UsageError(
                    f"--symbol {root}: not a root of the universe. "
                    f"Take one of {', '.join(self.roots)}, or add it to universe.yaml."
                )
        return tuple(root for root in self.roots if not roots or root in roots)


def select_timeframes(timeframes: tuple[str, ...] = ()) -> tuple[Timeframe, ...]:
    """`timeframes` if given, else all three. Raises UsageError for an unknown one."""
    for timeframe in timeframes:
        if timeframe not in TIMEFRAMES:
            raise UsageError(f"--timeframe {timeframe}: take one of {', '.join(TIMEFRAMES)}.")
    return tuple(name for name in TIMEFRAMES if not timeframes or name in timeframes)


def parse_universe(text: str, name: str = "universe.yaml") -> Universe:
    """Read a universe from YAML. Raises UsageError naming the key that is wrong."""
    return parse_config(Universe, text, name)


@cache
def load_universe() -> Universe:
    """The project's own universe."""
    return parse_universe(packaged("universe.yaml"))
