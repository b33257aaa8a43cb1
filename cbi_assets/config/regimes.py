"""The model of regimes.yaml: market regimes and the weight of their training rows."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Final

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
)

from cbi_assets.config.yaml_files import YamlModel, parse_config, read_packaged

BASELINE: Final = "baseline"
"""The regime of dates that no other regime covers."""


class Regime(YamlModel):
    """One regime: its first and last date, both included, and the weight of its rows."""

    name: str = Field(min_length=1)
    start_date: dt.date
    end_date: dt.date
    weight: float = Field(ge=0, allow_inf_nan=False)

    @field_validator("end_date")
    @classmethod
    def _check_end(cls, end: dt.date, info: ValidationInfo) -> dt.date:
        start = info.data.get("start_date")
        if start is not None and end < start:
            raise ValueError(f"{end} is before start_date {start}")
        return end


class Regimes(YamlModel):
    """All of regimes.yaml, in the file's order."""

    regimes: tuple[Regime, ...] = Field(min_length=1)

    @field_validator("regimes")
    @classmethod
    def _check_distinct(cls, regimes: tuple[Regime, ...]) -> tuple[Regime, ...]:
        names: set[str] = set()
        starts: dict[dt.date, str] = {}
        for regime in regimes:
            if regime.name in names:
                raise ValueError(f"two regimes are named {regime.name}")
            names.add(regime.name)
            if regime.name == BASELINE:
                continue
            first = starts.setdefault(regime.start_date, regime.name)
            if first != regime.name:
                raise ValueError(f"{first} and {regime.name} start on the same date")
        return regimes

    def by_precedence(self) -> tuple[Regime, ...]:
        """Return the regimes, the one that wins first.

        If two cover a date, the later-starting one wins; the baseline comes last.
        """
        return tuple(
            sorted(self.regimes, key=lambda r: (r.name != BASELINE, r.start_date), reverse=True)
        )


def parse_regimes(text: str, name: str = "regimes.yaml") -> Regimes:
    """Parse regimes.yaml. Raises UsageError that names the wrong key."""
    return parse_config(Regimes, text, name, "regimes")


@cache
def load_regimes() -> Regimes:
    """Read the packaged regimes.yaml."""
    return parse_regimes(read_packaged("regimes.yaml"))
