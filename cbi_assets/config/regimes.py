"""The user's market regimes and their weights, as a validated model of regimes.yaml."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Final

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from cbi_assets.config.yaml_files import packaged, parse_config

BASELINE: Final = "baseline"
"""The regime that stands only where no other one does."""


class Regime(BaseModel):
    """One regime: its name, its first and last date, both included, and the weight of its rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    start_date: dt.date
    end_date: dt.date
    weight: float = Field(ge=0, allow_inf_nan=False)

    @field_validator("end_date")
    @classmethod
    def _is_not_before_the_start(cls, end: dt.date, info: ValidationInfo) -> dt.date:
        start = info.data.get("start_date")
        if start is not None and end < start:
            raise ValueError(f"{end} is before start_date {start}")
        return end


class Regimes(BaseModel):
    """All of regimes.yaml, in its order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    regimes: tuple[Regime, ...] = Field(min_length=1)

    @field_validator("regimes")
    @classmethod
    def _can_be_told_apart(cls, regimes: tuple[Regime, ...]) -> tuple[Regime, ...]:
        names: set[str] = set()
        starts: dict[dt.date, str] = {}
        for regime in regimes:
            if regime.name in names:
                raise ValueError(f"two are named {regime.name}")
            names.add(regime.name)
            if regime.name == BASELINE:
                continue
            first = starts.setdefault(regime.start_date, regime.name)
            if first != regime.name:
                raise ValueError(f"{first} and {regime.name} start on the same date")
        return regimes

    def by_precedence(self) -> tuple[Regime, ...]:
        """The regimes, the one that stands first: where two cover a date, the later-starting one
        does, and the baseline only where no other one covers it."""
        return tuple(
            sorted(self.regimes, key=lambda r: (r.name != BASELINE, r.start_date), reverse=True)
        )


def parse_regimes(text: str, name: str = "regimes.yaml") -> Regimes:
    """Read the regimes from YAML. Raises UsageError naming the key that is wrong."""
    return parse_config(Regimes, text, name, "regimes")


@cache
def load_regimes() -> Regimes:
    """The project's own regimes."""
    return parse_regimes(packaged("regimes.yaml"))
