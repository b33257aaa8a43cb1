"""The user's market regimes and their weights, as a validated model of regimes.yaml."""

from __future__ import annotations

import datetime as dt
from functools import cache
from importlib import resources
from typing import Final

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from cbi_assets.errors import UsageError

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
    try:
        # as plain text: YAML's own dates fail without saying where
        return Regimes.model_validate(yaml.load(text, Loader=yaml.BaseLoader))
    except yaml.YAMLError as error:
        raise UsageError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "regimes"
        raise UsageError(f"{name}: {where}: {first['msg']}. Correct that key.") from None


@cache
def load_regimes() -> Regimes:
    """The project's own regimes."""
    return parse_regimes(resources.files("cbi_assets").joinpath("regimes.yaml").read_text())
